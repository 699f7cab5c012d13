"""From stored behaviour to a trained encoder: the newest event of some users is held out to know when to stop."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrec.records import Event
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.encoder import EncoderConfig
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.sequences import EventArrays, EventVocabulary
from llmrec.retrieval.training import EncoderTraining, TrainingExamples, TrainingOptions, train, validation_users

__all__ = ["EncoderFit", "fit_encoder"]


@dataclass(frozen=True, slots=True)
class EncoderFit:
    """What a training gave.

    Args:
        encoder: The trained encoder.
        training: How it went.
        held_out: The users whose newest event was not learnt from.
        began_anew: Whether what there was to begin with was left out, because it had learnt most of these events.
    """

    encoder: FittedEncoder
    training: EncoderTraining
    held_out: tuple[str, ...]
    began_anew: bool = False

    @classmethod
    def of(cls, encoder: FittedEncoder, users: Sequence[Sequence[Event]]) -> EncoderFit:
        """An encoder that was trained before on the same users' events, as if `fit_encoder` had just done it."""
        asked = validation_users([len(user) for user in users], [user[0].user_id for user in users])
        return cls(encoder, EncoderTraining(), tuple(users[place][0].user_id for place in sorted(asked)))


def fit_encoder(
    users: Sequence[Sequence[Event]],
    catalogue: Catalogue,
    config: EncoderConfig,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    previous: FittedEncoder | None = None,
    learnt: Collection[str] = (),
    progress: bool = False,
) -> EncoderFit:
    """Train a sequence encoder.

    Args:
        users: For each user, what they took of the catalogue, oldest first; at least one event each.
        catalogue: The items and their text vectors.
        config: The encoder's shape.
        options: How to train.
        checkpoint: File that an interrupted run goes on from.
        previous: An encoder to begin with instead of random weights, where the shapes fit.
        learnt: Users whose newest event it has learnt: it cannot be validated on them. Where they are most of those
            that would be held out, the training begins with random weights, and holds them out.
        progress: Show a bar on a terminal.
    """
    met = {event.item_id for user in users for event in user}
    # An item nobody took yet goes by its text, and is nobody's negative: it may be what they will all want.
    item_ids = tuple(item_id for item_id in catalogue.items if item_id in met)
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    texts = catalogue.index.vectors_of(item_ids)
    vocabulary = _vocabulary(users)
    arrays = [vocabulary.arrays(user, rows) for user in users]
    user_ids = [user[0].user_id for user in users]
    held = validation_users([len(user) for user in users], user_ids)
    anew = previous is not None and 2 * sum(user_ids[place] in learnt for place in held) > len(held)
    if previous is None or anew:
        previous, learnt = None, ()
    examples = TrainingExamples.holding_out(
        arrays,
        user_ids,
        texts,
        kinds=len(vocabulary.kinds),
        fingerprint=_fingerprint(arrays, item_ids, texts, learnt),
        learnt=learnt,
    )
    start_from = _start_weights(previous, item_ids, vocabulary.kinds) if previous else None
    model, state = train(examples, config, options, checkpoint=checkpoint, start_from=start_from, progress=progress)
    held_out = tuple(users[place][0].user_id for place in np.flatnonzero(examples.targets >= 0).tolist())
    return EncoderFit(FittedEncoder.of(model, vocabulary, item_ids, texts, examples.users), state, held_out, anew)


def _start_weights(previous: FittedEncoder, item_ids: Sequence[str], kinds: Sequence[str]) -> dict[str, Tensor]:
    """The weights of an encoder for other items and kinds; an item it does not know begins with its text part alone."""
    weights = previous.model.state_dict()
    return {
        **weights,
        "ids.weight": _rearranged(weights["ids.weight"], previous.item_ids, item_ids),
        # Number 0 stands for any other kind.
        "kinds.weight": _rearranged(weights["kinds.weight"], ("", *previous.vocabulary.kinds), ("", *kinds)),
    }


def _rearranged(table: Tensor, names: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """The rows of the wanted names, zeros where there is none."""
    rows = {name: row for row, name in enumerate(names)}
    known = [place for place, name in enumerate(wanted) if name in rows]
    arranged = torch.zeros(len(wanted), table.shape[1])
    arranged[known] = table[[rows[wanted[place]] for place in known]]
    return arranged


def _vocabulary(users: Sequence[Sequence[Event]]) -> EventVocabulary:
    events = [event for user in users for event in user]
    values = np.array([np.nan if event.value is None else event.value for event in events], dtype=np.float64)
    timed = any(event.timestamp is not None for event in events)
    return EventVocabulary.of([event.kind for event in events], values, timed=timed)


def _fingerprint(
    users: Sequence[EventArrays], item_ids: Sequence[str], texts: NDArray[np.float32], learnt: Collection[str]
) -> str:
    digest = hashlib.sha256("\n".join(item_ids).encode())
    digest.update(texts.tobytes())
    # Others would be held out: what a run with them has learnt must not be gone on from.
    digest.update("\n".join(sorted(learnt)).encode())
    for user in users:
        for name in EventArrays.__slots__:
            digest.update(getattr(user, name).tobytes())
    return digest.hexdigest()
