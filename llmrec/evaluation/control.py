"""The control: a linear reranker of the retriever's own lists, to be beaten by whatever else reranks them.

It knows what the language model is given and what training behaviour says, but no language: the retriever's score, how
often an item follows those of the history, how popular it is, and how near its text is to theirs. An LLM ranker counts
by what it adds to this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, softmax

from llmrec.errors import NotFittedError
from llmrec.evaluation.encoders import FittedSystem
from llmrec.evaluation.interactions import Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.retrieval.training import validation_users

__all__ = ["Control", "transition_counts"]

FEATURES = ("retrieval", "follows_newest", "follows_recent", "popularity", "text")

_LISTED = 50
_STEPS_AFTER = (1.0, 0.5, 0.25, 0.125)
"""What it counts that an item comes one, two, three, four events after another."""
_HALF_LIVES = (1.0, 4.0)
_TEXT_HALF_LIFE = 3.0
_SMOOTHING = 20.0
_FLOOR = 1e-4
_PENALTY = 1e-3


class Control:
    """Reranks what a retriever found; the weights are fitted on events that the retriever has not learnt from.

    Args:
        retriever: The system whose lists are reranked; it is fitted before this one.
        vectors: The text vector of each item row, float32 [items, dimension]; None: texts do not count.
    """

    name = "control"

    def __init__(self, retriever: FittedSystem, vectors: NDArray[np.float32] | None) -> None:
        self._retriever = retriever
        self._vectors = None if vectors is None else _unit(vectors)
        self._training: Interactions | None = None
        self._follows = csr_matrix((0, 0))
        self.weights: Floats = np.array([1.0, *np.zeros(len(FEATURES) - 1)])

    def fit(self, training: Interactions) -> None:
        """Fit the weights on the events that the retriever held out, with counts that have not seen them either."""
        sequences = training.sequences
        held = np.array(sorted(validation_users(sequences.lengths, training.user_ids)), dtype=np.int64)
        known = sequences.lengths.copy()
        known[held] -= 1
        before = sequences.between(np.zeros_like(known), known)
        self._learn(training.with_sequences(before))
        if len(held):
            requests = Requests(held, before.take(held))
            targets = sequences.between(known, known + 1).take(held).rows
            lists, features = self._features(requests)
            found = lists == targets[:, None]
            hit = found.any(axis=1)
            self.weights = _fitted(features[hit], found[hit].argmax(axis=1), lists[hit] >= 0)
        self._learn(training)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The retriever's best items of each request in another order, int64 [n, k]; what it lists further stays."""
        lists, features = self._features(requests)
        scores = np.where(lists >= 0, features @ self.weights, -np.inf)
        order = np.argsort(-scores, axis=1, kind="stable")
        reranked = np.take_along_axis(lists, order, axis=1)
        if k <= _LISTED:
            return reranked[:, :k]
        return np.concatenate([reranked, self._retriever.rank(requests, k)[:, _LISTED:]], axis=1)

    def _learn(self, training: Interactions) -> None:
        self._training = training
        self._follows = transition_counts(training)

    def _features(self, requests: Requests) -> tuple[Rows, Floats]:
        """The retriever's lists, int64 [n, 50], and the features of their items, float64 [n, 50, features]."""
        if self._training is None:
            raise NotFittedError("control was not fitted", hint="call fit first")
        lists = self._retriever.rank(requests, _LISTED)
        listed = np.where(lists >= 0, lists, 0)
        flat = Sequences(np.arange(len(lists) + 1) * _LISTED, listed.reshape(-1))
        scores = self._retriever.score(requests, flat).reshape(listed.shape)
        counts = np.log1p(self._training.item_counts.astype(np.float64))
        columns = [scores, *(self._following(requests, listed, each) for each in _HALF_LIVES), counts[listed]]
        return lists, np.stack([*columns, self._similar(requests, listed)], axis=-1)

    def _following(self, requests: Requests, listed: Rows, half_life: float) -> Floats:
        """Log of how often the items follow those of the history, newer ones counted more."""
        histories = requests.histories
        weights = histories.matrix(self._follows.shape[0], np.power(0.5, histories.ages / half_life))
        expected = (weights @ self._follows).tocsr()
        found = np.stack([expected[place, row].toarray()[0] for place, row in enumerate(listed)])
        return np.asarray(np.log(found + _FLOOR), dtype=np.float64)

    def _similar(self, requests: Requests, listed: Rows) -> Floats:
        """Cosine of the items' texts with the decayed history's."""
        if self._vectors is None:
            return np.zeros(listed.shape)
        histories = requests.histories
        weights = histories.matrix(len(self._vectors), np.power(0.5, histories.ages / _TEXT_HALF_LIFE))
        query = _unit(weights @ self._vectors)
        cosines: Floats = np.einsum("nkd,nd->nk", self._vectors[listed], query).astype(np.float64)
        return cosines


def transition_counts(training: Interactions) -> csr_matrix:
    """How often an item (column) comes soon after another (row), of all that come after it; sparse [items, items]."""
    items, sequences = len(training.item_ids), training.sequences
    total = csr_matrix((items, items))
    for step, weight in enumerate(_STEPS_AFTER, 1):
        first = np.flatnonzero(sequences.ages >= step)
        pairs = (sequences.rows[first], sequences.rows[first + step])
        total = total + csr_matrix((np.full(len(first), weight), pairs), shape=(items, items))
    shares = 1 / (np.asarray(total.sum(axis=1)).reshape(-1) + _SMOOTHING)
    return csr_matrix(total.multiply(shares[:, None]))


def _fitted(features: Floats, targets: Rows, listed: NDArray[np.bool_]) -> Floats:
    """The weights that make the targets likeliest within their lists, from the retriever's order on.

    Args:
        features: [n, items, features].
        targets: The place of each list's target, [n].
        listed: Which places hold an item, [n, items].
    """
    spread = features[listed].std(axis=0)
    spread[spread == 0] = 1.0
    scaled = features / spread
    start = np.zeros(features.shape[-1])
    start[0] = spread[0]
    rows = np.arange(len(targets))

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = np.where(listed, scaled @ weights, -np.inf)
        away = weights - start
        chances = softmax(logits, axis=1)
        chances[rows, targets] -= 1
        gradient = np.einsum("nk,nkf->f", chances, scaled) / len(rows) + 2 * _PENALTY * away
        return float(-log_softmax(logits, axis=1)[rows, targets].mean() + _PENALTY * away @ away), gradient

    if not len(rows):
        return np.asarray(start / spread)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x / spread)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return unit
