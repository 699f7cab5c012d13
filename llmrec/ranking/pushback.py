"""What a user turned down or spoke about moves what resembles it: at once, within bounds, fading with time.

    feedback(item) = -most · min(1, sum over what was turned down of weight · fade · likeness)
                     + most / 2 · clip(sum over comments of fade · how they speak of values the item has)     (log-odds)

likeness is the cosine between both items' texts, counted from what it is with any item on the whole: 0 there and below,
1 for the same text. fade is 1/2 for each half-life since. Only the user's last word on an item counts: a like takes a
dislike back. A comment against an item turns it down as far as it is against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from llmrec.conditions import values_of
from llmrec.records import Event, History, Item
from llmrec.retrieval.index import ItemIndex
from llmrec.words import Opinion

__all__ = ["Pushback"]

Floats = NDArray[np.float64]

_WEIGHTS = {"dislike": 1.0, "hide": 1.0, "skip": 0.25}
_CLEARLY = 0.2
"""A comment that is less against an item turns it down not at all."""
_EVENTS_PER_HALF_LIFE = 20
"""Where an event has no time, so many later ones make it as old as a half-life."""
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Pushback:
    """How much what was turned down counts.

    Args:
        index: The items' text vectors.
        most: The largest effect on an item, in log-odds.
        half_life: Days after which the effect is half as strong.
        now: The moment of the request; None: the present.
        read: What a comment says; None: comments count for nothing.
        items: The catalogue, for the values that comments speak of.
    """

    index: ItemIndex
    most: float
    half_life: float
    now: datetime | None = None
    read: Callable[[str], Opinion] | None = None
    items: Mapping[str, Item] = field(default_factory=dict)

    def scores(self, history: History, item_ids: Sequence[str]) -> Floats:
        """What is added to each item's score, float64 [items], from -most to most / 2."""
        if not item_ids or self.most == 0:
            return np.zeros(len(item_ids))
        spoken = self.most / 2 * np.clip(self._spoken(history, item_ids), -1, 1)
        return np.maximum(-self.most, self._pushed(history, item_ids) + spoken)

    def _spoken(self, history: History, item_ids: Sequence[str]) -> Floats:
        """How comments speak of the values that each item has."""
        spoken = np.zeros(len(item_ids))
        for told, fade in self._comments(history):
            for named, liking in told.values:
                value, name = named.value.casefold(), named.attribute
                holds = [value in values_of(self.items[one].attributes.get(name)) for one in item_ids]
                spoken += fade * liking * np.array(holds)
        return spoken

    def _comments(self, history: History) -> list[tuple[Opinion, float]]:
        """What was said that names values, and how much of it still counts."""
        if self.read is None:
            return []
        now, newest = self.now or datetime.now(UTC), len(history.events) - 1
        read = [
            (self.read(event.text), self._fade(event, newest - place, now))
            for place, event in enumerate(history.events)
            if event.kind == "comment" and event.text
        ]
        return [(told, fade) for told, fade in read if told.values]

    def _pushed(self, history: History, item_ids: Sequence[str]) -> Floats:
        turned_down = self.turned_down(history)
        if not turned_down:
            return np.zeros(len(item_ids))
        names = [str(event.item_id) for event, _ in turned_down]
        strengths = np.array([strength for _, strength in turned_down])
        vectors = self.index.vectors_of(names).astype(np.float64)
        cosines = self.index.vectors_of(item_ids).astype(np.float64) @ vectors.T
        usual = vectors @ self.index.mean
        likeness = np.clip((cosines - usual) / np.maximum(1 - usual, 1e-6), 0, 1)
        pushed: Floats = -self.most * np.minimum(1.0, likeness @ strengths)
        return pushed

    def turned_down(self, history: History) -> list[tuple[Event, float]]:
        """The events that push, and how strongly each still does, from 0 to 1."""
        last_word: dict[str | None, int] = {event.item_id: place for place, event in enumerate(history.events)}
        now = self.now or datetime.now(UTC)
        return [
            (event, weight * self._fade(event, len(history.events) - 1 - place, now))
            for place, event in enumerate(history.events)
            if event.item_id in self.index
            and last_word.get(event.item_id) == place
            and (weight := self._weight(event)) > 0
        ]

    def _weight(self, event: Event) -> float:
        """How strongly an event turns its item down, 0 to 1."""
        if event.kind == "comment" and event.text and self.read is not None:
            against = -self.read(event.text).sentiment
            return against if against >= _CLEARLY else 0.0
        return _WEIGHTS.get(event.kind, 0.0)

    def _fade(self, event: Event, later: int, now: datetime) -> float:
        if event.timestamp is None:
            return float(0.5 ** (later / _EVENTS_PER_HALF_LIFE))
        return float(0.5 ** (max(0.0, (now - event.timestamp).total_seconds()) / _DAY / self.half_life))
