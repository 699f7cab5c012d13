"""The recommender: how the parts are wired, and the public verbs."""

from __future__ import annotations

import logging
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Self

from llmrec.answering import Answers
from llmrec.chat import Chat, Understanding
from llmrec.config import Settings, given_sections
from llmrec.errors import DataError, LlmrecError, ModelError, SourceError
from llmrec.explaining import AnswererKeeper
from llmrec.files import writing
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.keeping import Keeping
from llmrec.models import Encoder, LanguageModel
from llmrec.parts import Parts
from llmrec.ranking import FusedRanker, PromptLibrary
from llmrec.records import AttributeValue, Event, Explanation, History, Item, RankedList, Recommendation
from llmrec.releases import Release
from llmrec.requests import Request, candidates_of, events_of, how_many, item_ids_of, situation, user_id_of
from llmrec.retrieval import Catalogue, FittedEncoder, Retriever
from llmrec.serving import Serving
from llmrec.words import Opinion
from llmrec.workspace import Workspace

__all__ = ["Recommender"]

Context = Mapping[str, AttributeValue]
SettingsLike = Settings | Mapping[str, Mapping[str, Any]] | None

_logger = logging.getLogger(__name__)


class Recommender(Keeping):
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
        super().__init__(workspace, settings)
        self._parts = Parts(
            workspace,
            settings,
            self.store,
            prompts=PromptLibrary(workspace.prompts),
            encoder=encoder,
            language_model=language_model,
        )
        self._answer_by(Serving(workspace, settings, self.store, releases=self.releases, parts=self._parts))

    def _answer_by(self, serving: Serving) -> None:
        self._serving = serving
        self._answers = Answers(self.store, self.settings, self._parts, serving, history=self.history)

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
        workspace, given = Workspace.new(Path(path)), given_sections(settings)
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
        return cls(workspace, Settings.load(workspace.settings_file, given_sections(settings)), **parts)

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
        guest = made(path, settings, encoder=self._parts.text_encoder(), language_model=model)
        guest._parts.is_guest = True
        return guest

    def at(self, version: str) -> Recommender:
        """The same recommender, answering by a named release whatever is live: `rec.at("rank/0001").recommend("u42")`.

        Store, models and catalogue are shared, and what is stored through either is there for both. Closing it leaves
        them open.

        Args:
            version: Of a release.

        Raises:
            ReleaseError: There is none, it is damaged, or was made with another text encoder or prompt.
        """
        named = copy(self)
        named._is_owner = False
        named._answer_by(self._serving.at(version))
        return named

    def share(self, batch: int = 0) -> None:
        """From now on one thread owns the language model; requests of other threads wait for it in line.

        Args:
            batch: Prompts of so many requests are read in one pass at most; 0: as many as pay on the model's device.

        Raises:
            ModelError: The model cannot be loaded.
        """
        self._parts.share(batch)

    def version(self) -> str:
        """The version of what answers: the live release, or the one before it while that one cannot be loaded.

        Raises:
            NotFittedError: There is no release yet.
            ReleaseError: It is damaged, or does not fit the present settings, and none was loaded before.
        """
        return self._serving.live().release.version

    def ready(self) -> str:
        """The version of what answers, after everything that a request needs was loaded.

        Raises:
            NotFittedError: There is no release yet.
            ReleaseError: It is damaged, or does not fit the present settings.
            ModelError: A model cannot be loaded.
        """
        live, catalogue = self._serving.live(), self.catalogue()
        self._serving.fused(live, catalogue, None)
        self.opinion("")
        self._parts.understanding(catalogue)
        return live.release.version

    def close(self) -> None:
        """Let go of the database, and of the thread that owns the language model, if one does."""
        if self._is_owner:
            self._parts.close()
        super().close()

    def reads_by(self) -> list[str]:
        """What identifies the text encoder and the prompts in use."""
        return [self._parts.text_encoder().fingerprint, self._parts.prompt()]

    # --- releases ---------------------------------------------------------------------------------------------------

    def catalogue(self) -> Catalogue:
        """The items and their index as the store has them now."""
        return self._parts.catalogue()

    def install(self, directory: Path) -> Release:
        """Take up a release that was made elsewhere, and make it live.

        Args:
            directory: Holds its parts, such as adapters/ml-100k.

        Raises:
            ReleaseError: It is no release, is damaged, or was made with another base model, prompt or text encoder, or
                of other items.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("install"), writing(self.workspace.root):
            release = self.releases.install(directory)
            try:
                self._serving.check(release)
            except LlmrecError:
                self.releases.discard(release)
                raise
            return self.releases.promote(release.version, "install")

    @property
    def prompt(self) -> str:
        """What identifies how the language model is asked; a release answers what it was made with alone."""
        return self._parts.prompt()

    def answering(self, version: str | None = None) -> tuple[Retriever, FusedRanker]:
        """What finds candidates and what orders them, without a request's situation; for evaluations.

        Args:
            version: Of a release; None: the one that is live.

        Raises:
            NotFittedError: There is no release yet.
            ReleaseError: It is damaged, or was made with another base model, prompt or text encoder.
        """
        live = self._serving.live() if version is None else self._serving.load(version)
        catalogue = self.catalogue()
        return self._serving.retriever(live, catalogue, {}), self._serving.fused(live, catalogue, None)

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
            self.releases.promote(release.version, "fit")

        return self.make_release("fit", settle, anew=anew, progress=progress)

    def make_release(
        self,
        purpose: str,
        settle: Callable[[Release], object],
        train: Callable[[Fit, FittedRetriever, int], TrainedRanker] | None = None,
        *,
        withhold: Callable[[Fit, int], frozenset[int]] | None = None,
        encoder: FittedEncoder | None = None,
        anew: bool = False,
        progress: bool | None = None,
    ) -> Release:
        """Fit everything and write a release; `llmrec.learning` trains an adapter for it.

        Args:
            purpose: Why the workspace is locked.
            settle: Decides whether it goes live, while the workspace is still locked. Where it fails, what the next
                run goes on from is kept.
            train: Trains an adapter over the retriever, from events up to a sequence; None: none.
            withhold: Says which events up to a sequence nothing of the release may know of; None: none.
            encoder: Taken as it is instead of training one, as `Fit.encoder` says.
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
                encoder=encoder,
            )
            previous = None if anew else self._serving.previous_encoder()
            release = fit.make(self.releases, self._parts.prompt(), previous, train, withhold)
            settle(release)
            self._read_comments_if_possible()
            self.opinion("")  # what the release learnt of comments is then kept for other processes
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
        asked = Request.of(
            n,
            where=where,
            context=context,
            exclude=exclude,
            like=like,
            diversity=diversity,
            llm=llm,
            filter_seen=filter_seen,
        )
        return self._answers.recommend(user_id, asked)

    def rank(
        self,
        history: Sequence[str | Event] | None = None,
        candidates: Sequence[str] = (),
        *,
        user_id: str | None = None,
        context: Context | None = None,
        llm: bool | None = None,
    ) -> RankedList:
        """Order the given items for a history, best first; where the language model failed, `.fallback` says why.

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
        wanted, context = candidates_of(candidates), situation(context)
        known = self.history(user_id) if user_id is not None else History()
        if history is not None:
            known = History(known.user, events_of(history, user_id))
        return self._answers.rank(known, wanted, context, llm)

    def explain(self, user_id: str, item_id: str, *, context: Context | None = None) -> Explanation:
        """Why the item gets its score for the user: the events whose removal lowers it most, and its parts.

        Raises:
            UnknownItemError: The store has never seen the item.
            NotFittedError: There is no release yet.
        """
        return self._answers.explain(user_id, item_ids_of([item_id], "item_id")[0], situation(context))

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
        return self._serving.opinion(self.catalogue(), text)

    def read_comments(self) -> int:
        """Let the language model read the comments that it has not read; how many. `fit` does it too.

        Nothing is read where `[feedback] reading` is not "model".

        Raises:
            SourceError: There is no such model.
            ModelError: The model cannot be loaded, or failed.
        """
        if self.settings.feedback.reading != "model":
            return 0
        said = (event.text for event in self.store.events_by_user() if event.kind == "comment" and event.text)
        return self._parts.words().read(list(said))

    def _read_comments_if_possible(self) -> None:
        """Read comments after a fit, whose release is live by then and stays so whatever the model does."""
        try:
            self.read_comments()
        except (ModelError, SourceError) as error:
            _logger.warning("the language model did not read all comments, which the next fit will try: %s", error)

    def _forget_words(self, texts: Sequence[str] | None) -> None:
        super()._forget_words(texts)
        self._parts.forget_words(texts)

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The item whose text is nearest to a description, and the cosine of both vectors; None without items."""
        (vector,) = self._parts.text_encoder().encode([text])
        return next(iter(self.catalogue().index.search(vector, 1)), None)

    def find_items(self, words: str, limit: int = 10) -> tuple[list[Item], int]:
        """Items by what somebody types: titles that hold it and, where these are few, those nearest in meaning.

        Returns:
            At most `limit` items, and how many titles hold the words.
        """
        found, total = self.store.lookup.items(words, limit)
        catalogue = self.catalogue()
        if words.strip() and len(found) < limit and catalogue.items:
            (vector,) = self._parts.text_encoder().encode([words])
            found += [one for one, _ in catalogue.index.search(vector, limit) if one not in found]
        return [catalogue.items[one] for one in found[:limit] if one in catalogue.items], total

    def _understanding(self) -> tuple[Mapping[str, Item], Understanding]:
        catalogue = self.catalogue()
        return catalogue.items, self._parts.understanding(catalogue)
