"""Comments whose writers said in numbers, or by a like, what they thought of the item: words are learnt from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from llmrec.records import Event

__all__ = ["rated_comments"]

_MOST = 2_000
"""Of more the newest are learnt from."""
_OF_ONE = 50
"""Of one writer: nobody alone says how comments sound to all."""
_LIKINGS = {"like": 1.0, "dislike": -1.0, "hide": -1.0}

_Stars = tuple[int, float]
_Liking = tuple[int, float]


def rated_comments(by_user: Iterable[Sequence[Event]]) -> list[tuple[int, float]]:
    """The comments that can be learnt from: their sequences, and from -1 to 1 what was thought of the item.

    Stars are told from the middle between the fewest and the most that anybody gave. A like right behind a comment may
    be made of its words by a conversation, so it says nothing of them.

    Args:
        by_user: The events of each user, oldest first.
    """
    starred: list[_Stars] = []
    liked: list[_Liking] = []
    given: list[float] = []
    for events in by_user:
        stars = {event.item_id: event.value for event in events if event.kind == "rating" and event.value is not None}
        given += stars.values()
        likings = _likings(events)
        for event in [one for one in events if _is_told(one, {*stars, *likings})][-_OF_ONE:]:
            value = event.value if event.value is not None else stars.get(event.item_id)
            if value is not None:
                starred.append((event.sequence or 0, value))
                given.append(value)
            else:
                liked.append((event.sequence or 0, likings[event.item_id]))
    return sorted([*_from_the_middle(starred, given), *liked])[-_MOST:]


def _is_told(event: Event, judged: Collection[str | None]) -> bool:
    """Whether it is a comment of which it is known what its writer thought of the item."""
    if not event.text or not event.item_id or event.sequence is None or event.kind not in ("comment", "rating"):
        return False
    return event.value is not None or event.item_id in judged


def _likings(events: Sequence[Event]) -> dict[str | None, float]:
    """What likes and dislikes say of items."""
    found: dict[str | None, float] = {}
    for before, event in zip([None, *events], events, strict=False):
        made_of_words = before is not None and before.kind == "comment" and before.item_id == event.item_id
        if event.kind in _LIKINGS and not made_of_words:
            found[event.item_id] = _LIKINGS[event.kind]
    return found


def _from_the_middle(starred: Sequence[_Stars], given: Sequence[float]) -> list[_Liking]:
    least, most = min(given, default=0.0), max(given, default=0.0)
    if least == most:
        return []  # stars that are all the same tell nothing apart
    return [(sequence, 2 * (value - least) / (most - least) - 1) for sequence, value in starred]
