"""The sequence encoder as a system under test: what `fit` trains, fitted on the training part of a split alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluation.interactions import NO_TIME, Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.evaluation.systems import rank_by_score
from llmrec.retrieval import (
    EncoderConfig,
    EncoderTraining,
    EventArrays,
    EventVocabulary,
    FittedEncoder,
    TrainingOptions,
)
from llmrec.retrieval.training import TrainingExamples, train

__all__ = ["EncoderSystem"]

_AT_ONCE = 128


class EncoderSystem:
    """The retriever: item vectors and a causal network over the events.

    Args:
        texts: A text vector for each item row, float32 [items, text_dimension]; zeros make it a plain SASRec.
        config: The encoder's shape.
        options: How to train.
        name: What the report calls it.
        checkpoint: File that an interrupted training goes on from.
        progress: Show a bar on a terminal.
    """

    def __init__(
        self,
        texts: NDArray[np.float32],
        config: EncoderConfig,
        options: TrainingOptions,
        *,
        name: str = "retriever",
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> None:
        self.name = name
        self.training: EncoderTraining | None = None
        self._texts = texts
        self._config = config
        self._options = options
        self._checkpoint = checkpoint
        self._progress = progress
        self._fitted: FittedEncoder | None = None
        self._kinds: tuple[str, ...] = ()

    def fit(self, training: Interactions) -> None:
        """Train on what the split allows; of each user the newest event there says when to stop."""
        self._kinds = training.kind_names
        vocabulary = self._vocabulary(training.sequences)
        users = list(self._arrays(training.sequences, vocabulary))
        examples = TrainingExamples.holding_out(
            users,
            self._texts,
            kinds=len(vocabulary.kinds),
            fingerprint=training.sha256 + hashlib.sha256(self._texts.tobytes()).hexdigest(),
        )
        model, self.training = train(
            examples, self._config, self._options, checkpoint=self._checkpoint, progress=self._progress
        )
        self._fitted = FittedEncoder(model.cpu(), vocabulary, training.item_ids)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]."""
        return rank_by_score(self._scores, requests, k, len(self._texts))

    def score(self, requests: Requests, rows: Rows) -> Floats:
        """The logit of one item for each request, float64 [n]."""
        return np.array([self._scores(requests.take(np.array([place])))[0, row] for place, row in enumerate(rows)])

    def _scores(self, requests: Requests) -> NDArray[np.float32]:
        assert self._fitted is not None, "fit it first"
        users = list(self._arrays(requests.histories, self._fitted.vocabulary))
        items = self._fitted.item_vectors(self._texts)
        states = [
            self._fitted.states(users[start : start + _AT_ONCE], items) for start in range(0, len(users), _AT_ONCE)
        ]
        scores: NDArray[np.float32] = np.concatenate(states) @ items.numpy().T
        return scores

    def _vocabulary(self, sequences: Sequences) -> EventVocabulary:
        values = sequences.values if sequences.values is not None else np.full(len(sequences.rows), np.nan)
        return EventVocabulary.of(self._kinds or ("event",), values)

    def _arrays(self, sequences: Sequences, vocabulary: EventVocabulary) -> Iterator[EventArrays]:
        """Each sequence as the encoder reads it."""
        for start, stop in zip(sequences.indptr[:-1], sequences.indptr[1:], strict=True):
            part = slice(start, stop)
            unknown = np.full(stop - start, np.nan)
            kinds = (
                ["event"] * (stop - start)
                if sequences.kinds is None
                else [self._kinds[k] for k in sequences.kinds[part]]
            )
            yield vocabulary.encode(
                rows=sequences.rows[part],
                kinds=kinds,
                values=unknown if sequences.values is None else sequences.values[part],
                times=unknown if sequences.times is None else _seconds(sequences.times[part]),
            )


def _seconds(times: Rows) -> Floats:
    return np.where(times == NO_TIME, np.nan, times / 1e6)
