"""One fit: train the sequence encoder, weigh the opinions on held-out events, and put a release together.

The caller holds the workspace lock. Nothing is live before the release is whole and promoted; an interrupted training
goes on at the next fit from its checkpoint.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec.config import Settings
from llmrec.data import Store
from llmrec.errors import ConfigError
from llmrec.files import replace_file
from llmrec.models import choose_device
from llmrec.ranking import Fusion, HeldOutRequest, Ranker, fit_fusion, judge
from llmrec.records import Event, History
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import (
    Catalogue,
    ColdStart,
    EncodedSpace,
    EncoderConfig,
    EncoderFit,
    Evidence,
    FittedEncoder,
    Popularity,
    Retriever,
    Space,
    TextSpace,
    TrainingOptions,
    count_groups,
    fit_encoder,
)
from llmrec.words import rated_comments

__all__ = ["Fit", "FittedRetriever", "TrainedRanker", "items_of", "last_learning"]

_logger = logging.getLogger(__name__)

_HELD_OUT_USERS = 1_000
_FEW_NEW_EVENTS = 0.05


@dataclass(frozen=True, slots=True)
class FittedRetriever:
    """What finds candidates, and what it does on requests whose answers it has not seen.

    Args:
        retriever: With the evidence.
        taken: Events on each item.
        requests: Held-out requests, their candidates in the order of evidence that has not seen the answers.
        prior_weight: What its score weighs before anything is known.
        trained: The sequence encoder; None: texts alone.
        evidence: What orders the encoder's candidates.
    """

    retriever: Retriever
    taken: Popularity
    requests: tuple[HeldOutRequest, ...]
    prior_weight: float
    trained: EncoderFit | None
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class TrainedRanker:
    """What asks the language model.

    Args:
        ranker: With the adapter, where there is one; None where the model is switched off.
        parts: The adapter's files in the release.
        metrics: How its training went.
        validation_lists: The first so many held-out lists chose the adapter. It is weighed on as many at least, and on
            others where there are enough.
    """

    ranker: Ranker | None
    parts: Mapping[str, bytes] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    validation_lists: int = 0


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
        hidden: Sequences of events that this fit may not know of.
        encoder: Taken as it is instead of training one; what it was trained on holds nothing that is hidden, and no
            newest event of the users that a training would hold out.
        learnt: Users whose newest event that is not hidden the live release has learnt, because it knows a later one.
    """

    store: Store
    catalogue: Catalogue
    settings: Settings
    history: Callable[[str], History]
    ranker: Ranker | None
    checkpoint: Path
    progress: bool
    hidden: frozenset[int] = frozenset()
    encoder: FittedEncoder | None = None
    learnt: frozenset[str] = frozenset()

    def make(
        self,
        releases: ReleaseStore,
        prompt: str,
        previous: FittedEncoder | None,
        train: Callable[[Fit, FittedRetriever, int], TrainedRanker] | None = None,
        withhold: Callable[[Fit, int], frozenset[int]] | None = None,
    ) -> Release:
        """Fit everything and write the release; it is not live yet.

        Args:
            releases: Where to.
            prompt: Fingerprint of the template that asks the model.
            previous: The live release's encoder, to begin with.
            train: Trains an adapter over the retriever; None: the language model is asked as it is.
            withhold: Of the events up to a sequence, those that nothing of the release may know of; None: none.
        """
        began, snapshot = datetime.now(UTC), self.snapshot()
        fit = self
        if withhold is not None:
            hidden = self.hidden | withhold(self, snapshot)
            fit = replace(
                self, hidden=hidden, learnt=self._learnt_without(hidden, releases) if previous else frozenset()
            )
        return fit._made(releases, prompt, previous, train, began=began, snapshot=snapshot)

    def _made(
        self,
        releases: ReleaseStore,
        prompt: str,
        previous: FittedEncoder | None,
        train: Callable[[Fit, FittedRetriever, int], TrainedRanker] | None,
        *,
        began: datetime,
        snapshot: int,
    ) -> Release:
        fitted = self.retriever(snapshot, previous)
        trained = TrainedRanker(self.ranker) if train is None else train(self, fitted, snapshot)
        parts: dict[str, object] = {
            "popularity.json": fitted.taken.counts,
            "groups.json": [asdict(group) for group in fitted.taken.groups],
        }
        if fitted.trained and fitted.evidence:
            parts |= {**fitted.trained.encoder.to_parts(), **fitted.evidence.to_parts()}
        parts |= {**trained.parts, **self._comments(snapshot)}
        parts["fusion.json"] = self._fusion(fitted, trained).to_dict()
        manifest = self._manifest(prompt, snapshot, fitted, trained, learns=train is not None)
        return releases.create(parts, {**manifest, "began": began.isoformat()})

    def tidy(self, *, trained: bool) -> None:
        """Remove what an interrupted run would go on from, once the release is safe.

        Args:
            trained: Whether an adapter was trained too: then of that as well.
        """
        for path in (self.checkpoint, self._interrupted):
            path.unlink(missing_ok=True)
        for path in self.checkpoint.parent.glob("*") if trained else ():
            if path.is_file():
                path.unlink()
            elif path.name != "board":
                shutil.rmtree(path)

    def retriever(self, snapshot: int, previous: FittedEncoder | None) -> FittedRetriever:
        """Train the encoder and weigh the evidence.

        Args:
            snapshot: The last event to learn from.
            previous: An encoder to begin with.
        """
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
        # Where texts are all there is, they propose everything anyway.
        share = retrieval.text_share if fitted else 0.0
        told = self.settings.ranking.evidence
        retriever = Retriever(self.catalogue, space, cold, told=told, text_share=share)
        held_out = self._held_out(fitted.held_out if fitted else None, snapshot)
        requests = judge(held_out, retriever, retrieval.candidates, filter_seen=retrieval.filter_seen)
        evidence = None
        if fitted:
            requests, evidence = _evidence(behaviour, fitted, requests, retriever, share)
        return FittedRetriever(
            retriever.with_evidence(evidence), taken, tuple(requests), space.prior_weight, fitted, evidence
        )

    @property
    def _interrupted(self) -> Path:
        """Holds up to which event an interrupted fit learnt."""
        return self.checkpoint.with_suffix(".json")

    def snapshot(self) -> int:
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

    def _comments(self, snapshot: int) -> dict[str, object]:
        """The comments that say how comments sound here, for the release: their sequences, never their words."""
        least = self.settings.feedback.rated_comments
        told = rated_comments(self._events(snapshot)) if least else []
        return {"comments.json": told} if least and len(told) >= least else {}

    def _events(self, snapshot: int) -> Iterator[list[Event]]:
        """What each user who may be learnt from did and said, up to the snapshot."""
        for _, events in groupby(self.store.events_to_learn_from(), key=attrgetter("user_id")):
            yield [one for one in events if self._may_know(one) and (one.sequence or 0) <= snapshot]

    def _learnt_without(self, hidden: frozenset[int], releases: ReleaseStore) -> frozenset[str]:
        """Users with a hidden event that the live release knows: it held that out, and has learnt the one before."""
        champion = releases.champion()
        if champion is None or not hidden:
            return frozenset()
        events = (event for event in self.store.events_to_learn_from() if event.sequence in hidden)
        return frozenset(event.user_id for event in events if champion.may_know(event.sequence or 0))

    def _popularity(self, behaviour: Sequence[Sequence[Event]]) -> Popularity:
        attributes = {user.user_id: user.attributes for user in self.store.users() if user.attributes}
        counts = Counter(str(event.item_id) for events in behaviour for event in events)
        return Popularity(counts, count_groups(behaviour, attributes))

    def _encoder(self, previous: FittedEncoder | None, behaviour: Sequence[Sequence[Event]]) -> EncoderFit | None:
        wanted = self.settings.encoder
        # What is learnt from is one event after another.
        steps = sum(len(events) - 1 for events in behaviour)
        if self.encoder is not None:
            _require_known(self.encoder, behaviour)
            return EncoderFit.of(self.encoder, behaviour)
        if wanted.network == "none" or steps < max(wanted.minimum_events, 1):
            if self.settings.ranking.evidence:
                _logger.warning("without a sequence encoder nothing is counted, so [ranking] evidence has none to tell")
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
            learnt=self.learnt,
            progress=self.progress,
        )

    def _behaviour(self, snapshot: int) -> Iterator[list[Event]]:
        """What each user took, up to the snapshot; what they refused is no example of what is taken next."""
        for events in self._events(snapshot):
            taken = [event for event in events if event.is_taking]
            if taken:
                yield taken

    def _fusion(self, fitted: FittedRetriever, trained: TrainedRanker) -> Fusion:
        requests = fitted.requests
        hits = [request for request in requests if request.taken is not None]
        asked = hits
        if trained.ranker is not None:
            wanted, chose = self.settings.fit.calibration_users, trained.validation_lists
            # Those that chose the adapter flatter it: they come in only where there are too few others.
            some = [*hits[chose:], *hits[:chose]][: max(wanted, chose) if wanted else 0]
            bar = tqdm(some, desc="weighing opinions", unit="user", disable=None if self.progress else True)
            asked = [request.asked(trained.ranker, self.catalogue) for request in bar]
        return fit_fusion(
            [request.judged() for request in asked],
            [request.judged() for request in hits],
            requests=len(requests),
            prior_retrieval=fitted.prior_weight,
        )

    def _held_out(self, held_out: Sequence[str] | None, snapshot: int) -> Iterator[History]:
        """Histories of a sample of users whose newest event is on a wanted item that a request could have offered.

        Args:
            held_out: The users whose newest event the encoder has not seen; None: there is no encoder.
            snapshot: The last event to know of.
        """
        user_ids = self.store.users_with_history(2) if held_out is None else list(held_out)
        random.Random(self.settings.fit.seed).shuffle(user_ids)  # noqa: S311 - a sample, not a secret
        for user_id in user_ids[:_HELD_OUT_USERS]:
            history = self.foretelling(user_id, snapshot)
            if history is not None:
                yield history

    def foretelling(self, user_id: str, snapshot: int) -> History | None:
        """A user's history up to a snapshot, where its newest event is one that a request could have foretold."""
        history = self.history(user_id)
        # Items may have come after the catalogue was read.
        events = tuple(event for event in history.events if self._may_know(event) and (event.sequence or 0) <= snapshot)
        if not self.foretells(events) or not (history.user is None or history.user.teaches):
            return None
        seen = history.seen - (items_of(history.events) - items_of(events))
        return History(history.user, events, seen, history.known - (len(history.events) - len(events)))

    def foretells(self, events: Sequence[Event]) -> bool:
        """Whether the newest event is on a wanted item that a request could have offered after the others."""
        if not events or not events[-1].is_taking or not any(event.is_taking for event in events[:-1]):
            return False
        return events[-1].item_id not in items_of(events[:-1]) or not self.settings.retrieval.filter_seen

    def _may_know(self, event: Event) -> bool:
        in_catalogue = event.item_id is None or event.item_id in self.catalogue.items
        return in_catalogue and event.sequence not in self.hidden

    def _manifest(
        self, prompt: str, snapshot: int, fitted: FittedRetriever, trained: TrainedRanker, *, learns: bool
    ) -> dict[str, Any]:
        model = self.ranker.model if self.ranker else None
        training = fitted.trained.training if fitted.trained else None
        sections = {"retrieval", "encoder", "ranking", "fit"} | ({"learning"} if learns else set())
        # An encoder that was taken as it is had no epoch here.
        found = {}
        if training and training.epoch:
            found = {"validation_ndcg@10": training.best_ndcg, "epochs": training.epoch}
        return {
            "base_model": model.sha256 if model else None,
            "base_model_name": model.name if model else None,
            "text_encoder": self.catalogue.index.items.encoder,
            "prompt": prompt,
            "data": {"last_sequence": snapshot, "withheld": sorted(self.hidden), **self.store.counts()},
            "seed": self.settings.fit.seed,
            "settings": self.settings.model_dump(mode="json", include=sections),
            "metrics": {**found, **trained.metrics},
            "parent": self.store.aliases.now("rank"),
        }


