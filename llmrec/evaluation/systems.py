"""What is compared: anything that can be fitted on interactions and makes ranked lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluation.interactions import Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests

__all__ = ["Scorer", "System", "rank_by_score", "scores_of", "top_rows"]

Scores = NDArray[np.float32]

_CHUNK_CELLS = 8_000_000
"""Scores of about so many items are held at once: 32 MB, and a few times that while they are sorted."""
_HEAPS_PER_ITEM_WANTED = 8


class System(Protocol):
    """A recommender under test.

    Attributes:
        name: What the report calls it.
    """

    @property
    def name(self) -> str:
        """What the report calls it."""

    def fit(self, training: Interactions) -> None:
        """Learn; a system that was fitted elsewhere, on nothing later than these events, does nothing."""

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k] of item rows, best first, filled up with -1.

        Items of a request's history are left out.
        """


@runtime_checkable
class Scorer(Protocol):
    """A system that can also say what it thinks of single items."""

    def score(self, requests: Requests, targets: Sequences) -> Floats:
        """The score of each request's targets, float64 [target events]; comparable between users, such as log-odds."""


def rank_by_score(score: Callable[[Requests], Scores], requests: Requests, k: int, items: int) -> Rows:
    """The k best unseen items of each request, int64 [n, k], whatever the number of requests in bounded memory.

    Args:
        score: Gives the scores of all items, float32 [requests, items], for a part of the requests; they are
            overwritten.
        requests: What is asked.
        k: How many items.
        items: How many there are.
    """
    lists = np.full((len(requests), k), -1, np.int64)
    for part in _chunks(len(requests), items):
        asked = requests.take(part)
        scores = score(asked)
        scores[asked.histories.owners, asked.histories.rows] = -np.inf
        lists[part] = top_rows(scores, k)
    return lists


def scores_of(score: Callable[[Requests], Scores], requests: Requests, targets: Sequences, items: int) -> Floats:
    """The scores of each request's targets, float64 [target events], made as in `rank_by_score`."""
    found = [np.zeros(0)]
    for part in _chunks(len(requests), items):
        wanted = targets.take(part)
        found.append(score(requests.take(part))[wanted.owners, wanted.rows].astype(np.float64))
    return np.concatenate(found)


def _chunks(requests: int, items: int) -> list[Rows]:
    """The places of all requests, in parts whose scores fit into memory."""
    size = max(1, _CHUNK_CELLS // max(items, 1))
    return [np.arange(start, min(start + size, requests)) for start in range(0, requests, size)]


def top_rows(scores: Scores, k: int) -> Rows:
    """The places of the k highest scores of each line, best first, int64 [n, k]; -1 in place of minus infinity.

    Equal scores keep the order of their places.
    """
    lists = np.full((len(scores), k), -1, np.int64)
    for line, (values, bound) in enumerate(zip(scores, _lower_bounds(scores, k), strict=True)):
        candidates = np.flatnonzero((values >= bound) & (values > -np.inf))
        best = candidates[np.argsort(-values[candidates], kind="stable")[:k]]
        lists[line, : len(best)] = best
    return lists


def _lower_bounds(scores: Scores, k: int) -> Scores:
    """For each line a value that at least k of its scores reach, and few more; float32 [n].

    The items are dealt out to heaps and the k-th highest of the heaps' maxima is taken: several times quicker than to
    partition all scores.
    """
    lines, items = scores.shape
    if items <= k:
        return np.full(lines, -np.inf, np.float32)
    heaps = max(k, min(items, _HEAPS_PER_ITEM_WANTED * k))
    dealt = scores[:, : items // heaps * heaps].reshape(lines, items // heaps, heaps)
    bounds: Scores = np.partition(dealt.max(axis=1), heaps - k, axis=1)[:, heaps - k]
    return bounds
