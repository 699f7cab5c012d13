"""From stored behaviour to a trained encoder: each user's newest event is held out to know when to stop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from llmrec.records import Event
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.encoder import EncoderConfig
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.sequences import EventArrays, EventVocabulary
from llmrec.retrieval.training import EncoderTraining, TrainingExamples, TrainingOptions, train

__all__ = ["fit_encoder"]


def fit_encoder(
    behaviour: Iterable[Sequence[Event]],
    catalogue: Catalogue,
    config: EncoderConfig,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    previous: FittedEncoder | None = None,
    progress: bool = False,
) -> tuple[FittedEncoder, EncoderTraining]:
    """Train a sequence encoder.

    Args:
        behaviour: For each user, what they took, oldest first.
        catalogue: The items and their text vectors.
        config: The encoder's shape.
        options: How to train.
        checkpoint: File that an interrupted run goes on from.
        previous: An encoder to begin with instead of random weights, where the shapes fit.
        progress: Show a bar on a terminal.
    """
    item_ids = tuple(catalogue.items)
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    users = [known for events in behaviour if (known := [event for event in events if event.item_id in rows])]
    vocabulary = _vocabulary(users)
    arrays = [vocabulary.arrays(user, rows) for user in users]
    examples = TrainingExamples.holding_out(
        arrays,
        catalogue.index.vectors,
        kinds=len(vocabulary.kinds),
        fingerprint=_fingerprint(arrays, catalogue),
    )
    start_from = (
        previous.model.state_dict() if previous and previous.item_ids == item_ids[: len(previous.item_ids)] else None
    )
    model, state = train(examples, config, options, checkpoint=checkpoint, start_from=start_from, progress=progress)
    return FittedEncoder(model.cpu(), vocabulary, item_ids), state


def _vocabulary(users: Sequence[Sequence[Event]]) -> EventVocabulary:
    events = [event for user in users for event in user]
    values = np.array([np.nan if event.value is None else event.value for event in events], dtype=np.float64)
    return EventVocabulary.of([event.kind for event in events], values)


def _fingerprint(users: Sequence[EventArrays], catalogue: Catalogue) -> str:
    items = catalogue.index.items
    digest = hashlib.sha256("\n".join((items.encoder, *items.item_ids, *items.text_hashes)).encode())
    for user in users:
        for name in EventArrays.__slots__:
            digest.update(getattr(user, name).tobytes())
    return digest.hexdigest()