def last_learning(directory: Path) -> int:
    """The newest event that a fit which is running, or was interrupted, knows of; 0 without one.

    Args:
        directory: Holds its checkpoint.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((directory / "encoder.json").read_bytes())["last_sequence"])
    return 0


def _require_known(encoder: FittedEncoder, behaviour: Sequence[Sequence[Event]]) -> None:
    known = set(encoder.item_ids)
    for events in behaviour:
        for event in events:
            if event.item_id not in known:
                raise ConfigError(
                    f"the given encoder was not trained on item {event.item_id!r}, which was taken",
                    hint="give one that was trained on the same events, or none, so that one is trained",
                )


def items_of(events: Sequence[Event]) -> frozenset[str]:
    """The items that events are about."""
    return frozenset(event.item_id for event in events if event.item_id)


def _evidence(
    behaviour: Sequence[Sequence[Event]],
    fitted: EncoderFit,
    requests: Sequence[HeldOutRequest],
    retriever: Retriever,
    text_share: float,
) -> tuple[list[HeldOutRequest], Evidence]:
    """Count behaviour, and weigh the counts on requests whose answers neither they nor the encoder have seen.

    Returns:
        The requests, ordered by evidence that has not seen their answers; and the evidence that has seen everything.
    """
    item_ids, held_out = fitted.encoder.item_ids, set(fitted.held_out)
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    sequences = [np.array([rows[str(event.item_id)] for event in events]) for events in behaviour]
    asked = [events[0].user_id in held_out for events in behaviour]
    before = [one[:-1] if of_one else one for one, of_one in zip(sequences, asked, strict=True)]
    unseen = Evidence.of(item_ids, before, text_share)
    features = [_features(request, retriever, unseen) for request in requests]
    unseen = unseen.weighed(*_hits(requests, features, 1 + len(unseen.names)))
    rescored = [
        request
        if of_one is None
        else request.told(retriever, unseen).rescored(unseen.rescored(of_one[:, 0], of_one[:, 1:]))
        for request, of_one in zip(requests, features, strict=True)
    ]
    return rescored, unseen.recounted(sequences)


def _features(request: HeldOutRequest, retriever: Retriever, evidence: Evidence) -> NDArray[np.float64] | None:
    """The encoder's score of each candidate and the evidence on it, [candidates, features]."""
    item_ids = [candidate.item.item_id for candidate in request.candidates]
    found = retriever.features(request.before, item_ids, evidence)
    return None if found is None else np.column_stack([[one.score for one in request.candidates], found])


def _hits(
    requests: Sequence[HeldOutRequest], features: Sequence[NDArray[np.float64] | None], width: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Lists whose item was among the candidates, padded to the longest: features, places taken, places that count."""
    hits = [
        (of_one, request.taken)
        for request, of_one in zip(requests, features, strict=True)
        if of_one is not None and request.taken is not None
    ]
    longest = max((len(of_one) for of_one, _ in hits), default=0)
    listed = np.array([np.arange(longest) < len(of_one) for of_one, _ in hits], dtype=np.bool_)
    padded = [np.pad(of_one, ((0, longest - len(of_one)), (0, 0))) for of_one, _ in hits]
    lists = np.array(padded, dtype=np.float64).reshape(len(hits), longest, width)
    return lists, np.array([taken for _, taken in hits], dtype=np.int64), listed.reshape(len(hits), longest)
