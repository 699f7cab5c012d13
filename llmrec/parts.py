"""The parts of a recommender that are made when they are first needed, and made again when what they rest on changes.

Models are loaded once. The live release is looked up at every request and loaded when it is another one; item vectors
follow the release and the catalogue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from llmrec.chat import IntentModel, Understanding, read_examples
from llmrec.config import Settings
from llmrec.data import Store
from llmrec.errors import ModelError, NotFittedError, ReleaseError, ScoringError
from llmrec.explaining import Answerer, AnswererKeeper
from llmrec.models import Encoder, LanguageModel, TextEncoder, TransformersLM, resolve
from llmrec.ranking import FusedRanker, Fusion, PromptLibrary, Pushback, Ranker, default_directory
from llmrec.records import AttributeValue
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import (
    Catalogue,
    CatalogueKeeper,
    ColdStart,
    EncodedSpace,
    Evidence,
    FittedEncoder,
    Popularity,
    Retriever,
    Space,
    TextSpace,
    UserGroup,
    relative_popularity,
)
from llmrec.words import WordsKeeper
from llmrec.workspace import Workspace

__all__ = ["Live", "Parts"]

_Scorers = tuple[tuple[str, int], Space, ColdStart]
"""What they were made for (release and catalogue), and what scores items."""

_RELEASES = 2
"""So many releases' adapters stay loaded."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """What a request needs of the live release, loaded once.

    Args:
        release: The release.
        fusion: Its weights.
        taken: Events on each item when it was made, by everybody and by groups of users.
        popularity: Everybody's, from 0 to 1.
        encoder: Its sequence encoder; None where it goes by texts alone.
        evidence: What orders the encoder's candidates; releases of an earlier version have none.
    """

    release: Release
    fusion: Fusion
    taken: Popularity
    popularity: Mapping[str, float]
    encoder: FittedEncoder | None
    evidence: Evidence | None

    @classmethod
    def load(cls, release: Release) -> Live:
        """Read a release's parts.

        Raises:
            ReleaseError: A part is missing or was changed.
        """
        taken = popularity_of(release)
        fusion = Fusion.from_dict(release.part("fusion.json"))
        popularity = relative_popularity(taken.counts)
        return cls(release, fusion, taken, popularity, encoder_of(release), evidence_of(release))


class Parts:
    """Everything a recommender is made of; safe to share between threads.

    Args:
        workspace: The directory.
        settings: All settings.
        store: Users, items and events.
        releases: What went live and what is.
        prompts: The templates.
        encoder: Embeds item texts; None: the configured one.
        language_model: Ranks; None: the configured one.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        store: Store,
        *,
        releases: ReleaseStore,
        prompts: PromptLibrary,
        encoder: Encoder | None,
        language_model: LanguageModel | None,
    ) -> None:
        self.prompts = prompts
        self._workspace = workspace
        self._settings = settings
        self._store = store
        self._releases = releases
        self._loading = threading.RLock()
        self._encoder = encoder
        self._language_model = language_model
        self._keeper: CatalogueKeeper | None = None
        self._ranker: Ranker | None = None
        self._rankers: dict[str, Ranker] = {}
        self._live: Live | None = None
        self._refused: str | None = None
        self._scorers: _Scorers | None = None
        self._words: WordsKeeper | None = None
        self._intents: IntentModel | None = None
        self._answers: AnswererKeeper | None = None

    def catalogue(self, *, progress: bool = False) -> Catalogue:
        """The items and their text vectors as the store has them now."""
        with self._loading:
            if self._keeper is None:
                self._keeper = CatalogueKeeper(self._store, self.text_encoder(), self._workspace.index)
        return self._keeper.current(progress=progress)

    def live(self) -> Live:
        """The live release. Another one that was promoted is loaded beside it, and takes its place once it is whole.

        Where it cannot be loaded, the one before goes on answering, and the log says so.

        Raises:
            NotFittedError: There is none yet.
            ReleaseError: It is damaged, or made with another text encoder or prompt, and none was loaded before.
        """
        version = self._store.alias("rank")
        if version is None:
            root = self._workspace.root
            raise NotFittedError(f"{root} has no release yet", hint="run `llmrec fit` (rec.fit()) first")
        live = self._live
        if live is None:
            live = self._live = self.load(version)
        elif version not in (live.release.version, self._refused):
            live = self._swapped(live, version)
        return live

    def _swapped(self, live: Live, version: str) -> Live:
        with self._loading:
            # Another thread may have been first, or another release is meant by now.
            if self._live is not None and self._live.release.version != live.release.version:
                return self._live
            try:
                release = self._releases.get(version)
                self.check(release)
                live = self._live = self._load(release)
            except ScoringError as error:  # the model is busy: the next request tries again
                _logger.warning("%s stays live for now: %s", live.release.version, error)
            except (ReleaseError, ModelError) as error:
                self._refused = version
                _logger.error("%s stays live, because %s cannot be used: %s", live.release.version, version, error)
        return live

    def load(self, version: str) -> Live:
        """Any release, whether it is live or not.

        Raises:
            ReleaseError: It is damaged, or was made with another text encoder or prompt.
        """
        return self._load(self._releases.get(version))

    def check(self, release: Release) -> None:
        """Load a release that is to go live.

        Raises:
            ReleaseError: It is damaged, or was made with another text encoder, prompt or base model.
            ModelError: Its adapter cannot be loaded.
        """
        live = self._load(release)
        if self._settings.ranking.enabled:
            live.release.require("base_model", self.ranker().model.sha256)
            self._adapted(live.release)

    def _load(self, release: Release) -> Live:
        release.require("text_encoder", self.text_encoder().fingerprint)
        release.require("prompt", self.prompt())
        return Live.load(release)

    def retriever(self, live: Live, catalogue: Catalogue, context: Mapping[str, AttributeValue]) -> Retriever:
        """Finds candidates with the live release's encoder."""
        version = (live.release.version, catalogue.version)
        known = self._scorers
        if known is None or known[0] != version:
            known = self._made_scorers(version, live, catalogue)
        return Retriever(catalogue, *known[1:], context, live.evidence)

    def _made_scorers(self, version: tuple[str, int], live: Live, catalogue: Catalogue) -> _Scorers:
        with self._loading:  # of many requests that find them missing, one makes them
            known = self._scorers
            if known is None or known[0] != version:
                space = self._make_space(live, catalogue)
                known = self._scorers = (version, space, self._cold_start(live, catalogue, space))
            return known

    def _make_space(self, live: Live, catalogue: Catalogue) -> Space:
        if live.encoder is None:
            return TextSpace(catalogue, self._settings.retrieval.half_life)
        newcomers = self._settings.retrieval.newcomers
        return EncodedSpace(live.encoder, catalogue, newcomers, self._workspace.index / "encoder")

    def _cold_start(self, live: Live, catalogue: Catalogue, space: Space) -> ColdStart:
        half_life = self._settings.retrieval.half_life

        def is_against(text: str) -> bool:
            return self.words().opinion(catalogue.items, catalogue.version, text).sentiment < 0

        return ColdStart(catalogue, space, live.taken, self.text_encoder(), half_life, is_against=is_against)

    def fused(self, live: Live, catalogue: Catalogue, llm: bool | None) -> FusedRanker:
        """Orders candidates with the live release's weights.

        Args:
            live: The live release.
            catalogue: The items.
            llm: Whether the language model ranks; None: as configured.

        Raises:
            ReleaseError: The release was made with another base model, or its adapter was changed.
            ModelError: The adapter cannot be loaded.
        """
        wanted = self._settings.feedback
        pushback = Pushback(
            catalogue.index,
            wanted.pushback,
            wanted.half_life,
            read=partial(self.words().opinion, catalogue.items, catalogue.version),
            items=catalogue.items,
        )
        if not (self._settings.ranking.enabled if llm is None else llm):
            return FusedRanker(live.fusion, None, pushback)
        live.release.require("base_model", self.ranker().model.sha256)
        return FusedRanker(live.fusion, self._adapted(live.release), pushback)

    def _adapted(self, release: Release) -> Ranker:
        """Asks the language model with the release's adapter, if it has one."""
        with self._loading:
            version, base = release.version, self.ranker()
            if version not in self._rankers:
                adapter = release.folder("adapter")
                model = base.model if adapter is None else base.model.adapted(version, adapter)
                self._rankers[version] = base.asking(model)
                # Requests that began with the release before still use its own.
                for old in list(self._rankers)[:-_RELEASES]:
                    if self._rankers.pop(old).model is not base.model:
                        base.model.remove_adapter(old)
            else:
                self._rankers[version] = self._rankers.pop(version)  # the latest used are kept
            return self._rankers[version]

    def prompt(self) -> str:
        """What identifies how the language model is asked: the template's words, and what of an item it is given."""
        ranking = self._settings.ranking
        told = f"{self.prompts.fingerprint('rank')}:{ranking.attributes}:{ranking.text_tokens}"
        return told + (":chat" if self._settings.models.chat_template else "")

    def previous_encoder(self) -> FittedEncoder | None:
        """The live release's encoder, to begin a training with; None if it is of other text vectors or damaged."""
        try:
            champion = self._releases.champion()
            if champion is None or champion.manifest.get("text_encoder") != self.text_encoder().fingerprint:
                return None
            if champion.made_before(self._store.last_forgotten()):
                return None  # it may have learnt from somebody who was deleted since
            return encoder_of(champion)
        except ReleaseError as error:
            _logger.warning("the live release cannot be built on, so the training begins anew: %s", error)
            return None

    def understanding(self, catalogue: Catalogue) -> Understanding:
        """Reads what people say in conversations about the catalogue."""
        words = self.words()
        with self._loading:
            if self._intents is None:
                examples = [one for path in words.files("intents.tsv") for one in read_examples(path)]
                self._intents = IntentModel(examples, words.encoder)
            return Understanding(words.vocabulary(catalogue.items, catalogue.version), self._intents)

    def words(self) -> WordsKeeper:
        """Reads comments, and the names in them."""
        with self._loading:
            if self._words is None:
                own = self._workspace.prompts
                self._words = WordsKeeper(self.text_encoder(), [default_directory(), *([own] if own else [])])
            return self._words

    def answers(self) -> AnswererKeeper:
        """Words explanations."""
        with self._loading:
            if self._answers is None:
                base = Answerer(self.ranker().model, self.prompts, text_tokens=self._settings.ranking.text_tokens)
                releases = ReleaseStore(self._workspace.releases, self._store, "answer")
                self._answers = AnswererKeeper(releases, base, self.words().values)
            return self._answers

    def text_encoder(self) -> Encoder:
        """Embeds item texts."""
        with self._loading:
            if self._encoder is None:
                models = self._settings.models
                self._encoder = TextEncoder.load(resolve(models.text_encoder, "text-encoder"), device=models.device)
            return self._encoder

    def ranker(self) -> Ranker:
        """Asks the language model."""
        with self._loading:
            if self._ranker is None:
                ranking = self._settings.ranking
                self._ranker = Ranker(
                    self._language_model or self._load_language_model(),
                    self.prompts,
                    history_tokens=ranking.history_tokens,
                    text_tokens=ranking.text_tokens,
                    attributes=ranking.attributes,
                )
            return self._ranker

    def _load_language_model(self) -> LanguageModel:
        models, ranking = self._settings.models, self._settings.ranking
        return TransformersLM.load(
            resolve(models.language_model, "language-model"),
            device=models.device,
            dtype=models.dtype,
            chat=models.chat_template,
            compile=models.compile,
            batch_tokens=ranking.batch_tokens,
            states_bytes=ranking.prefix_cache_mb << 20,
            time_limit=ranking.time_limit,
        )


def encoder_of(release: Release) -> FittedEncoder | None:
    """The sequence encoder of a release; None where it goes by texts alone."""
    if "encoder.json" not in release.manifest["files"]:
        return None
    return FittedEncoder.from_parts(release.read("encoder.safetensors"), release.part("encoder.json"))


def evidence_of(release: Release) -> Evidence | None:
    """What orders the encoder's candidates; None where there is no encoder, or the release knows of none."""
    if "evidence.json" not in release.manifest["files"]:
        return None
    return Evidence.from_parts(release.read("evidence.safetensors"), release.part("evidence.json"))


def popularity_of(release: Release) -> Popularity:
    """What was taken how often; older releases know of no groups."""
    groups = release.part("groups.json") if "groups.json" in release.manifest["files"] else ()
    return Popularity(release.part("popularity.json"), tuple(UserGroup(**group) for group in groups))
