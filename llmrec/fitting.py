"""One fit: train the sequence encoder, weigh the opinions on held-out events, and put a release together.

The caller holds the workspace lock. Nothing is live before the release is whole and promoted; an interrupted training
goes on at the next fit from its checkpoint.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llmrec.config import EncoderSettings, Settings
from llmrec.data import Store
from llmrec.models import choose_device
from llmrec.ranking import Fusion, Ranker, fit_fusion, judge
from llmrec.records import Event, History
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import (
    HELD_OUT_FROM,
    Catalogue,
    EncodedSpace,
    EncoderConfig,
    EncoderTraining,
    FittedEncoder,
    Retriever,
    Space,
    TextSpace,
    TrainingOptions,
    fit_encoder,
)

__all__ = ["Fit"]

_HELD_OUT_USERS = 1_000


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit works with.

    Args:
        store: Users, items and events.
        catalogue: The items and their text vectors.
        settings: All settings.
        history: What is known of a user, as a request sees it.
        ranker: Asks the language model; None where it is switched off.
        checkpoint: File that an interrupted training goes on from.
        progress: Show bars.
    """

    store: Store
    catalogue: Catalogue
    settings: Settings
    history: Callable[[str], History]
    ranker: Ranker | None
    checkpoint: Path
    progress: bool

    def make(self, releases: ReleaseStore, prompt: str, previous: FittedEncoder | None) -> Release:
        """Fit everything and write the release; it is not live yet.

        Args:
            releases: Where to.
            prompt: Fingerprint of the template that asks the model.
            previous: The live release's encoder, to begin with.
        """
        snapshot = self.store.last_sequence()
        popularity = self.store.item_counts()
        fitted, training = self._encoder(previous, snapshot)
        space: Space = (
            EncodedSpace(fitted, self.catalogue)
            if fitted
            else TextSpace(self.catalogue, self.settings.retrieval.half_life)
        )
        retriever = Retriever(self.catalogue, space, popularity)
        parts: dict[str, object] = {
            "fusion.json": self._fusion(retriever, HELD_OUT_FROM if fitted else 2).to_dict(),
            "popularity.json": popularity,
            **(fitted.to_parts() if fitted else {}),
        }
        release = releases.create(parts, self._manifest(prompt, snapshot, training))
        self.checkpoint.unlink(missing_ok=True)
        return release

    def _encoder(
        self, previous: FittedEncoder | None, snapshot: int
    ) -> tuple[FittedEncoder | None, EncoderTraining | None]:
        wanted = self.settings.encoder
        if wanted.network == "none":
            return None, None
        behaviour = list(self._behaviour(snapshot))
        # What is learnt from is one event after another.
        if sum(len(events) - 1 for events in behaviour) < max(wanted.minimum_events, 1):
            return None, None
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        return fit_encoder(
            behaviour,
            self.catalogue,
            _shape(wanted),
            self._options(),
            checkpoint=self.checkpoint,
            previous=previous,
            progress=self.progress,
        )

    def _options(self) -> TrainingOptions:
        wanted = self.settings.encoder
        return TrainingOptions(
            epochs=wanted.epochs,
            patience=wanted.patience,
            batch_size=wanted.batch_size,
            learning_rate=wanted.learning_rate,
            seed=self.settings.fit.seed,
            device=str(choose_device(self.settings.models.device)),
        )

    def _behaviour(self, snapshot: int) -> Iterator[list[Event]]:
        """What each user took, up to the snapshot; what they refused is no example of what is taken next."""
        for user_id in self.store.users_with_history(1):
            events = self.store.events(user_id, before=snapshot + 1, behaviour=True)
            taken = [event for event in events if event.item_id in self.catalogue.items and not event.is_negative]
            if taken:
                yield taken

    def _fusion(self, retriever: Retriever, minimum: int) -> Fusion:
        requests = judge(self._held_out(minimum), retriever, self.settings.retrieval.candidates)
        hits = [request for request in requests if request.taken is not None]
        asked = hits[: self.settings.fit.calibration_users]
        if self.ranker is not None:
            bar = tqdm(asked, desc="weighing opinions", unit="user", disable=not self.progress)
            asked = [request.asked(self.ranker, self.catalogue) for request in bar]
        return fit_fusion(
            [request.judged() for request in asked],
            hits=len(hits),
            requests=len(requests),
            prior_retrieval=retriever.space.prior_weight,
        )

    def _held_out(self, minimum: int) -> Iterator[History]:
        """Histories of a sample of users whose newest event is on a wanted item that a request could have offered.

        Args:
            minimum: How many events on items a user has at least (with an encoder, enough to hold one out).
        """
        user_ids = self.store.users_with_history(minimum)
        random.Random(self.settings.fit.seed).shuffle(user_ids)  # noqa: S311 - a sample, not a secret
        for user_id in user_ids[:_HELD_OUT_USERS]:
            history = self.history(user_id)
            # Items may have come after the catalogue was read.
            events = tuple(
                event for event in history.events if event.item_id is None or event.item_id in self.catalogue.items
            )
            if len(events) < 2 or not events[-1].item_id or events[-1].is_negative:
                continue
            met = {event.item_id for event in events[:-1]}
            if events[-1].item_id not in met or not self.settings.retrieval.filter_seen:
                yield History(history.user, events)

    def _manifest(self, prompt: str, snapshot: int, training: EncoderTraining | None) -> dict[str, Any]:
        model = self.ranker.model if self.ranker else None
        sections = {"retrieval", "encoder", "ranking", "fit"}
        return {
            "base_model": model.sha256 if model else None,
            "base_model_name": model.name if model else None,
            "text_encoder": self.catalogue.index.items.encoder,
            "prompt": prompt,
            "data": {"last_sequence": snapshot, **self.store.counts()},
            "seed": self.settings.fit.seed,
            "settings": self.settings.model_dump(mode="json", include=sections),
            "metrics": {"validation_ndcg@10": training.best_ndcg, "epochs": training.epoch} if training else {},
            "parent": self.store.alias("rank"),
        }


def _shape(wanted: EncoderSettings) -> EncoderConfig:
    assert wanted.network != "none"
    return EncoderConfig(
        network=wanted.network,
        dimension=wanted.dimension,
        layers=wanted.layers,
        heads=wanted.heads,
        max_events=wanted.max_events,
        dropout=wanted.dropout,
        id_dropout=wanted.id_dropout,
    )
