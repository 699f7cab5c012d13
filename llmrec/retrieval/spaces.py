"""Vector spaces that hold items and users alike: a user's query is searched among the item vectors by inner product.

`TextSpace` needs no training: the user is the decayed mean of the texts they took. `EncodedSpace` is the trained
sequence encoder's. Both work for an item that was added a moment ago.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from llmrec.records import Event, History
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.index import IndexedItems, ItemIndex

__all__ = ["EncodedSpace", "Space", "TextSpace", "relative_popularity"]


class Space(Protocol):
    """Item vectors, and the vector of a history among them."""

    prior_weight: float
    """Log-odds that a score of one is worth before anything was learnt."""
    max_events: int | None
    """How many of the newest events a query rests on; None: all."""

    @property
    def index(self) -> ItemIndex:
        """The item vectors."""

    def query(self, history: History) -> NDArray[np.float32] | None:
        """The user's vector, float32 [dimension]; None where the history says nothing about any item."""

    def offset(self, query: NDArray[np.float32]) -> float:
        """What is added to the inner product of a query and an item to get the item's score."""

    def popularity(self, counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """Scores by item where there is no query, from the events on each item; and that of an item without any."""

    def attention(self, history: History) -> list[tuple[Event, float]]:
        """How much each event weighs in the query, a hint for explanations; weights sum to one."""


class TextSpace:
    """The text vectors; a score is the cosine between an item's text and what the user took, newest first.

    Args:
        catalogue: The items.
        half_life: An event this many events ago counts half as much as the newest one.
    """

    prior_weight = 20.0
    """Log-odds a cosine of one is worth before anything was learnt."""
    max_events: int | None = None

    def __init__(self, catalogue: Catalogue, half_life: float) -> None:
        self.index = catalogue.index
        self._half_life = half_life

    def query(self, history: History) -> NDArray[np.float32] | None:
        """The decayed mean of the items that were taken and not disliked, of unit length."""
        wanted, weights = self._weighted(history)
        if not wanted:
            return None
        mean = weights @ self.index.vectors_of([str(event.item_id) for event in wanted])
        length = float(np.linalg.norm(mean))
        return (mean / length).astype(np.float32) if length > 0 else None

    def offset(self, query: NDArray[np.float32]) -> float:  # noqa: ARG002 - the same for all
        """Nothing."""
        return 0.0

    def popularity(self, counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """log(1 + events), scaled so that the most popular item has 1: the range of the cosine it stands in for."""
        return relative_popularity(counts), 0.0

    def attention(self, history: History) -> list[tuple[Event, float]]:
        """The decay itself."""
        wanted, weights = self._weighted(history)
        return [(event, float(weight / weights.sum())) for event, weight in zip(wanted, weights, strict=True)]

    def _weighted(self, history: History) -> tuple[list[Event], NDArray[np.float32]]:
        wanted = [
            event
            for event in reversed(history.events)
            if event.item_id in self.index and event.is_behaviour and not event.is_negative
        ]
        return wanted, np.power(0.5, np.arange(len(wanted)) / self._half_life, dtype=np.float32)


class EncodedSpace:
    """The sequence encoder's space; a score is the log of the chance that this item, of all, is taken next.

    For the small chances of single items that is their log-odds, and it is comparable between users.

    Args:
        fitted: The encoder.
        catalogue: The items as they are now, those that came after training among them.
    """

    prior_weight = 1.0

    def __init__(self, fitted: FittedEncoder, catalogue: Catalogue) -> None:
        trained = set(fitted.item_ids)
        item_ids = (*fitted.item_ids, *(item_id for item_id in catalogue.items if item_id not in trained))
        self._items = fitted.item_vectors(catalogue.index.vectors_of(item_ids))
        self.index = ItemIndex(self._items.numpy(), IndexedItems("", item_ids, ("",) * len(item_ids)))
        self._rows = {item_id: row for row, item_id in enumerate(item_ids)}
        self._fitted = fitted
        self.max_events: int | None = fitted.model.config.max_events

    def query(self, history: History) -> NDArray[np.float32] | None:
        """The state after the newest event that does not say no; training knows only what was taken."""
        taken = [event for event in history.events if not event.is_negative]
        arrays = self._fitted.vocabulary.arrays(taken, self._rows)
        return self._fitted.states([arrays], self._items)[0] if len(arrays) else None

    def offset(self, query: NDArray[np.float32]) -> float:
        """Less the log of the softmax's denominator over the whole catalogue."""
        return -float(logsumexp(self.index.vectors @ query))

    def popularity(self, counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """The log of each item's share of all events, one event more granted to each item."""
        total = sum(counts.values()) + len(self.index)
        return {item_id: math.log((count + 1) / total) for item_id, count in counts.items()}, math.log(1 / total)

    def attention(self, history: History) -> list[tuple[Event, float]]:
        """The last layer's attention of the newest state, mean over the heads."""
        known = [event for event in history.events if event.item_id in self._rows]
        if not known:
            return []
        weights = self._fitted.model.attention(self._fitted.vocabulary.arrays(known, self._rows), self._items)
        return [(event, float(weight)) for event, weight in zip(known, weights, strict=True)]


def relative_popularity(counts: Mapping[str, int]) -> dict[str, float]:
    """log(1 + events) of each item, scaled so that the most popular has 1: the range of the cosine it stands in for."""
    top = np.log1p(max(counts.values(), default=0))
    return {item_id: float(np.log1p(count) / top) for item_id, count in counts.items()} if top else {}
