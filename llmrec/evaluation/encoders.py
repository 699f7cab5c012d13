"""The sequence encoder as a system under test: one trained before, or one trained on the training part of a split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from llmrec.errors import DataError
from llmrec.evaluation.interactions import NO_TIME, Floats, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.evaluation.systems import Scores, rank_by_score, scores_of
from llmrec.files import writing
from llmrec.retrieval import (
    EncoderConfig,
    EncoderTraining,
    EventArrays,
    EventVocabulary,
    FittedEncoder,
    SequenceEncoder,
    TrainingOptions,
)
from llmrec.retrieval.training import TrainingExamples, train

__all__ = ["EncoderSystem", "FittedSystem"]

_AT_ONCE = 128
_CODE = [
    files("llmrec.retrieval").joinpath(f"{name}.py").read_text(encoding="utf-8")
    for name in ("encoder", "losses", "sequences", "training")
]
"""What makes a training's result: a checkpoint of other code is not read as this code's."""


class FittedSystem:
    """A retriever that was trained before: item vectors and a causal network over the events.

    Who did nothing yet gets the most popular items of the training part.

    Args:
        texts: A text vector for each item row, float32 [items, text_dimension].
        fitted: The encoder; what it was trained on must not hold what it is asked.
        name: What the report calls it.
        newcomers: The share of the places on lists that goes to items nobody took yet.
    """

    def __init__(
        self,
        texts: NDArray[np.float32],
        fitted: FittedEncoder | None,
        *,
        name: str = "retriever",
        newcomers: float = 0.0,
    ) -> None:
        self.name = name
        self._texts = texts
        self._fitted = fitted
        self._newcomers = newcomers
        self._kinds: tuple[str, ...] = ()
        self._items: Tensor = torch.empty(0)
        self._lifts = np.zeros(len(texts), np.float32)
        # Items with an id vector come first.
        self._order: Rows = np.arange(len(texts))
        self._popularity: Scores = np.zeros(len(texts), np.float32)

    def fit(self, training: Interactions) -> None:
        """Find the encoder's items in the data; nothing is trained.

        Raises:
            DataError: The encoder is for other items or other texts.
        """
        assert self._fitted is not None
        self._kinds = training.kind_names
        self._popularity = np.log1p(training.item_counts).astype(np.float32)
        rows = {item_id: row for row, item_id in enumerate(training.item_ids)}
        missing = [item_id for item_id in self._fitted.item_ids if item_id not in rows]
        dimension = self._fitted.model.project.in_features
        if missing or dimension != self._texts.shape[1]:
            wrong = f"item {missing[0]!r}" if missing else f"texts of {dimension} numbers"
            raise DataError(f"the encoder was trained on other data: it knows {wrong}", hint="train one on this data")
        known = [rows.pop(item_id) for item_id in self._fitted.item_ids]
        self._order = np.array([*known, *rows.values()], dtype=np.int64)
        self._items = self._fitted.item_vectors(self._texts[self._order])
        self._lifts[self._order] = self._fitted.lifts(self._items, self._newcomers)

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]."""
        return rank_by_score(self._scores, requests, k, len(self._texts))

    def score(self, requests: Requests, targets: Sequences) -> Floats:
        """The log of the chance that each target, of all items, is taken next, float64 [target events]."""
        return scores_of(lambda asked: log_softmax(self._scores(asked), axis=1), requests, targets, len(self._texts))

    def _scores(self, requests: Requests) -> Scores:
        """The logits of all items, float32 [n, items]; for an empty history those of popularity."""
        scores: Scores = self._states(requests) @ self._item_vectors().T + self._lifts
        scores[requests.histories.lengths == 0] = self._popularity
        return scores

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


class EncoderSystem(FittedSystem):
    """The retriever as `fit` trains it, on the training part alone.

    Args:
        texts: A text vector for each item row, float32 [items, text_dimension]; zeros make it a plain SASRec.
        config: The encoder's shape.
        options: How to train.
        name: What the report calls it.
        newcomers: The share of the places on lists that goes to items nobody took yet.
        checkpoints: Directory of the files that interrupted trainings go on from, and finished ones are read from.
        progress: Show a bar on a terminal.
    """

    def __init__(
        self,
        texts: NDArray[np.float32],
        config: EncoderConfig,
        options: TrainingOptions,
        *,
        name: str = "retriever",
        newcomers: float = 0.0,
        checkpoints: Path | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(texts, None, name=name, newcomers=newcomers)
        self.training: EncoderTraining | None = None
        self._config = config
        self._options = options
        self._checkpoints = checkpoints
        self._progress = progress

    @property
    def fit_seconds(self) -> float:
        """What the whole training took, what was done in earlier calls included."""
        assert self.training is not None, "fit it first"
        return self.training.seconds

    def fit(self, training: Interactions) -> None:
        """Train on what the split allows; the newest event there of some users says when to stop.

        Raises:
            StoreError: A checkpoint cannot be written.
        """
        self._kinds = training.kind_names
        # Without texts there is nothing to know an item by that nobody took: a plain SASRec has it as a negative.
        met = training.item_counts > 0 if self._texts.any() else np.ones(len(self._texts), np.bool_)
        self._order = np.concatenate([np.flatnonzero(met), np.flatnonzero(~met)])
        vocabulary = self._vocabulary(training.sequences)
        examples = TrainingExamples.holding_out(
            list(self._arrays(training.sequences, vocabulary)),
            training.user_ids,
            self._texts[met],
            kinds=len(vocabulary.kinds),
            fingerprint=training.sha256 + hashlib.sha256(self._texts.tobytes()).hexdigest(),
        )
        trained = [training.item_ids[row] for row in np.flatnonzero(met)]
        model = self._train(examples)
        self._fitted = FittedEncoder.of(model, vocabulary, trained, examples.texts, examples.users)
        super().fit(training)

    def _train(self, examples: TrainingExamples) -> SequenceEncoder:
        directory, name = self._checkpoints, _checkpoint_name(examples.fingerprint, self._config, self._options)
        with writing(directory) if directory else nullcontext():
            checkpoint = directory and directory / name
            model, self.training = train(
                examples, self._config, self._options, checkpoint=checkpoint, progress=self._progress
            )
        return model

    def _vocabulary(self, sequences: Sequences) -> EventVocabulary:
        values = sequences.values if sequences.values is not None else np.full(len(sequences.rows), np.nan)
        timed = sequences.times is not None and bool((sequences.times != NO_TIME).any())
        return EventVocabulary.of(self._kinds or ("event",), values, timed=timed)


def _seconds(times: Rows) -> Floats:
    return np.where(times == NO_TIME, np.nan, times / 1e6)


def _checkpoint_name(fingerprint: str, config: EncoderConfig, options: TrainingOptions) -> str:
    """A name of its own for everything that makes another result, so that no run takes the place of another's."""
    parts = [fingerprint, asdict(config), asdict(options), torch.__version__, *_CODE]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    return f"encoder-{digest.hexdigest()[:32]}.safetensors"
