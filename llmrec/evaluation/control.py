"""The control: a linear reranker of the retriever's own lists, to be beaten by whatever else reranks them.

It knows what the language model is given and what training behaviour says, but no language: the retriever's score and
the evidence of `retrieval.evidence`. An LLM ranker counts by what it adds to this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import NotFittedError
from llmrec.evaluation.encoders import FittedSystem
from llmrec.evaluation.interactions import Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.retrieval.evidence import TEXT_HALF_LIFE, Evidence
from llmrec.retrieval.spaces import decayed_mean
from llmrec.retrieval.training import validation_users

__all__ = ["Control"]


class Control:
    """Reranks what a retriever found; the weights are fitted on events that the retriever has not learnt from.

    Args:
        retriever: The system whose lists are reranked; it is fitted before this one.
        vectors: The text vector of each item row, float32 [items, dimension]; None: texts do not count.
        candidates: How many items are reranked.
        name: What the report calls it.
        text_share: How much of them are those whose texts are nearest to the newest item's, instead of the retriever's.
    """

    def __init__(
        self,
        retriever: FittedSystem,
        vectors: NDArray[np.float32] | None,
        *,
        candidates: int = 50,
        name: str = "control",
        text_share: float = 0.0,
    ) -> None:
        self.name = name
        self._candidates = candidates
        self._retriever = retriever
        self._vectors = None if vectors is None else _unit(vectors)
        self._text_share = 0.0 if vectors is None else text_share
        self.evidence: Evidence | None = None
        self._met: NDArray[np.bool_] = np.zeros(0, np.bool_)

    def fit(self, training: Interactions) -> None:
        """Fit the weights on the events that the retriever held out, with counts that have not seen them either."""
        sequences = training.sequences
        held = np.array(sorted(validation_users(sequences.lengths, training.user_ids)), dtype=np.int64)
        known = sequences.lengths.copy()
        known[held] -= 1
        before = sequences.between(np.zeros_like(known), known)
        self._met = training.item_counts > 0
        self.evidence = Evidence.of(training.item_ids, before, self._text_share)
        lists, features = self._features(Requests(held, before.take(held)))
        found = lists == sequences.between(known, known + 1).take(held).rows[:, None]
        hit = found.any(axis=1)
        weighed = self.evidence.weighed(features[hit], found[hit].argmax(axis=1), lists[hit] >= 0)
        self.evidence = weighed.recounted(sequences)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The retriever's best items of each request in another order, int64 [n, k]; what it lists further stays.

        Where nothing is known of the user there is nothing to go by, and its order stays too.
        """
        lists, features = self._features(requests)
        assert self.evidence is not None
        scores = np.where(lists >= 0, self.evidence.rescored(features[:, :, 0], features[:, :, 1:]), -np.inf)
        reranked = np.take_along_axis(lists, np.argsort(-scores, axis=1, kind="stable"), axis=1)
        silent = requests.histories.lengths == 0
        reranked[silent] = lists[silent]
        if k <= self._candidates:
            return reranked[:, :k]
        further = self._retriever.rank(requests, k)
        rest = [row[~np.isin(row, listed)] for row, listed in zip(further, lists, strict=True)]
        padded = [np.pad(row, (0, k), constant_values=-1)[: k - self._candidates] for row in rest]
        return np.concatenate([reranked, padded], axis=1)

    def _lists(self, requests: Requests) -> Rows:
        """The items that are reranked, int64 [n, candidates], filled up with -1."""
        near = round(self._text_share * self._candidates)
        lists = self._retriever.rank(requests, self._candidates - near)
        if not near:
            return lists
        assert self._vectors is not None
        found = np.full((len(lists), near), -1, np.int64)
        for place, history in enumerate(requests.histories):
            if len(history):
                cosines = self._vectors @ self._vectors[history[-1]]
                cosines[history] = -np.inf
                cosines[lists[place][lists[place] >= 0]] = -np.inf
                best = np.argsort(-cosines, kind="stable")[:near]
                best = best[np.isfinite(cosines[best])]
                found[place, : len(best)] = best
        return np.concatenate([lists, found], axis=1)

    def _features(self, requests: Requests) -> tuple[Rows, Floats]:
        """What is reranked, int64 [n, k]; the retriever's score of it and the evidence, [n, k, 1 + features]."""
        if self.evidence is None:
            raise NotFittedError("control was not fitted", hint="call fit first")
        lists = self._lists(requests)
        listed = np.where(lists >= 0, lists, 0)
        flat = Sequences(np.arange(len(lists) + 1) * self._candidates, listed.reshape(-1))
        features = np.empty((*lists.shape, 1 + len(self.evidence.names)))
        features[:, :, 0] = self._retriever.score(requests, flat).reshape(listed.shape)
        for place, (history, rows) in enumerate(zip(requests.histories, listed, strict=True)):
            # As in a workspace, what nobody took is not among the items that are counted.
            known, counted = (np.where(self._met[some], some, -1) for some in (history, rows))
            near = self._cosines(history[-1:], rows)
            features[place, :, 1:] = self.evidence.features(known, counted, self._cosines(history, rows), near)
        return lists, features

    def _cosines(self, history: Rows, listed: Rows) -> Floats:
        """Of the items' texts with the decayed history's."""
        if self._vectors is None or not len(history):
            return np.zeros(len(listed))
        query = decayed_mean(self._vectors[history[::-1]], TEXT_HALF_LIFE)
        return np.zeros(len(listed)) if query is None else np.asarray(self._vectors[listed] @ query, dtype=np.float64)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return unit
