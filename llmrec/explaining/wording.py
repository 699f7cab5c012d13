"""The words of an explanation, made only from its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmrec.explaining.facts import facts_of
from llmrec.records import Evidence, Item

__all__ = ["word"]

_POPULAR = 0.8
"""Of `relative_popularity`, whose scale is logarithmic: where the top item has 500 events this takes 144, and where it
has two, both of them; one event makes nothing popular."""

_SOURCES = {
    "history": "what you took before",
    "words": "how well it fits the words given and how many others took it",
    "attributes": "how many of those who share an attribute with you took it",
    "popularity": "how many others took it",
}
"""Where the retrieval part of a score comes from, by the path."""


def word(
    item: Item,
    evidence: Sequence[Evidence],
    render: Callable[..., str],
    *,
    named: int,
    path: str,
    popular: float,
    known: int = 0,
) -> str:
    """One paragraph that says why.

    Args:
        item: The item explained.
        evidence: Strongest first within each kind.
        render: Renders the block `why` from its variables.
        named: How many events to name on either side.
        path: Where the retrieval score comes from; with attributes and popularity no event says what the user wants.
        popular: How popular the item is, relative to the most popular one: 0 to 1.
        known: How many events of the user are known.
    """
    told = facts_of(item.title, evidence, named)
    return render(
        title=item.title,
        causes=_list([one.text for one in told.causes]),
        against=_list([one.text for one in told.against]),
        shared=_by_name([one.text for one in told.shared]),
        parts=_list([_part(one, path) for one in told.parts]),
        change=told.change.text if told.change else "",
        gain=f"{told.change.strength:.2f}" if told.change else "",
        cold=path in ("attributes", "popularity"),
        unknown=not known and path != "history",
        popular=popular >= _POPULAR,
    ).strip()


def _part(part: Evidence, path: str) -> str:
    names = {"retrieval": _SOURCES.get(path), "llm": "the language model's opinion", "feedback": "what you turned down"}
    return f"{part.strength:+.2f} come from {names.get(part.text) or part.text}"


def _list(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _by_name(attributes: Sequence[str]) -> str:
    """Values of the same attribute behind its name, which stands once."""
    values: dict[str, list[str]] = {}
    for one in attributes:
        name, _, value = one.partition(": ")
        values.setdefault(name, []).append(value)
    return "; ".join(f"{name}: {', '.join(some)}" for name, some in values.items())
