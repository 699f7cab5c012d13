"""Systems that every report has beside ours: cheap, well understood, and hard enough to beat.

All of them see a request's history as it is then, not as it was in training. A request without a history that says
anything gets the most popular items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from llmrec.errors import DataError, MissingExtraError, NotFittedError
from llmrec.evaluation.interactions import Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.evaluation.systems import Scores, rank_by_score, scores_of

__all__ = ["Als", "Ease", "Popularity", "TextOnly"]


class _ScoredBaseline(ABC):
    """Ranks by the scores of all items, which a baseline gives in `_scores`, and falls back to popularity."""

    name = ""

    def __init__(self) -> None:
        self._popularity: Scores | None = None

    def fit(self, training: Interactions) -> None:
        """Learn from the training events."""
        counts = training.item_counts
        self._popularity = np.log1p(counts).astype(np.float32)
        self._learn(training)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]."""
        return rank_by_score(self._scores_or_popularity, requests, k, len(self._fitted))

    def score(self, requests: Requests, targets: Sequences) -> Floats:
        """The score of each request's targets, float64 [target events]."""
        return scores_of(self._scores_or_popularity, requests, targets, len(self._fitted))

    @property
    def _fitted(self) -> Scores:
        if self._popularity is None:
            raise NotFittedError(f"{self.name} was not fitted", hint="call fit first")
        return self._popularity

    def _scores_or_popularity(self, requests: Requests) -> Scores:
        scores = self._scores(requests)
        silent = ~scores.any(axis=1)
        scores[silent] = self._fitted
        return scores

    @abstractmethod
    def _learn(self, training: Interactions) -> None:
        """Take in the training part."""

    @abstractmethod
    def _scores(self, requests: Requests) -> Scores:
        """The scores of all items, float32 [n, items]; a line of zeros where nothing can be said."""


class Popularity(_ScoredBaseline):
    """The items with the most training events, the same for everybody."""

    name = "popularity"

    def _learn(self, training: Interactions) -> None:
        pass

    def _scores(self, requests: Requests) -> Scores:
        return np.zeros((len(requests), len(self._fitted)), np.float32)


class Ease(_ScoredBaseline):
    """EASE (Steck 2019), asked with a history in which older events count less.

    With G the items' co-occurrence counts over users and P = (G + regularisation I)^-1, the weights are
    B = I - P / diag(P), whose diagonal is zero, and the scores are h B, where h holds 0.5^(age / half_life) for each
    item of the history, age 0 for the newest. Time and memory grow with the number of items to the third and second
    power, so only the most frequent items take part.

    Args:
        regularisation: Larger keeps the weights smaller.
        half_life: An event this many events ago counts half as much as the newest one.
        max_items: The most frequent items that take part; the others score 0.
    """

    name = "ease"

    def __init__(self, regularisation: float = 500.0, half_life: float = 3.0, max_items: int = 10_000) -> None:
        super().__init__()
        self.regularisation = regularisation
        self.half_life = half_life
        self.max_items = max_items
        self._rows: Rows = np.zeros(0, np.int64)
        self._weights: Scores = np.zeros((0, 0), np.float32)

    def _learn(self, training: Interactions) -> None:
        counts = training.item_counts
        frequent = np.argsort(-counts, kind="stable")[: self.max_items]
        self._rows = np.sort(frequent[counts[frequent] > 0])
        taken = training.without_repeats().sequences.matrix(len(counts))[:, self._rows]
        self._weights = _ease_weights(taken, self.regularisation)

    def _scores(self, requests: Requests) -> Scores:
        scores = np.zeros((len(requests), len(self._fitted)), np.float32)
        scores[:, self._rows] = _decayed(requests, len(self._fitted), self.half_life)[:, self._rows] @ self._weights
        return scores


class TextOnly(_ScoredBaseline):
    """The cosine between an item's text and the history's texts, of which newer ones count more.

    Args:
        vectors: A vector for the text of each item row, [items, dimension].
        half_life: An event this many events ago counts half as much as the newest one.
    """

    name = "text"

    def __init__(self, vectors: NDArray[np.floating], half_life: float = 3.0) -> None:
        super().__init__()
        self._vectors = _unit(vectors.astype(np.float64))
        self.half_life = half_life

    def _learn(self, training: Interactions) -> None:
        if len(self._vectors) != len(training.item_ids):
            raise DataError(
                f"{len(self._vectors)} vectors for {len(training.item_ids)} items", hint="give one for each item row"
            )

    def _scores(self, requests: Requests) -> Scores:
        query = _unit(_decayed(requests, len(self._vectors), self.half_life) @ self._vectors)
        # In double precision, so that rounding does not depend on which requests are answered together.
        scores: Scores = (query @ self._vectors.T).astype(np.float32)
        return scores


class Als(_ScoredBaseline):
    """Implicit matrix factorisation by alternating least squares (Hu, Koren and Volinsky 2008).

    A request's user vector is solved for from its history, so a new event counts at once.

    Args:
        factors: Length of the vectors.
        regularisation: Larger keeps them shorter.
        confidence: How much more an event counts than its absence.
        iterations: Rounds of training.
        seed: Of the first vectors.

    Raises:
        MissingExtraError: The package implicit is not installed.
    """

    name = "als"

    def __init__(
        self,
        factors: int = 64,
        regularisation: float = 0.05,
        confidence: float = 1.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with _one_blas_thread():
            from implicit.cpu.als import AlternatingLeastSquares

            self._model = AlternatingLeastSquares(
                factors=factors,
                regularization=regularisation,
                alpha=confidence,
                iterations=iterations,
                use_cg=False,
                random_state=seed,
            )

    def _learn(self, training: Interactions) -> None:
        taken = training.without_repeats().sequences.matrix(len(training.item_ids))
        with _one_blas_thread():
            self._model.fit(taken, show_progress=False)

    def _scores(self, requests: Requests) -> Scores:
        taken = requests.histories.matrix(len(self._fitted))
        with _one_blas_thread():
            users = self._model.recalculate_user(np.arange(len(requests)), taken)
        scores: Scores = (users.astype(np.float64) @ self._model.item_factors.T).astype(np.float32)
        return scores


def _one_blas_thread() -> AbstractContextManager[Any]:
    """For implicit, which runs its own threads, and warns where a BLAS below each of them has some too."""
    if find_spec("implicit") is None or find_spec("threadpoolctl") is None:
        raise MissingExtraError("implicit", extra="als", purpose="the ALS baseline")
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits


def _ease_weights(taken: csr_matrix, regularisation: float) -> Scores:
    """B of `Ease`, float32 [items, items], from the sparse matrix of who took what."""
    # The transpose is the same matrix, laid out as LAPACK wants it.
    gram = (taken.T @ taken).toarray().T
    gram[np.diag_indices_from(gram)] += regularisation
    # The matrix is symmetric and positive definite: half the work and half the memory of a general inverse.
    factor, failed = lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse, failed_too = lapack.spotri(factor, lower=True, overwrite_c=True)
    if failed or failed_too:
        raise DataError("EASE cannot be solved", hint="give a larger regularisation")
    for row in range(len(inverse)):
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    weights: Scores = np.ascontiguousarray(inverse)
    weights /= -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


def _decayed(requests: Requests, items: int, half_life: float) -> csr_matrix:
    """Histories as sparse float32 [n, items], the newest event with weight 1."""
    return requests.histories.matrix(items, np.power(0.5, requests.histories.ages / half_life))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.zeros_like(vectors)
    np.divide(vectors, lengths, out=unit, where=lengths > 0)
    return unit
