"""The sequence encoder as a system under test: what `fit` trains, fitted on the training part of a split alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        self._kinds: tuple[str, ...] = ()
        self._fitted: FittedEncoder | None = None
        self._items: Tensor = torch.empty(0)
        # Items with training events come first: the others have no vector of their own and are nobody's negatives.
        self._order: Rows = np.arange(len(texts))

    def fit(self, training: Interactions) -> None:
        """Train on what the split allows; the newest event there of some users says when to stop."""
        self._kinds = training.kind_names
        # Without texts there is nothing to know an item by that nobody took: a plain SASRec has it as a negative.
        met = training.item_counts > 0 if self._texts.any() else np.ones(len(self._texts), np.bool_)
        self._order = np.concatenate([np.flatnonzero(met), np.flatnonzero(~met)])
        texts = self._texts[self._order]
        vocabulary = self._vocabulary(training.sequences)
        examples = TrainingExamples.holding_out(
            list(self._arrays(training.sequences, vocabulary)),
            training.user_ids,
            texts[: met.sum()],
            kinds=len(vocabulary.kinds),
            fingerprint=training.sha256 + hashlib.sha256(self._texts.tobytes()).hexdigest(),
        )
        model, self.training = train(
            examples, self._config, self._options, checkpoint=self._checkpoint, progress=self._progress
        )
        trained = tuple(training.item_ids[row] for row in np.flatnonzero(met))
        self._fitted = FittedEncoder(model.cpu(), vocabulary, trained)
        self._items = self._fitted.item_vectors(texts)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]."""
        vectors = self._item_vectors()
        return rank_by_score(lambda asked: self._states(asked) @ vectors.T, requests, k, len(self._texts))

    def score(self, requests: Requests, rows: Rows) -> Floats:
        """The logit of one item for each request, float64 [n]."""
        logits: Floats = np.einsum("nd,nd->n", self._states(requests), self._item_vectors()[rows], dtype=np.float64)
        return logits

    def _states(self, requests: Requests) -> NDArray[np.float32]:
        assert self._fitted is not None, "fit it first"
        users = list(self._arrays(requests.histories, self._fitted.vocabulary))
        parts = [users[start : start + _AT_ONCE] for start in range(0, len(users), _AT_ONCE)]
        return np.concatenate([self._fitted.states(part, self._items) for part in parts])

    def _item_vectors(self) -> NDArray[np.float32]:
        """The vector of each item row."""
        vectors = np.empty(self._items.shape, np.float32)
        vectors[self._order] = self._items.numpy()
        return vectors

    def _vocabulary(self, sequences: Sequences) -> EventVocabulary:
        values = sequences.values if sequences.values is not None else np.full(len(sequences.rows), np.nan)
        return EventVocabulary.of(self._kinds or ("event",), values)

    def _arrays(self, sequences: Sequences, vocabulary: EventVocabulary) -> Iterator[EventArrays]:
        """Each sequence as the encoder reads it."""
        places = np.argsort(self._order)
        for start, stop in zip(sequences.indptr[:-1], sequences.indptr[1:], strict=True):
            part = slice(start, stop)
            unknown = np.full(stop - start, np.nan)
            kinds = (
                ["event"] * (stop - start)
                if sequences.kinds is None
                else [self._kinds[k] for k in sequences.kinds[part]]
            )
            yield vocabulary.encode(
                rows=places[sequences.rows[part]],
                kinds=kinds,
                values=unknown if sequences.values is None else sequences.values[part],
                times=unknown if sequences.times is None else _seconds(sequences.times[part]),
            )


def _seconds(times: Rows) -> Floats:
    return np.where(times == NO_TIME, np.nan, times / 1e6)
