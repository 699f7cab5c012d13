"""The words of an explanation, made only from its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmrec.records import Evidence, Item

__all__ = ["word"]

_NEGLIGIBLE = 0.02
"""Log-odds: a smaller change moves a chance of one half by less than half a percent."""

_PART_NAMES = {"retrieval": "what you took before", "llm": "the language model's opinion"}


def word(
    item: Item, evidence: Sequence[Evidence], render: Callable[..., str], *, named: int, path: str, popular: bool
) -> str:
    """One paragraph that says why.

    Args:
        item: The item explained.
        evidence: Strongest first within each kind.
        render: Renders the block `why` from its variables.
        named: How many events to name on either side.
        path: Which way the candidates came.
        popular: Whether others took the item before.
    """
    events = [one for one in evidence if one.kind == "event" and abs(one.strength) >= _NEGLIGIBLE]
    shared = [one.text for one in evidence if one.kind == "attribute"]
    parts = [
        f"{one.strength:+.2f} come from {_PART_NAMES.get(one.text, one.text)}" for one in evidence if one.kind == "part"
    ]
    return render(
        title=item.title,
        causes=_list([one.text for one in events if one.strength > 0][:named]),
        against=_list([one.text for one in events if one.strength < 0][:named]),
        shared=_list(shared[:named]) if any(one.strength > 0 for one in events) else "",
        parts=_list(parts),
        cold=path == "popularity",
        popular=popular,
    ).strip()


def _list(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
