"""Variety in a list: the next item is a good one that is unlike those above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llmrec.records import RankedItem
from llmrec.retrieval.index import ItemIndex, inner_products

__all__ = ["diversified"]


def diversified(ranked: Sequence[RankedItem], texts: ItemIndex, diversity: float, n: int) -> tuple[RankedItem, ...]:
    """The first n by maximal marginal relevance (Carbonell and Goldstein 1998), with new ranks and the old scores.

    Args:
        ranked: All candidates, best first.
        texts: At least their text vectors.
        diversity: Weight of the likeness to what stands above, against the relevance; 0 keeps the order.
        n: How many.
    """
    if not diversity or not ranked:
        return tuple(ranked[:n])
    vectors = texts.vectors_of([one.item.item_id for one in ranked])
    order = _marginal_order(_relevance([one.score for one in ranked]), vectors, diversity, n)
    return tuple(replace(ranked[place], rank=rank) for rank, place in enumerate(order, 1))


def _relevance(scores: Sequence[float]) -> NDArray[np.float64]:
    """The scores from 0 (worst of the list) to 1 (best): log-odds have no bounds, the cosine they are weighed with has.

    Min-max scaling within the list, as for the fusion of searches (Lee 1997).
    """
    values = np.asarray(scores, dtype=np.float64)
    scaled: NDArray[np.float64] = (values - values.min()) / (np.ptp(values) or 1.0)
    return scaled


def _marginal_order(
    relevance: NDArray[np.float64], vectors: NDArray[np.float32], diversity: float, n: int
) -> list[int]:
    """Places, greedily: each maximises (1 - diversity) · relevance - diversity · highest cosine to those before it.

    Equal values go to the earlier place.
    """
    worth = (1 - diversity) * relevance
    nearest = np.full(len(relevance), -1.0, np.float32)
    order: list[int] = []
    while len(order) < min(n, len(relevance)):
        value = worth - diversity * nearest
        value[order] = -np.inf
        order.append(int(value.argmax()))
        likeness = inner_products(vectors, vectors[order[-1]])
        nearest = np.maximum(nearest, likeness)
    return order
