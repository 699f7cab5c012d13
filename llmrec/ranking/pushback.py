"""What a user turned down pushes away what resembles it: at once, within bounds, fading with time.

    feedback(item) = -most · min(1, sum over what was turned down of weight · fade · likeness)      (log-odds)

likeness is the cosine between both items' texts, counted from what it is with any item on the whole: 0 there and below,
1 for the same text. fade is 1/2 for each half-life since. Only the user's last word on an item counts: a like takes a
dislike back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from llmrec.records import Event, History
from llmrec.retrieval.index import ItemIndex

__all__ = ["Pushback"]

Floats = NDArray[np.float64]

_WEIGHTS = {"dislike": 1.0, "hide": 1.0, "skip": 0.25}
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
    """

    index: ItemIndex
    most: float
    half_life: float
    now: datetime | None = None

    def scores(self, history: History, item_ids: Sequence[str]) -> Floats:
        """What is added to each item's score, float64 [items], none above 0 and none below -most."""
        turned_down = self.turned_down(history)
        if not turned_down or not item_ids or self.most == 0:
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
            (event, _WEIGHTS[event.kind] * self._fade(event, len(history.events) - 1 - place, now))
            for place, event in enumerate(history.events)
            if event.kind in _WEIGHTS and event.item_id in self.index and last_word.get(event.item_id) == place
        ]

    def _fade(self, event: Event, later: int, now: datetime) -> float:
        if event.timestamp is None:
            return float(0.5 ** (later / _EVENTS_PER_HALF_LIFE))
        return float(0.5 ** (max(0.0, (now - event.timestamp).total_seconds()) / _DAY / self.half_life))
