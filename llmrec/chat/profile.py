"""What is known of somebody, in words, each line with what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmrec.chat.constraints import Constraints
from llmrec.records import Event, History, Item

__all__ = ["ProfileLine", "profile_of"]

_FEWEST = 3
_MORE_THAN_USUAL = 1.3
_TASTES = 3
_LAST = 3


@dataclass(frozen=True, slots=True)
class ProfileLine:
    """Something known of a user.

    Args:
        text: In words.
        kind: constraint (asked for in a conversation), data (stored of the user), event (said or done), taste (stands
            out in what they took), taken (all of that).
        event_ids: The events that it rests on and that can be taken back.
        constraint: The constraint that it is, in words.
    """

    text: str
    kind: str
    event_ids: tuple[str, ...] = ()
    constraint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "text": self.text,
            "kind": self.kind,
            "event_ids": list(self.event_ids),
            "words": self.constraint,
        }


def profile_of(
    history: History, items: Mapping[str, Item], constraints: Constraints, comments: Sequence[Event] = ()
) -> list[ProfileLine]:
    """Lines about a user: what was asked for, said, refused, taken, and what stands out in it.

    Args:
        history: What a request sees of the user.
        items: The catalogue.
        constraints: What was asked for in the conversation.
        comments: What the user ever said; what is older than the history is told too.
    """
    lines = [ProfileLine(f"you asked for: {one}", "constraint", constraint=one) for one in constraints.in_words()]
    if history.user is not None and history.user.about:
        told = "; ".join(f"{name} {value}" for name, value in history.user.about.items())
        lines.append(ProfileLine(f"your data: {told}", "data"))
    known = {event.event_id for event in history.events}
    older = [event for event in comments if event.event_id not in known]
    said = (_said(event, items) for event in (*older, *history.events))
    return [*lines, *(line for line in said if line), *_tastes(history, items), *_taken(history, items)]


def _said(event: Event, items: Mapping[str, Item]) -> ProfileLine | None:
    item = items.get(event.item_id or "")
    title, ids = item.title if item else "", (event.event_id,) if event.event_id else ()
    if event.kind == "comment" and event.text:
        return ProfileLine(f"you said{f' of {title}' if title else ''}: “{event.text}”", "event", ids)
    if event.is_negative and title:
        return ProfileLine(f"you {'hid' if event.kind == 'hide' else 'turned down'} {title}", "event", ids)
    if event.kind == "like" and title:
        return ProfileLine(f"you liked {title}", "event", ids)
    return None


def _tastes(history: History, items: Mapping[str, Item]) -> list[ProfileLine]:
    """Values that what they took has more often than the catalogue."""
    events = [event for event in history.events if event.is_taking and event.item_id in items]
    taken = [items[item_id] for item_id in dict.fromkeys(str(event.item_id) for event in events)]
    own, usual = _shares(taken), _shares(list(items.values()))
    counts = Counter(pair for item in taken for pair in _values(item))
    found = [
        (share / usual[pair], pair)
        for pair, share in own.items()
        if counts[pair] >= _FEWEST and share > _MORE_THAN_USUAL * usual[pair]
    ]
    return [
        ProfileLine(
            f"you take {value} {lift:.1f} times as often as it is in the catalogue"
            f" ({counts[name, value]} of {len(taken)})",
            "taste",
            tuple(
                event.event_id
                for event in events
                if event.event_id and (name, value) in _values(items[str(event.item_id)])
            ),
        )
        for lift, (name, value) in sorted(found, reverse=True)[:_TASTES]
    ]


def _taken(history: History, items: Mapping[str, Item]) -> list[ProfileLine]:
    known = [event for event in history.events if event.is_taking and event.item_id in items]
    if not known:
        return []
    rated = [event for event in known if event.kind == "rating"]
    taken = list(dict.fromkeys(str(event.item_id) for event in reversed(known)))  # one may be viewed, then rated
    last = ", ".join(items[item_id].title for item_id in taken[:_LAST])
    told = f"you took {len(taken)} items, last {last}"
    if rated:
        mean = sum(event.value or 0.0 for event in rated) / len(rated)
        told += f"; {len(rated)} of them with a rating, {mean:.1f} on average"
    return [ProfileLine(told, "taken")]


def _shares(items: list[Item]) -> dict[tuple[str, str], float]:
    counts = Counter(pair for item in items for pair in _values(item))
    return {pair: count / max(1, len(items)) for pair, count in counts.items()}


def _values(item: Item) -> set[tuple[str, str]]:
    return {
        (name, value)
        for name, given in item.attributes.items()
        for value in (given if isinstance(given, tuple) else (given,))
        if isinstance(value, str)
    }
