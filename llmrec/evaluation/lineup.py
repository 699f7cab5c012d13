"""The systems of a standard evaluation: the baselines that every report has, and the retriever as `fit` trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.config import Settings
from llmrec.errors import MissingExtraError
from llmrec.evaluation.baselines import Als, Ease, Popularity, TextOnly
from llmrec.evaluation.control import Control
from llmrec.evaluation.encoders import EncoderSystem, FittedSystem
from llmrec.evaluation.interactions import Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.evaluation.systems import System
from llmrec.models import choose_device
from llmrec.retrieval import EncoderConfig, FittedEncoder, TrainingOptions

__all__ = ["Lineup", "SasRec", "baselines", "retrievers"]

RETRIEVER = "retriever"
_SHIPPED = "The retriever was trained before; its README says on what."


@dataclass(frozen=True, slots=True)
class Lineup:
    """Which systems take part.

    Args:
        settings: The shape of the encoder and how it is trained, as for `fit`.
        seeds: One training each; the first is called ``retriever``, the others ``retriever-SEED``, and so the controls.
        baselines_only: Train nothing.
        shipped: An encoder that is the retriever, instead of training one; it has not seen the test's events.
        sasrec: Add the same network without texts, trained with the first seed.
        gru: Add the second encoder, a GRU with attention pooling, trained with the first seed.
        checkpoints: Directory from which interrupted trainings go on, and finished ones are read.
        progress: Show bars on a terminal.
    """

    settings: Settings
    seeds: Sequence[int] = (1,)
    baselines_only: bool = False
    shipped: FittedEncoder | None = None
    sasrec: bool = False
    gru: bool = False
    checkpoints: Path | None = None
    progress: bool = False


class SasRec:
    """A plain SASRec (Kang and McAuley 2018): the retriever's network, told only which items came in which order.

    Args:
        encoder: Made with texts of zeros.
    """

    name = "sasrec"

    def __init__(self, encoder: EncoderSystem) -> None:
        self._encoder = encoder

    def fit(self, training: Interactions) -> None:
        """Train on the order of the items."""
        self._encoder.fit(replace(training, sequences=_order_of(training.sequences), kind_names=()))

    @property
    def fit_seconds(self) -> float:
        """As the encoder's."""
        return self._encoder.fit_seconds

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]."""
        return self._encoder.rank(Requests(requests.users, _order_of(requests.histories)), k)


def baselines(vectors: NDArray[np.float32] | None) -> tuple[list[System], list[str]]:
    """Popularity, EASE, ALS and, given text vectors, texts alone; and a note for each that is missing."""
    systems: list[System] = [Popularity(), Ease()]
    notes = []
    try:
        systems.append(Als())
    except MissingExtraError as missing:
        notes.append(f"Without ALS: {missing}; {missing.hint}")
    if vectors is None:
        notes.append("Nothing is known of the items but their ids, so no system goes by texts.")
    else:
        systems.append(TextOnly(vectors))
    return systems, notes


def retrievers(
    interactions: Interactions, training: Interactions, vectors: NDArray[np.float32] | None, lineup: Lineup
) -> tuple[list[System], list[str]]:
    """The retriever and the control over it, once for each seed, and what a reader should know of them.

    Where `fit` would train no encoder, neither does this: the retriever then goes by texts alone, as it does in a
    workspace.

    Args:
        interactions: All events; they are counted as `fit` does.
        training: What the systems will be fitted on.
        vectors: The text vector of each item row; None: the retriever knows items by their ids.
        lineup: Which systems.
    """
    wanted = lineup.settings.encoder
    if lineup.baselines_only:
        return [], []
    nothing = np.zeros((len(training.item_ids), 1), np.float32)
    if lineup.shipped is not None:
        texts = nothing if vectors is None else vectors
        newcomers = lineup.settings.retrieval.newcomers
        shipped = FittedSystem(texts, lineup.shipped, name=RETRIEVER, newcomers=newcomers)
        return [shipped, _control(shipped, vectors, lineup)], [_SHIPPED]
    too_little = _learnable(interactions) < wanted.minimum_events or not _learnable(training)
    if wanted.network == "none" or too_little:
        return _untrained(vectors, lineup.settings)
    config = EncoderConfig.of(wanted)
    trained = [_trained(nothing if vectors is None else vectors, config, lineup, seed) for seed in lineup.seeds]
    systems: list[System] = [*trained, *(_control(system, vectors, lineup) for system in trained)]
    if lineup.gru:
        second = EncoderConfig.of(wanted.model_copy(update={"network": "gru"}))
        systems.insert(
            0, _trained(nothing if vectors is None else vectors, second, lineup, lineup.seeds[0], name="gru")
        )
    if lineup.sasrec:
        plain = replace(config, id_dropout=0.0)
        systems.insert(0, SasRec(_trained(nothing, plain, lineup, lineup.seeds[0])))
    return systems, []


def _control(retriever: FittedSystem, vectors: NDArray[np.float32] | None, lineup: Lineup) -> Control:
    retrieval, name = lineup.settings.retrieval, retriever.name.replace(RETRIEVER, "control")
    return Control(retriever, vectors, candidates=retrieval.candidates, name=name, text_share=retrieval.text_share)


def _untrained(vectors: NDArray[np.float32] | None, settings: Settings) -> tuple[list[System], list[str]]:
    if vectors is None:
        return [], ["There are too few events to train a retriever, and no texts to go by."]
    system = TextOnly(vectors, settings.retrieval.half_life)
    system.name = RETRIEVER
    note = (
        "The retriever goes by texts alone, as it does in a workspace with [encoder] network = none or with fewer "
        f"events than minimum_events = {settings.encoder.minimum_events}, or no training event follows another."
    )
    return [system], [note]


def _trained(
    texts: NDArray[np.float32], config: EncoderConfig, lineup: Lineup, seed: int, *, name: str | None = None
) -> EncoderSystem:
    device = str(choose_device(lineup.settings.models.device))
    options = TrainingOptions.of(lineup.settings.encoder, seed=seed, device=device)
    return EncoderSystem(
        texts,
        config,
        options,
        name=name or (RETRIEVER if seed == lineup.seeds[0] else f"{RETRIEVER}-{seed}"),
        newcomers=lineup.settings.retrieval.newcomers,
        checkpoints=lineup.checkpoints,
        progress=lineup.progress,
    )


def _learnable(interactions: Interactions) -> int:
    """How many events follow another one of their user: what there is to learn from."""
    lengths = interactions.sequences.lengths
    return int(lengths.sum() - (lengths > 0).sum())


def _order_of(sequences: Sequences) -> Sequences:
    return Sequences(sequences.indptr, sequences.rows)
