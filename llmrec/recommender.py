"""The recommender: how the parts are wired, and the public verbs.

store ──> history ──> retriever ──> ranker ──> fusion ──> Recommendation
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from llmrec.chat import Chat, Understanding
from llmrec.config import Settings
from llmrec.data import ImportReport, Store, import_records
from llmrec.errors import BusyError, ConfigError, DataError, LlmrecError, ScoringError, StoreError
from llmrec.explaining import AnswererKeeper, facts_of, gather, score_drops, word, worded
from llmrec.files import writing
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.models import Encoder, LanguageModel
from llmrec.parts import Parts
from llmrec.ranking import FusedRanker, PromptLibrary, explored
from llmrec.records import (
    AttributeValue,
    Event,
    Explanation,
    History,
    Item,
    RankedItem,
    Recommendation,
    Shown,
    User,
)
from llmrec.releases import Release, ReleaseStore
from llmrec.requests import conditions, events_of, how_many, item_ids_of, situation, user_id_of, variety
from llmrec.retrieval import Catalogue, Retriever, diversified
from llmrec.words import Opinion
from llmrec.workspace import Workspace

__all__ = ["Recommender"]

Context = Mapping[str, AttributeValue]
_logger = logging.getLogger(__name__)

_LIKE = 3
"""Of so many times the items wanted, those most like a given one, a user's order is made."""

