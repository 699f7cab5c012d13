"""What is known: users, items, what users did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from llmrec.errors import DataError
from llmrec.records.checks import (
    AttributeValue,
    checked_attributes,
    checked_id,
    checked_number,
    checked_text,
    checked_time,
    in_words,
)

__all__ = ["Event", "History", "Item", "User"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody to recommend to; `attributes` are whatever is known of them (age, gender, place, ...).

    The attribute `learning` set to false means that nothing of theirs is learnt from; it is no part of any prompt.
    """

    LEARNING: ClassVar[str] = "learning"

    user_id: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_id(self.user_id, "user_id")
        object.__setattr__(self, "attributes", checked_attributes(self.attributes))

    @property
    def teaches(self) -> bool:
        """Whether what they do may be learnt from."""
        return self.attributes.get(self.LEARNING) is not False

    @property
    def about(self) -> Mapping[str, AttributeValue]:
        """What is known of them, for a prompt."""
        return {name: value for name, value in self.attributes.items() if name != self.LEARNING}


@dataclass(frozen=True, slots=True)
class Item:
    """Something to recommend; `attributes` are free: a number, a string, a truth value or a tuple of strings each."""

    item_id: str
    title: str
    description: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_id(self.item_id, "item_id")
        object.__setattr__(self, "title", checked_text(self.title, "title"))
        object.__setattr__(self, "description", checked_text(self.description, "description"))
        object.__setattr__(self, "attributes", checked_attributes(self.attributes))
        if not self.title.strip():
            raise DataError(f"item {self.item_id!r} has no title", hint="every item needs a title the model can read")

    @property
    def text(self) -> str:
        """Everything known of it, as the text encoder reads it: title, description, attributes."""
        parts = (self.title, self.description, in_words(self.attributes))
        return ". ".join(part.strip() for part in parts if part.strip())


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did or said.

    Args:
        user_id: Who.
        item_id: On which item, or None where there is none (a search query has only text).
        kind: What: impression, view, click, like, dislike, hide, unhide, rating, purchase, search, comment, or your own
            word. What is hidden comes back after an unhide or a like.
        value: A number that belongs to it: the stars of a rating, the seconds of a view.
        text: What was said or typed.
        timestamp: When, aware; None where the source has only an order.
        event_id: The client's own id for it; sending the same id again changes nothing.
        recommendation_id: The recommendation it answers.
        sequence: The order of arrival, given by the store.
    """

    NEGATIVE: ClassVar[frozenset[str]] = frozenset({"dislike", "hide", "skip"})
    PASSIVE: ClassVar[frozenset[str]] = frozenset({"impression"})
    HIDING: ClassVar[frozenset[str]] = frozenset({"hide"})
    WORDS: ClassVar[frozenset[str]] = frozenset({"unhide", "comment", "search"})
    SHOWING: ClassVar[frozenset[str]] = frozenset({"unhide", "like"})

    user_id: str
    item_id: str | None = None
    kind: str = "view"
    value: float | None = None
    text: str | None = None
    timestamp: datetime | None = None
    event_id: str | None = None
    recommendation_id: str | None = None
    sequence: int | None = None

    def __post_init__(self) -> None:
        checked_id(self.user_id, "user_id")
        checked_id(self.kind, "kind")
        for name in ("item_id", "event_id", "recommendation_id"):
            if getattr(self, name) is not None:
                checked_id(getattr(self, name), name)
        if self.value is not None:
            object.__setattr__(self, "value", checked_number(self.value, "value"))
        if self.text is not None:
            object.__setattr__(self, "text", checked_text(self.text, "text"))
        if self.timestamp is not None:
            object.__setattr__(self, "timestamp", checked_time(self.timestamp))
        if self.kind == "rating" and self.value is None:
            raise DataError("a rating has no value", hint="give the stars as value, or use another kind")
        if self.item_id is None and not self.text:
            raise DataError("an event has neither an item nor text", hint="give item_id, or text for a search")

    @property
    def is_behaviour(self) -> bool:
        """Whether the user did it, rather than was shown it."""
        return self.kind not in self.PASSIVE

    @property
    def is_negative(self) -> bool:
        """Whether it says that the user does not want the item."""
        return self.kind in self.NEGATIVE

    @property
    def is_taking(self) -> bool:
        """Whether the user took an item: what is learnt from, and what a history says of them."""
        silent = self.is_negative or self.kind in self.WORDS
        return self.item_id is not None and self.is_behaviour and not silent


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one user when a request is answered.

    Args:
        user: Who, where that is known.
        events: What they did, oldest first; at most as many as are looked at.
        seen: Every item they already met, however long ago.
        known: How many events are stored, those not looked at included.
        hidden: What they do not want to see, until they say so.
    """

    user: User | None = None
    events: tuple[Event, ...] = ()
    seen: frozenset[str] = frozenset()
    known: int = 0
    hidden: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", max(self.known, len(self.events)))

    def without(self, removed: Event) -> History:
        """The same history as if one event had not happened."""
        return History(self.user, tuple(event for event in self.events if event is not removed), self.seen)
