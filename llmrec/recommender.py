"""The recommender: how the parts are wired, and the public verbs.

store ──> history ──> retriever ──> ranker ──> fusion ──> Recommendation
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from llmrec.config import Settings
from llmrec.data import ImportReport, Store, import_records
from llmrec.errors import ConfigError, DataError, NotFittedError
from llmrec.explaining import gather, score_drops, word
from llmrec.files import writing
from llmrec.models import Encoder, LanguageModel, TextEncoder, TransformersLM, resolve
from llmrec.ranking import FusedRanker, Fusion, PromptLibrary, Ranker, fit_fusion, judge
from llmrec.records import (
    AttributeValue,
    Event,
    Explanation,
    History,
    Item,
    RankedItem,
    Recommendation,
    User,
)
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import Catalogue, CatalogueKeeper, Retriever, Where, relative_popularity
from llmrec.workspace import Workspace

__all__ = ["Recommender"]

Context = Mapping[str, AttributeValue]

_MOST = 1_000
_HELD_OUT_USERS = 1_000
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Live:
    """What a request needs of the live release, loaded once."""

    release: Release
    fusion: Fusion
    popularity: Mapping[str, float]


class Recommender:
    """Recommendations over one workspace. Open it with `Recommender.open`, or make one with `Recommender.create`.

    Args:
        workspace: The directory.
        settings: All settings.
        encoder: Embeds item texts; None: the configured one, loaded when it is first needed.
        language_model: Ranks; None: the configured one, loaded when it is first needed.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        *,
        encoder: Encoder | None = None,
        language_model: LanguageModel | None = None,
    ) -> None:
        self.workspace = workspace
        self.settings = settings
        self.store = Store.open(workspace.store_url(settings))
        self.releases = ReleaseStore(workspace.releases, self.store)
        self._prompts = PromptLibrary(workspace.prompts)
        self._loading = threading.Lock()
        self._encoder = encoder
        self._language_model = language_model
        self._catalogue: CatalogueKeeper | None = None
        self._ranker: Ranker | None = None
        self._live_release: _Live | None = None

    @classmethod
    def create(cls, path: str | Path, settings: Settings | None = None, **parts: Any) -> Self:
        """Make a workspace in a new or existing directory and open it.

        Raises:
            WorkspaceError: It is a workspace already, or cannot be made.
        """
        workspace = Workspace.create(Path(path), settings or Settings())
        return cls(workspace, Settings.load(workspace.settings_file), **parts)

    @classmethod
    def open(cls, path: str | Path, settings: Mapping[str, Mapping[str, Any]] | None = None, **parts: Any) -> Self:
        """Open an existing workspace; `settings` ({section: {key: value}}) override its file and the environment.

        Raises:
            WorkspaceError: The directory is no workspace.
            ConfigError: A setting is wrong.
        """
        workspace = Workspace.open(Path(path))
        return cls(workspace, Settings.load(workspace.settings_file, settings), **parts)

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- data -------------------------------------------------------------------------------------------------------

    def add_users(self, users: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store users: records, dicts, or a pandas, polars or pyarrow table. A known id is updated. All or nothing.

        Raises:
            ImportRefused: A row is bad and `skip_bad` is off.
            BusyError: A fit, import or retrain is running.
        """
        return self.import_(users=users, skip_bad=skip_bad)

    def add_items(self, items: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store items, as `add_users` does; they can be recommended at once, without a fit."""
        return self.import_(items=items, skip_bad=skip_bad)

    def add_events(self, events: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store past events, as `add_users` does; an event that is already stored is not stored again."""
        return self.import_(events=events, skip_bad=skip_bad)

    def import_(
        self,
        *,
        users: Any = None,
        items: Any = None,
        events: Any = None,
        format: str | None = None,
        rename: Mapping[str, str] | None = None,
        skip_bad: bool = False,
        progress: bool = False,
    ) -> ImportReport:
        """Store users, items and events together, all or nothing.

        Args:
            users: Records, dicts, a table, or the path of a file; of a data set's folder or zip, its users are taken.
            items: The same for items.
            events: The same for events.
            format: csv, tsv, jsonl, parquet, recbole or movielens; None: by the path's suffix.
            rename: Our name for each column that has another one.
            skip_bad: Leave bad rows out instead of refusing the import; the report names them.
            progress: Show a bar on a terminal.

        Raises:
            ImportRefused: A row is bad and `skip_bad` is off.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("import"):
            return import_records(
                self.store,
                users=users,
                items=items,
                events=events,
                format=format,
                rename=rename,
                skip_bad=skip_bad,
                progress=progress,
            )

    def users(self) -> Iterator[User]:
        """Every stored user, by id."""
        return self.store.users()

    def items(self) -> Iterator[Item]:
        """Every stored item, in the order they were added."""
        return self.store.items()

    def feedback(self, event: Event) -> Event:
        """Store what a user just did or said; the next call takes it into account.

        Returns:
            The stored event with its sequence; sending the same `event_id` again returns the first one.

        Raises:
            UnknownItemError: The store has never seen the item.
            ConflictError: The `event_id` is taken by another event.
        """
        return self.store.append(event)

    def history(self, user_id: str) -> History:
        """What is known of a user, as a request sees it."""
        user = self.store.user(user_id) or User(user_id)
        events = self.store.events(user_id, limit=self.settings.retrieval.history_events)
        return History(
            user,
            tuple(event for event in events if event.is_behaviour),
            self.store.seen(user_id),
            self.store.event_count(user_id),
        )

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, *, progress: bool | None = None) -> Release:
        """Embed the items, build the index, weigh the opinions on held-out events, and make the new release live.

        Args:
            progress: Show bars; None: when standard error is a terminal.

        Raises:
            EmptyCatalogueError: There is no item.
            BusyError: A fit, import or retrain is running.
        """
        bars = sys.stderr.isatty() if progress is None else progress
        with self.workspace.locked("fit"), writing(self.workspace.root):
            snapshot = self.store.last_sequence()
            catalogue = self._keeper().current(progress=bars)
            popularity = self.store.item_counts()
            retriever = Retriever(catalogue, relative_popularity(popularity), self.settings.retrieval.half_life)
            fusion = self._fit_fusion(catalogue, retriever, bars)
            release = self.releases.create(
                {"fusion.json": fusion.to_dict(), "popularity.json": popularity}, self._manifest(catalogue, snapshot)
            )
            return self.releases.promote(release.version)

    def _fit_fusion(self, catalogue: Catalogue, retriever: Retriever, progress: bool) -> Fusion:
        requests = judge(self._held_out(catalogue), retriever, self.settings.retrieval.candidates)
        hits = [request for request in requests if request.taken is not None]
        asked = hits[: self.settings.fit.calibration_users]
        if self.settings.ranking.enabled:
            ranker = self._llm()
            bar = tqdm(asked, desc="weighing opinions", unit="user", disable=not progress)
            asked = [request.asked(ranker, catalogue) for request in bar]
        return fit_fusion([request.judged() for request in asked], hits=len(hits), requests=len(requests))

    def _held_out(self, catalogue: Catalogue) -> Iterator[History]:
        """Histories of a sample of users, whose newest event is on a wanted item and is not the only one."""
        user_ids = self.store.users_with_history(2)
        random.Random(self.settings.fit.seed).shuffle(user_ids)  # noqa: S311 - a sample, not a secret
        for user_id in user_ids[:_HELD_OUT_USERS]:
            history = self.history(user_id)
            wanted = len(history.events) > 1 and not history.events[-1].is_negative
            if wanted and history.events[-1].item_id in catalogue.items:
                yield history

    def _manifest(self, catalogue: Catalogue, snapshot: int) -> dict[str, Any]:
        model = self._ranker.model if self._ranker else None
        return {
            "base_model": model.sha256 if model else None,
            "base_model_name": model.name if model else None,
            "text_encoder": catalogue.index.items.encoder,
            "prompt": self._prompts.fingerprint("rank"),
            "data": {"last_sequence": snapshot, **self.store.counts()},
            "seed": self.settings.fit.seed,
            "settings": self.settings.model_dump(mode="json", include={"retrieval", "ranking", "fit"}),
            "parent": self.store.alias("rank"),
        }

    # --- answering --------------------------------------------------------------------------------------------------

    def recommend(
        self,
        user_id: str,
        n: int = 10,
        *,
        context: Context | None = None,
        where: Where | None = None,
        llm: bool | None = None,
        filter_seen: bool | None = None,
    ) -> Recommendation:
        """The n best items for a user, best first.

        Args:
            user_id: A stored user; one the store has never seen gets the cold-start path, and the trace says so.
            n: How many items; fewer come back where fewer are left.
            context: The situation in words, such as {"season": "winter"}.
            where: Attribute -> wanted value, or a list of which any one is wanted.
            llm: Whether the language model ranks; None: as configured.
            filter_seen: Whether to leave out items the user has met; None: as configured.

        Raises:
            NotFittedError: There is no release yet.
            EmptyCatalogueError: There is no item.
            ConfigError: No item has an attribute of `where`, or n is out of range.
        """
        if not 1 <= n <= _MOST:
            raise ConfigError(f"n = {n} is not between 1 and {_MOST}", hint="ask for fewer items")
        start = time.perf_counter()
        live, catalogue = self._live(), self.catalogue()
        history = self.history(user_id)
        seen = self.settings.retrieval.filter_seen if filter_seen is None else filter_seen
        retrieval = self._retriever(live, catalogue).retrieve(
            history,
            max(n, self.settings.retrieval.candidates),
            among=None if where is None else catalogue.matching(where),
            excluded=history.seen if seen else (),
        )
        retrieved = time.perf_counter()
        ranking = self._fused(live, llm).order(history, retrieval, catalogue.items, context)
        seconds = {"retrieval": retrieved - start, "ranking": time.perf_counter() - retrieved}
        return Recommendation(
            id=uuid.uuid4().hex,
            user_id=user_id,
            release=live.release.version,
            items=ranking.items[:n],
            trace=replace(ranking.trace, seconds=seconds, notes=ranking.trace.notes + _cold_notes(history)),
            fallback=ranking.fallback,
        )

    def rank(
        self,
        history: Sequence[str | Event] | None = None,
        candidates: Sequence[str] = (),
        *,
        user_id: str | None = None,
        context: Context | None = None,
        llm: bool | None = None,
    ) -> list[RankedItem]:
        """Order the given items for a history, best first.

        Args:
            history: Item ids or events, newest last; None: the stored history of `user_id`.
            candidates: Item ids, each once; their order changes no score.
            user_id: Whose attributes the prompt may use.
            context: The situation in words.
            llm: Whether the language model ranks; None: as configured.

        Raises:
            UnknownItemError: The store has never seen one of the items.
            DataError: A candidate stands twice, or neither history nor user is given.
        """
        if history is None and user_id is None:
            raise DataError("neither a history nor a user is given", hint="pass history=[...] or user_id=...")
        if len(set(candidates)) != len(candidates):
            raise DataError("a candidate stands twice", hint="give every candidate once")
        live, catalogue = self._live(), self.catalogue()
        catalogue.require(candidates)
        known = self.history(user_id) if user_id is not None else History()
        if history is not None:
            known = replace(known, events=_events(history, user_id), known=len(history))
            catalogue.require(event.item_id for event in known.events if event.item_id)
        retrieval = self._retriever(live, catalogue).score(known, candidates)
        return list(self._fused(live, llm).order(known, retrieval, catalogue.items, context).items)

    def explain(self, user_id: str, item_id: str, *, context: Context | None = None) -> Explanation:
        """Why the item gets its score for the user: the events whose removal lowers it most, and its parts.

        Raises:
            UnknownItemError: The store has never seen the item.
            NotFittedError: There is no release yet.
        """
        start = time.perf_counter()
        live, catalogue = self._live(), self.catalogue()
        (item,) = catalogue.require([item_id])
        history, retriever = self.history(user_id), self._retriever(live, catalogue)
        retrieval = retriever.score(history, [item_id])
        fused = self._fused(live, None)
        ranking = fused.order(history, retrieval, catalogue.items, context)
        if ranking.fallback:
            fused = FusedRanker(live.fusion, None)
        drops = score_drops(item, history, retriever, fused, items=catalogue.items, context=context)
        parts = ranking.items[0].parts
        evidence = gather(item, events=history.events, drops=drops, parts=parts, items=catalogue.items)
        text = word(
            item,
            evidence,
            lambda **values: self._prompts.text("why", "why", **values),
            named=self.settings.explain.named,
            path=retrieval.path,
            popular=item_id in live.popularity,
        )
        seconds = {"explanation": time.perf_counter() - start}
        return Explanation(user_id, item, text, evidence, replace(ranking.trace, seconds=seconds))

    # --- parts, made when they are first needed ---------------------------------------------------------------------

    def _live(self) -> _Live:
        version = self.store.alias("rank")
        if version is None:
            raise NotFittedError(f"{self.workspace.root} has no release yet", hint="run `llmrec fit` (rec.fit()) first")
        live = self._live_release
        if live is None or live.release.version != version:
            release = self.releases.get(version)
            release.require("text_encoder", self._text_encoder().fingerprint)
            release.require("prompt", self._prompts.fingerprint("rank"))
            live = _Live(
                release,
                Fusion.from_dict(release.part("fusion.json")),
                relative_popularity(release.part("popularity.json")),
            )
            self._live_release = live
        return live

    def _retriever(self, live: _Live, catalogue: Catalogue) -> Retriever:
        return Retriever(catalogue, live.popularity, self.settings.retrieval.half_life)

    def _fused(self, live: _Live, llm: bool | None) -> FusedRanker:
        if not (self.settings.ranking.enabled if llm is None else llm):
            return FusedRanker(live.fusion, None)
        ranker = self._llm()
        live.release.require("base_model", ranker.model.sha256)
        return FusedRanker(live.fusion, ranker)

    def catalogue(self) -> Catalogue:
        """The items and their index as the store has them now."""
        return self._keeper().current()

    def _keeper(self) -> CatalogueKeeper:
        with self._loading:
            if self._catalogue is None:
                self._catalogue = CatalogueKeeper(self.store, self._text_encoder(), self.workspace.index)
            return self._catalogue

    def _text_encoder(self) -> Encoder:
        if self._encoder is None:
            models = self.settings.models
            self._encoder = TextEncoder.load(resolve(models.text_encoder, "text-encoder"), device=models.device)
        return self._encoder

    def _llm(self) -> Ranker:
        with self._loading:
            if self._ranker is None:
                ranking = self.settings.ranking
                self._ranker = Ranker(
                    self._language_model or self._load_language_model(),
                    self._prompts,
                    history_tokens=ranking.history_tokens,
                    text_tokens=ranking.text_tokens,
                )
            return self._ranker

    def _load_language_model(self) -> LanguageModel:
        models = self.settings.models
        return TransformersLM.load(
            resolve(models.language_model, "language-model"),
            device=models.device,
            dtype=models.dtype,
            batch_tokens=self.settings.ranking.batch_tokens,
        )


def _events(history: Sequence[str | Event], user_id: str | None) -> tuple[Event, ...]:
    who = user_id or "anonymous"
    return tuple(event if isinstance(event, Event) else Event(who, event) for event in history)


def _cold_notes(history: History) -> tuple[str, ...]:
    return () if history.known else ("the user has no history",)
