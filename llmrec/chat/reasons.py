"""Questions about items: why, why not, and which of two."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.chat.turn import Turn, attributes_of
from llmrec.chat.understanding import Wish
from llmrec.records import Item, RankedItem

__all__ = ["compare", "say_hidden", "why", "why_not"]

_SOURCES = {
    "retrieval": "from what was taken before",
    "llm": "from the language model",
    "feedback": "from your feedback",
}


def why(turn: Turn, wish: Wish) -> None:
    """Why an item gets its score."""
    item_id = turn.one_item(wish, default=turn.state.shown[0] if turn.state.shown else None)
    if item_id is not None:
        text = _explained(turn, item_id)
        turn.talk_of(item_id)
        turn.said.append(text)


def why_not(turn: Turn, wish: Wish) -> None:
    """Why an item is not on the list: hidden, seen, not as wanted, or behind what is."""
    item_id = turn.one_item(wish, guess=True)
    if item_id is None:
        return
    turn.talk_of(item_id)
    history, item, shown = turn.recommender.history(turn.user_id), turn.items[item_id], turn.state.shown
    place = str(shown.index(item_id) + 1) if item_id in shown else ""
    against = turn.state.constraints.against(item) or ""
    found = {"hidden": item_id in history.hidden, "seen": item_id in history.seen, "against": against}
    behind = {} if place or any(found.values()) else _behind(turn, item_id)
    if against and not place and shown and not (found["hidden"] or found["seen"]):
        behind = _without(turn, item)
    _say_why_not(turn, item.title, place=place, unlisted=not shown, **behind, **found)


def _behind(turn: Turn, item_id: str) -> dict[str, str]:
    """What of the list an item comes behind, by how much and why, and the explanation of its score."""
    ranked = turn.recommender.rank(candidates=[*turn.state.shown, item_id], user_id=turn.user_id)
    own = next(one for one in ranked if one.item.item_id == item_id)
    above = [one for one in ranked if one.item.item_id != item_id and one.score > own.score]
    told = {"text": _explained(turn, item_id)}
    if above:
        last = above[-1]
        told |= {"last": last.item.title, "gap": f"{last.score - own.score:.2f}", "parts": _difference(own, last)}
        told |= _changed(turn, item_id, own.rank)
    return told


def _changed(turn: Turn, item_id: str, was: int) -> dict[str, str]:
    """The event without which the item would stand higher, and where: the whole list is scored again without it."""
    assert turn.explanation is not None
    change = next((one for one in turn.explanation.evidence if one.kind == "change" and one.event_id), None)
    events = turn.recommender.history(turn.user_id).events
    left = [one for one in events if change and one.event_id != change.event_id]
    if change is None or not left:
        return {}
    would = _place(turn.recommender.rank(left, [*turn.state.shown, item_id], user_id=turn.user_id), item_id)
    return {"change": change.text, "was": str(was), "would": str(would)} if would < was else {}


def _without(turn: Turn, item: Item) -> dict[str, str]:
    """Where an item would stand among what is shown if the one constraint that keeps it away were let go."""
    if not turn.state.constraints.alone_against(item):
        return {}
    ranked = turn.recommender.rank(candidates=[*turn.state.shown, item.item_id], user_id=turn.user_id)
    return {"would": str(_place(ranked, item.item_id))}


def _place(ranked: Sequence[RankedItem], item_id: str) -> int:
    return next(one.rank for one in ranked if one.item.item_id == item_id)


def _explained(turn: Turn, item_id: str) -> str:
    turn.explanation = turn.recommender.explain(turn.user_id, item_id)
    return turn.explanation.text


def say_hidden(turn: Turn, title: str) -> None:
    """Say that an item is hidden already."""
    _say_why_not(turn, title, hidden=True)


def _say_why_not(turn: Turn, title: str, **told: object) -> None:
    nothing: dict[str, object] = {"hidden": False, "seen": False, "unlisted": False}
    nothing |= dict.fromkeys(("place", "against", "last", "gap", "parts", "text", "change", "was", "would"), "")
    turn.say("why_not", **{"title": title, **nothing, **told})


def compare(turn: Turn, wish: Wish) -> None:
    """Which of two items fits better, and what they have in common."""
    subjects = turn.subjects(wish.mentions)
    if len(subjects) == 1 and turn.state.focus and turn.state.focus != subjects[0]:
        subjects = [subjects[0], turn.state.focus]
    if not subjects and len(turn.state.shown) > 1:
        subjects = list(turn.state.shown[:2])
    if len(subjects) < 2:
        turn.ask_which()
        return
    first, second = turn.recommender.rank(candidates=list(dict.fromkeys(subjects))[:2], user_id=turn.user_id)
    turn.talk_of(first.item.item_id)
    _say_difference(turn, first, second)


def _say_difference(turn: Turn, first: RankedItem, second: RankedItem) -> None:
    of_first, of_second = _values_in_words(first.item), _values_in_words(second.item)
    both = [one for one in of_first if one in of_second]
    turn.say(
        "compare",
        first=first.item.title,
        second=second.item.title,
        gap=f"{first.score - second.score:.2f}",
        parts=_difference(first, second),
        shared=", ".join(both),
        only_first=", ".join(one for one in of_first if one not in both),
        only_second=", ".join(one for one in of_second if one not in both),
    )


def _values_in_words(item: Item) -> list[str]:
    return [value for _, value in attributes_of(item) if isinstance(value, str)]


def _difference(first: RankedItem, second: RankedItem) -> str:
    """Which parts of the score make the difference, the largest first."""
    parts = {name: first.parts.get(name, 0.0) - second.parts.get(name, 0.0) for name in {**first.parts, **second.parts}}
    told = sorted(parts.items(), key=lambda one: -abs(one[1]))
    return ", ".join(f"{value:+.2f} {_SOURCES.get(name, name)}" for name, value in told if abs(value) >= 0.005)
