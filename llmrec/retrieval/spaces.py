"""Vector spaces that hold items and users alike: a user's query is searched among the item vectors by inner product.

`TextSpace` needs no training: the user is the decayed mean of the texts they took. `EncodedSpace` is the trained
sequence encoder's. Both work for an item that was added a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from llmrec.records import Event, History
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.index import FLAT_LIMIT, IndexedItems, ItemIndex, inner_products, one_thread

__all__ = ["COSINE_LOG_ODDS", "EncodedSpace", "Query", "Space", "TextSpace", "decayed_mean", "relative_popularity"]

_NEAREST = 1_000
_SAMPLE = 50_000
"""Items whose scores stand for a very large catalogue: those that hold most of the chance, and every so many."""

COSINE_LOG_ODDS = 20.0
"""Log-odds a cosine of one is worth before anything was learnt: the scale at which sentence encoders are trained
(MultipleNegativesRankingLoss of Reimers and Gurevych's sentence-transformers, and all-MiniLM-L6-v2 with it)."""


@dataclass(frozen=True, slots=True)
class Query:
    """A user among the items.

    Args:
        vector: Float32 [dimension].
        attention: The events it rests on, oldest first, and how much each weighs, a hint for explanations; the weights
            sum to one.
    """

    vector: NDArray[np.float32]
    attention: tuple[tuple[Event, float], ...]


class Space(Protocol):
    """Item vectors, and the vector of a history among them."""

    prior_weight: float
    """Log-odds that a score of one is worth before anything was learnt."""

    @property
    def index(self) -> ItemIndex:
        """The item vectors."""

    def query(self, history: History) -> Query | None:
        """The user's vector; None where the history says nothing about any item."""

    def offset(self, vector: NDArray[np.float32]) -> float:
        """What is added to the inner product of a query and an item to get the item's score."""


class TextSpace:
    """The text vectors; a score is the cosine between an item's text and what the user took, and the request's offset.

    Args:
        catalogue: The items.
        half_life: An event this many events ago counts half as much as the newest one.
    """

    prior_weight = COSINE_LOG_ODDS

    def __init__(self, catalogue: Catalogue, half_life: float) -> None:
        self.index = catalogue.index
        self._half_life = half_life

    def query(self, history: History) -> Query | None:
        """The decayed mean of the items that were taken and not disliked, of unit length; attention is the decay."""
        wanted = self._wanted(history)
        if not wanted:
            return None
        vector = decayed_mean(self.index.vectors_of([str(event.item_id) for event in wanted]), self._half_life)
        weights = _decay(len(wanted), self._half_life)
        shares = (weights / weights.sum()).tolist()
        return None if vector is None else Query(vector, tuple(zip(wanted, shares, strict=True))[::-1])

    def offset(self, vector: NDArray[np.float32]) -> float:
        """What makes the score the log of a chance, were each cosine worth `COSINE_LOG_ODDS`; in the cosine's unit."""
        return -_log_denominator(self.index, vector, COSINE_LOG_ODDS) / COSINE_LOG_ODDS

    def _wanted(self, history: History) -> list[Event]:
        """Newest first."""
        return [event for event in reversed(history.events) if event.is_taking and event.item_id in self.index]


class EncodedSpace:
    """The sequence encoder's space; a score is the log of the chance that this item, of all, is taken next.

    For the small chances of single items that is their log-odds, and it is comparable between users.

    Args:
        fitted: The encoder.
        catalogue: The items as they are now, those that came after training among them.
        newcomers: The share of the places on lists that goes to items nobody took yet; see `FittedEncoder.lifts`.
        directory: Where a graph over very many items is kept; None: nowhere.

    Raises:
        ReleaseError: The encoder was trained on items that are not there.
    """

    prior_weight = 1.0

    def __init__(
        self, fitted: FittedEncoder, catalogue: Catalogue, newcomers: float = 0.0, directory: Path | None = None
    ) -> None:
        fitted.require_items(catalogue.index)
        trained = set(fitted.item_ids)
        item_ids = (*fitted.item_ids, *(item_id for item_id in catalogue.items if item_id not in trained))
        self._rows = {item_id: row for row, item_id in enumerate(item_ids)}
        self._items = fitted.item_vectors(catalogue.index.vectors_of(item_ids))
        # What is added to an item's score is one more number of its vector, where a query has a one.
        lifts = fitted.lifts(self._items, newcomers)
        # In the catalogue's order, so that a selection of its items is one of these rows.
        order = [self._rows[item_id] for item_id in catalogue.index.items.item_ids]
        vectors = np.column_stack([self._items.numpy(), lifts])[order]
        items = IndexedItems("", catalogue.index.items.item_ids, ("",) * len(item_ids))
        self.index = ItemIndex.cached(directory, vectors, items) if directory else ItemIndex(vectors, items)
        self._fitted = fitted

    def query(self, history: History) -> Query | None:
        """The state after the newest event that does not say no; training knows only what was taken."""
        taken = [event for event in history.events if event.is_taking and event.item_id in self._rows]
        taken = taken[-self._fitted.model.config.max_events :]
        if not taken:
            return None
        with one_thread():
            vector, weights = self._fitted.read(self._fitted.vocabulary.arrays(taken, self._rows), self._items)
        return Query(np.append(vector, np.float32(1)), tuple(zip(taken, weights.tolist(), strict=True)))

    def offset(self, vector: NDArray[np.float32]) -> float:
        """Less the log of the softmax's denominator over the whole catalogue."""
        return -_log_denominator(self.index, vector)


def _log_denominator(index: ItemIndex, vector: NDArray[np.float32], scale: float = 1.0) -> float:
    """Log of the sum of exp(scale · inner product) over all items; of very many, from the nearest and some others."""
    if len(index) <= FLAT_LIMIT:
        return float(logsumexp(scale * inner_products(index.vectors, vector).astype(np.float64)))
    nearest = np.array([score for _, score in index.search(vector, _NEAREST)])
    sample = inner_products(index.vectors[:: max(1, len(index) // _SAMPLE)], vector).astype(np.float64)
    rest = sample[sample < nearest.min()]
    weight = (len(index) - len(nearest)) / max(len(rest), 1)
    weights = np.concatenate([np.ones(len(nearest)), np.full(len(rest), weight)])
    return float(logsumexp(scale * np.concatenate([nearest, rest]), b=weights))


def decayed_mean(vectors: NDArray[np.float32], half_life: float) -> NDArray[np.float32] | None:
    """The mean of vectors that come newest first, float32 [dimension] of unit length; None where they cancel out."""
    mean = inner_products(vectors.T, _decay(len(vectors), half_life))
    length = float(np.linalg.norm(mean))
    return (mean / length).astype(np.float32) if length > 0 else None


def _decay(events: int, half_life: float) -> NDArray[np.float32]:
    return np.power(0.5, np.arange(events) / half_life, dtype=np.float32)


def relative_popularity(counts: Mapping[str, int]) -> dict[str, float]:
    """How popular each item may be called: log(1 + events), scaled so that the most popular one has 1."""
    top = np.log1p(max(counts.values(), default=0))
    return {item_id: float(np.log1p(count) / top) for item_id, count in counts.items()} if top else {}
