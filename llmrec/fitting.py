"""One fit: train the sequence encoder, weigh the opinions on held-out events, and put a release together.

The caller holds the workspace lock. Nothing is live before the release is whole and promoted; an interrupted training
goes on at the next fit from its checkpoint.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llmrec.config import Settings
from llmrec.data import Store
from llmrec.files import replace_file
from llmrec.models import choose_device
from llmrec.ranking import Fusion, Ranker, fit_fusion, judge
from llmrec.records import Event, History
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import (
    Catalogue,
    ColdStart,
    EncodedSpace,
    EncoderConfig,
    EncoderFit,
    EncoderTraining,
    FittedEncoder,
    Popularity,
    Retriever,
    Space,
    TextSpace,
    TrainingOptions,
    count_groups,
    fit_encoder,
)

__all__ = ["Fit"]

_HELD_OUT_USERS = 1_000
_FEW_NEW_EVENTS = 0.05


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
        snapshot = self._snapshot()
        behaviour = list(self._behaviour(snapshot))
        taken = self._popularity(behaviour)
        fitted = self._encoder(previous, behaviour)
        retrieval = self.settings.retrieval
        space: Space = (
            EncodedSpace(fitted.encoder, self.catalogue, retrieval.newcomers)
            if fitted
            else TextSpace(self.catalogue, retrieval.half_life)
        )
        # No text encoder: who is asked about here has a history.
        cold = ColdStart(self.catalogue, space, taken, None, retrieval.half_life)
        retriever = Retriever(self.catalogue, space, cold)
        parts: dict[str, object] = {
            "fusion.json": self._fusion(retriever, fitted.held_out if fitted else None).to_dict(),
            "popularity.json": taken.counts,
            "groups.json": [asdict(group) for group in taken.groups],
            **(fitted.encoder.to_parts() if fitted else {}),
        }
        release = releases.create(parts, self._manifest(prompt, snapshot, fitted.training if fitted else None))
        self.checkpoint.unlink(missing_ok=True)
        self._interrupted.unlink(missing_ok=True)
        return release

    @property
    def _interrupted(self) -> Path:
        """Holds up to which event an interrupted fit learnt."""
        return self.checkpoint.with_suffix(".json")

    def _snapshot(self) -> int:
        """The last event to learn from: an interrupted fit's, where few came since, so that its training can go on."""
        last, encoder = self.store.last_sequence(), self.settings.encoder.model_dump(mode="json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._interrupted.read_bytes())
            few = kept["last_sequence"] <= last <= kept["last_sequence"] * (1 + _FEW_NEW_EVENTS)
            if self.checkpoint.exists() and kept["encoder"] == encoder and few:
                return int(kept["last_sequence"])
        self._interrupted.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._interrupted, json.dumps({"last_sequence": last, "encoder": encoder}).encode())
        return last

    def _popularity(self, behaviour: Sequence[Sequence[Event]]) -> Popularity:
        attributes = {user.user_id: user.attributes for user in self.store.users() if user.attributes}
        counts = Counter(str(event.item_id) for events in behaviour for event in events)
        return Popularity(counts, count_groups(behaviour, attributes))

    def _encoder(self, previous: FittedEncoder | None, behaviour: Sequence[Sequence[Event]]) -> EncoderFit | None:
        wanted = self.settings.encoder
        # What is learnt from is one event after another.
        steps = sum(len(events) - 1 for events in behaviour)
        if wanted.network == "none" or steps < max(wanted.minimum_events, 1):
            return None
        return fit_encoder(
            behaviour,
            self.catalogue,
            EncoderConfig.of(wanted),
            TrainingOptions.of(
                wanted, seed=self.settings.fit.seed, device=str(choose_device(self.settings.models.device))
            ),
            checkpoint=self.checkpoint,
            previous=previous,
            progress=self.progress,
        )

    def _behaviour(self, snapshot: int) -> Iterator[list[Event]]:
        """What each user took, up to the snapshot; what they refused is no example of what is taken next."""
        for _, events in groupby(self.store.events_by_user(), key=attrgetter("user_id")):
            taken = [event for event in events if self._teaches(event, snapshot)]
            if taken:
                yield taken

    def _teaches(self, event: Event, snapshot: int) -> bool:
        return event.is_taking and event.item_id in self.catalogue.items and (event.sequence or 0) <= snapshot

    def _fusion(self, retriever: Retriever, held_out: Sequence[str] | None) -> Fusion:
        requests = judge(self._held_out(held_out), retriever, self.settings.retrieval.candidates)
        hits = [request for request in requests if request.taken is not None]
        asked = hits
        if self.ranker is not None:
            some = hits[: self.settings.fit.calibration_users]
            bar = tqdm(some, desc="weighing opinions", unit="user", disable=not self.progress)
            asked = [request.asked(self.ranker, self.catalogue) for request in bar]
        return fit_fusion(
            [request.judged() for request in asked],
            [request.judged() for request in hits],
            requests=len(requests),
            prior_retrieval=retriever.space.prior_weight,
        )

    def _held_out(self, held_out: Sequence[str] | None) -> Iterator[History]:
        """Histories of a sample of users whose newest event is on a wanted item that a request could have offered.

        Args:
            held_out: The users whose newest event the encoder has not seen; None: there is no encoder.
        """
        user_ids = self.store.users_with_history(2) if held_out is None else list(held_out)
        random.Random(self.settings.fit.seed).shuffle(user_ids)  # noqa: S311 - a sample, not a secret
        for user_id in user_ids[:_HELD_OUT_USERS]:
            history = self.history(user_id)
            # Items may have come after the catalogue was read.
            events = tuple(
                event for event in history.events if event.item_id is None or event.item_id in self.catalogue.items
            )
            if not events or not events[-1].is_taking or not any(event.is_taking for event in events[:-1]):
                continue
            met = {event.item_id for event in events[:-1]}
            if events[-1].item_id not in met or not self.settings.retrieval.filter_seen:
                later = len(history.events) - len(events)
                yield History(history.user, events, history.seen, history.known - later)

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