SettingsLike = Settings | Mapping[str, Mapping[str, Any]] | None


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
        prompts = PromptLibrary(workspace.prompts)
        self.store = Store.open(workspace.store_url(settings))
        self.releases = ReleaseStore(workspace.releases, self.store)
        self._parts = Parts(
            workspace,
            settings,
            self.store,
            releases=self.releases,
            prompts=prompts,
            encoder=encoder,
            language_model=language_model,
        )

    @classmethod
    def create(cls, path: str | Path, settings: SettingsLike = None, **parts: Any) -> Self:
        """Make a workspace in a new or existing directory and open it.

        Args:
            path: The directory.
            settings: Settings, or {section: {key: value}}; they are written into its llmrec.toml.
            parts: `encoder` and `language_model`, to use others than the configured ones.

        Raises:
            WorkspaceError: It is a workspace already, or cannot be made.
            ConfigError: A setting is wrong.
        """
        workspace, given = Workspace.new(Path(path)), _sections(settings)
        made = cls(workspace, Settings.load(workspace.settings_file, given), **parts)
        # Last, because this makes the directory a workspace: whatever failed before can be tried again.
        workspace.write_settings(Settings.model_validate(given))
        return made

    @classmethod
    def open(cls, path: str | Path, settings: SettingsLike = None, **parts: Any) -> Self:
        """Open an existing workspace.

        Args:
            path: The directory.
            settings: What is set in them overrides its llmrec.toml and the environment.
            parts: `encoder` and `language_model`, to use others than the configured ones.

        Raises:
            WorkspaceError: The directory is no workspace.
            ConfigError: A setting is wrong.
        """
        workspace = Workspace.open(Path(path))
        return cls(workspace, Settings.load(workspace.settings_file, _sections(settings)), **parts)

    def beside(self, path: Path, settings: Settings, *, create: bool = False) -> Recommender:
        """Another workspace, read by the same models, words and templates.

        Args:
            path: Its directory.
            settings: Its settings.
            create: Make it there.
        """
        made = Recommender.create if create else Recommender.open
        own = self.workspace.prompts
        if create and own is not None:
            shutil.copytree(own, path / "prompts", dirs_exist_ok=True)
        model = self._parts.ranker().model if settings.ranking.enabled else None
        return made(path, settings, encoder=self._parts.text_encoder(), language_model=model)

    def reads_by(self) -> list[str]:
        """What identifies the text encoder and the prompts in use."""
        return [self._parts.text_encoder().fingerprint, self._parts.prompt()]

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
            DataError: It answers a recommendation that was somebody else's, or did not hold the item.
        """
        return self.feedback_many([event])[0]

    def feedback_many(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Store several events as `feedback` does, in one transaction: all of them or, on any error, none."""
        given = list(events)
        for event in given:
            if not isinstance(event, Event):
                raise DataError(
                    f"{event!r} is no Event", hint="from llmrec import Event; rec.feedback(Event(user_id, item_id))"
                )
            self._check_answered(event)
        return self.store.append_many(given, burst=self.settings.feedback.burst_seconds)

    def _check_answered(self, event: Event) -> None:
        """Refuse what cannot be: an answer to somebody else's list, or to an item that was not on it."""
        shown = self.store.shown.get(event.recommendation_id) if event.recommendation_id else None
        if shown is None:
            return
        if shown.user_id != event.user_id:
            wrong = f"was made for {shown.user_id!r}, not for {event.user_id!r}"
        elif event.item_id is not None and event.item_id not in {one.item_id for one in shown.items}:
            wrong = f"did not hold item {event.item_id!r}"
        else:
            return
        raise DataError(
            f"the recommendation {event.recommendation_id} {wrong}", hint="leave recommendation_id out, or correct it"
        )

    def take_back(self, user_id: str, event_ids: Sequence[str]) -> int:
        """Delete some of a user's own events, as they wish, and their words where a conversation keeps them.

        Returns:
            How many there were. Where a release may have learnt from one, it is marked as after `forget`.
        """
        learnt = max((release.learnt or 0 for release in self.releases.list()), default=0)
        user_id, wanted = user_id_of(user_id), set(event_ids)
        texts = [str(event.text) for event in self.store.events(user_id) if event.event_id in wanted and event.text]
        gone = self.store.take_back(user_id, sorted(wanted), learnt=max(learnt, self._being_learnt()))
        self.store.turns.blank(user_id, texts)
        return gone

    def _being_learnt(self) -> int:
        """The newest event that a fit which is running, or was interrupted, knows of."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = (self.workspace.training / "encoder.json").read_bytes()
            return int(json.loads(kept)["last_sequence"])
        return 0

    def forget(self, user_id: str) -> dict[str, int]:
        """Delete a user for good: what is known of them, what they did, and what was recommended to them.

        Releases that were made before may have learnt from them: `llmrec releases` marks these, and the next fit or
        retraining begins without them.

        Returns:
            How many events, recommendations, turns of conversations and users were deleted.

        Raises:
            DataError: Nothing is known of the user.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("forget"):  # a fit that is running has read what they did
            gone = self.store.forget(user_id_of(user_id))
            shutil.rmtree(self.workspace.root / "replay", ignore_errors=True)  # an interrupted one has copies
        if not any(gone.values()):
            raise DataError(f"there is no user {user_id!r}", hint="check the id; nothing was deleted")
        return gone

    def catalogue(self) -> Catalogue:
        """The items and their index as the store has them now."""
        return self._parts.catalogue()

    def history(self, user_id: str) -> History:
        """What is known of a user, as a request sees it."""
        user_id, most = user_id_of(user_id), self.settings.retrieval.history_events
        # One more than is wanted: where it is not there, these are all, and nothing else needs to be read.
        events = self.store.events(user_id, limit=most + 1, behaviour=True)
        whole = len(events) <= most
        return History(
            user=self.store.user(user_id) or User(user_id),
            events=events if whole else events[1:],
            seen=frozenset(event.item_id for event in events if event.item_id) if whole else self.store.seen(user_id),
            known=len(events) if whole else self.store.event_count(user_id, behaviour=True),
            hidden=self.store.hidden(user_id) if not whole or _may_hide(events) else frozenset(),
        )

    def install(self, directory: Path) -> Release:
        """Take up a release that was made elsewhere, and make it live.

        Args:
            directory: Holds its parts, such as adapters/ml-100k.

        Raises:
            ReleaseError: It is no release, is damaged, or was made with another base model, prompt or text encoder.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("install"), writing(self.workspace.root):
            release = self.releases.install(directory)
            try:
                self._parts.check(release)
            except LlmrecError:
                self.releases.discard(release)
                raise
            return self.releases.promote(release.version)

    def answering(self, version: str | None = None) -> tuple[Retriever, FusedRanker]:
        """What finds candidates and what orders them, without a request's situation; for evaluations.

        Args:
            version: Of a release; None: the one that is live.

        Raises:
            NotFittedError: There is no release yet.
            ReleaseError: It is damaged, or was made with another base model, prompt or text encoder.
        """
        live = self._parts.live() if version is None else self._parts.load(version)
        catalogue = self.catalogue()
        return self._parts.retriever(live, catalogue, {}), self._parts.fused(live, catalogue, None)

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, *, anew: bool = False, progress: bool | None = None) -> Release:
        """Embed the items, train the sequence encoder, weigh the opinions, and make the new release live.

        An interrupted fit leaves the last release live, and the next one goes on from its checkpoint.

        Args:
            anew: Train the encoder from nothing, not from the live release's.
            progress: Show bars; None: when standard error is a terminal.

        Raises:
            EmptyCatalogueError: There is no item.
            BusyError: A fit, import or retrain is running.
        """

        def settle(release: Release) -> None:
            self.releases.promote(release.version)

        return self.make_release("fit", settle, anew=anew, progress=progress)

    def make_release(
        self,
        purpose: str,
        settle: Callable[[Release], object],
        train: Callable[[Fit, FittedRetriever, int], TrainedRanker] | None = None,
        *,
        anew: bool = False,
        progress: bool | None = None,
    ) -> Release:
        """Fit everything and write a release; `llmrec.learning` trains an adapter for it.

        Args:
            purpose: Why the workspace is locked.
            settle: Decides whether it goes live, while the workspace is still locked. Where it fails, what the next
                run goes on from is kept.
            train: Trains an adapter over the retriever, from events up to a sequence; None: none.
            anew: Train the encoder from nothing, not from the live release's.
            progress: Show bars; None: when standard error is a terminal.

        Raises:
            EmptyCatalogueError: There is no item.
            BusyError: A fit, import or retrain is running.
        """
        bars = sys.stderr.isatty() if progress is None else progress
        with self.workspace.locked(purpose), writing(self.workspace.root):
            catalogue = self._parts.catalogue(progress=bars)
            fit = Fit(
                store=self.store,
                catalogue=catalogue,
                settings=self.settings,
                history=self.history,
                ranker=self._parts.ranker() if self.settings.ranking.enabled else None,
                checkpoint=self.workspace.training / "encoder.safetensors",
                progress=bars,
            )
            previous = None if anew else self._parts.previous_encoder()
            release = fit.make(self.releases, self._parts.prompt(), previous, train)
            settle(release)
            fit.tidy(trained=train is not None)
            return release

    # --- answering --------------------------------------------------------------------------------------------------

    def recommend(
        self,
        user_id: str,
        n: int = 10,
        *,
        context: Context | None = None,
        where: Mapping[str, object] | None = None,
        llm: bool | None = None,
        filter_seen: bool | None = None,
        diversity: float | None = None,
        exclude: Iterable[str] = (),
        like: str | None = None,
    ) -> Recommendation:
        """The n best items for a user, best first.

        The candidates follow the user's history. Where that says nothing about any item they follow, and the trace says
        which: words (what the user said without an item, and the situation), the user's attributes, or popularity.

        Args:
            user_id: A user, stored or not.
            n: How many items; fewer come back where fewer are left.
            context: The situation in words, such as {"season": "winter"}; with a history it is for the prompt alone.
            where: Attribute -> wanted value, or a list of which any one is wanted, or a mapping with some of "any" (a
                list of these), "not" (what it may not be), "min" and "max".
            llm: Whether the language model ranks; None: as configured.
            filter_seen: Whether to leave out items the user has met; None: as configured.
            diversity: From 0, the order of the scores, to 1: how much variety counts in it; None: as configured.
            exclude: Item ids to leave out.
            like: An item; only those whose texts are nearest to its own are ranked, three times n of them.

        Raises:
            NotFittedError: There is no release yet.
            EmptyCatalogueError: There is no item.
            UnknownItemError: There is no item `like`.
            ConfigError: No item has an attribute of `where`, or n or diversity is out of range.
        """
        n, wanted, context = how_many(n), conditions(where), situation(context)
        left_out = frozenset(item_ids_of(exclude, "exclude"))
        like = None if like is None else item_ids_of([like], "like")[0]
        mixed = variety(diversity, self.settings.retrieval.diversity)
        start = time.perf_counter()
        # The history first: whatever item it holds is then in the catalogue, also while items and feedback arrive.
        last, history = self.store.last_sequence(), self.history(user_id)
        live, catalogue = self._parts.live(), self.catalogue()
        seen = self.settings.retrieval.filter_seen if filter_seen is None else filter_seen
        left_out |= history.seen | history.hidden if seen else history.hidden
        among = None if wanted is None else catalogue.matching(wanted)
        retrieval = self._parts.retriever(live, catalogue, context).retrieve(
            history,
            max(n, self.settings.retrieval.candidates),
            among=among if like is None else catalogue.nearest(like, _LIKE * n, among=among, excluded=left_out),
            excluded=left_out,
        )
        retrieved = time.perf_counter()
        ranking = self._parts.fused(live, catalogue, llm).order(history, retrieval, catalogue.items, context)
        seconds = {"retrieval": retrieved - start, "ranking": time.perf_counter() - retrieved}
        number, drawn = uuid.uuid4(), self.settings.feedback.exploration
        items = diversified(ranking.items, catalogue.index, mixed, len(ranking.items) if drawn else n)
        propensities: tuple[float, ...] = ()
        if drawn:
            items, propensities = explored(items, n, drawn, np.random.default_rng(number.int))
        answer = Recommendation(
            id=number.hex,
            user_id=user_id,
            release=live.release.version,
            items=items,
            trace=replace(
                ranking.trace,
                seconds=seconds,
                notes=ranking.trace.notes + _notes(history, mixed, drawn),
                attention=retrieval.attention,
            ),
            fallback=ranking.fallback,
        )
        if not self.settings.feedback.record:
            return answer
        return self._recorded(answer, Shown.of(answer, last, propensities))

    def _recorded(self, answer: Recommendation, shown: Shown) -> Recommendation:
        """Keep what is shown; where it cannot be kept, the answer says so and is given all the same."""
        try:
            self.store.shown.keep(shown)
        except (StoreError, BusyError) as error:
            _logger.warning("a recommendation was not kept: %s", error)
            note = "it was not kept, so feedback cannot be read against it"
            return replace(answer, trace=replace(answer.trace, notes=(*answer.trace.notes, note)))
        return answer

    def rank(
        self,
        history: Sequence[str | Event] | None = None,
        candidates: Sequence[str] = (),
        *,
        user_id: str | None = None,
        context: Context | None = None,
        llm: bool | None = None,
    ) -> list[RankedItem]:
        """Order the given items for a history, best first; where the language model failed, `parts` has no llm.

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
        wanted, context = item_ids_of(candidates, "candidates"), situation(context)
        if len(set(wanted)) != len(wanted):
            raise DataError("a candidate stands twice", hint="give every candidate once")
        known = self.history(user_id) if user_id is not None else History()
        if history is not None:
            known = History(known.user, events_of(history, user_id))
        live, catalogue = self._parts.live(), self.catalogue()
        catalogue.require(event.item_id for event in known.events if event.item_id)
        retrieval = self._parts.retriever(live, catalogue, context).score(known, wanted)
        return list(self._parts.fused(live, catalogue, llm).order(known, retrieval, catalogue.items, context).items)

    def explain(self, user_id: str, item_id: str, *, context: Context | None = None) -> Explanation:
        """Why the item gets its score for the user: the events whose removal lowers it most, and its parts.

        Raises:
            UnknownItemError: The store has never seen the item.
            NotFittedError: There is no release yet.
        """
        context, start = situation(context), time.perf_counter()
        history = self.history(user_id)
        live, catalogue = self._parts.live(), self.catalogue()
        (item,) = catalogue.require(item_ids_of([item_id], "item_id"))
        retriever = self._parts.retriever(live, catalogue, context)
        retrieval = retriever.score(history, [item_id])
        fused = self._parts.fused(live, catalogue, None)
        ranking = fused.order(history, retrieval, catalogue.items, context)
        why = partial(score_drops, item, history, retriever, items=catalogue.items, context=context)
        drops, notes = _with_or_without_llm(why, fused, failed=ranking.fallback)
        parts = ranking.items[0].parts
        words = partial(self._parts.prompts.text, "why")
        evidence = gather(
            item,
            events=history.events,
            drops=drops,
            parts=parts,
            items=catalogue.items,
            render=partial(words, "event"),
        )
        text = word(
            item,
            evidence,
            partial(words, "why"),
            named=self.settings.explain.named,
            path=retrieval.path,
            popular=live.popularity.get(item_id, 0.0),
            known=history.known,
        )
        if self.settings.explain.wording == "model":
            answers, facts = self.answers(), facts_of(item.title, evidence, self.settings.explain.named)
            names = answers.names(catalogue.items, catalogue.version)
            text, by_whom = worded(facts, text, answers.current, names, failed=ranking.fallback)
            notes = (*notes, by_whom)
        seconds = {"explanation": time.perf_counter() - start}
        trace = replace(
            ranking.trace, seconds=seconds, attention=retrieval.attention, notes=ranking.trace.notes + notes
        )
        return Explanation(user_id, item, text, evidence, trace)

    def answers(self) -> AnswererKeeper:
        """What lets the language model word explanations."""
        return self._parts.answers()

    # --- conversation -----------------------------------------------------------------------------------------------

    def chat(self, user_id: str, conversation_id: str | None = None, *, n: int = 5) -> Chat:
        """A conversation with a user, which goes on where it was left.

        Args:
            user_id: A user, stored or not.
            conversation_id: One of theirs, or a new one; None: a new one.
            n: How many items a list has.
        """
        return Chat(
            self,
            user_id_of(user_id),
            user_id_of(conversation_id) if conversation_id else uuid.uuid4().hex,
            read=self._understanding,
            words=partial(self._parts.prompts.text, "chat"),
            kept=self.store.turns,
            n=how_many(n),
        )

    def opinion(self, text: str) -> Opinion:
        """What a comment says: for or against, and of which values of the catalogue's attributes."""
        catalogue = self.catalogue()
        return self._parts.words().opinion(catalogue.items, catalogue.version, text)

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The item whose text is nearest to a description, and the cosine of both vectors; None without items."""
        (vector,) = self._parts.text_encoder().encode([text])
        return next(iter(self.catalogue().index.search(vector, 1)), None)

    def _understanding(self) -> tuple[Mapping[str, Item], Understanding]:
        catalogue = self.catalogue()
        return catalogue.items, self._parts.understanding(catalogue)


def _may_hide(events: Sequence[Event]) -> bool:
    return any(event.kind in Event.HIDING for event in events)


def _with_or_without_llm(
    why: Callable[[FusedRanker], list[float]], fused: FusedRanker, *, failed: str | None
) -> tuple[list[float], tuple[str, ...]]:
    """How much the score falls without each event, and what to say of it; without the language model if it fails."""
    without = FusedRanker(fused.fusion, None, fused.pushback)
    try:
        if failed is None:
            return why(fused), ()
    except ScoringError as error:
        _logger.warning("the language model failed, so the reasons are the retriever's: %s", error)
        failed = str(error)
    return why(without), (f"the reasons are the retriever's alone: {failed}",)


def _sections(settings: SettingsLike) -> dict[str, dict[str, Any]]:
    """What is set, by section and key."""
    if isinstance(settings, Settings):
        return settings.model_dump(exclude_unset=True)
    given = {} if settings is None else settings
    if not isinstance(given, Mapping) or not all(isinstance(keys, Mapping) for keys in given.values()):
        raise ConfigError(f"settings = {settings!r} are none", hint='write settings={"models": {"device": "cpu"}}')
    return {section: dict(keys) for section, keys in given.items()}


def _notes(history: History, diversity: float, drawn: float) -> tuple[str, ...]:
    mixed = (f"ordered for variety too (diversity {diversity:g}), not by score alone",) if diversity else ()
    if drawn:
        mixed = (*mixed, f"{drawn:.0%} of the places are drawn, to learn about what is seldom shown")
    return mixed if history.known else (*mixed, "the user has no history")
