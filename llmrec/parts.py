"""The parts of a recommender that all releases share, made when they are first needed; models are loaded once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from llmrec.chat import IntentModel, Understanding, read_examples
from llmrec.config import Settings
from llmrec.data import Store
from llmrec.explaining import Answerer, AnswererKeeper
from llmrec.models import (
    Encoder,
    LanguageModel,
    ModelThread,
    Segment,
    SharedLM,
    TextEncoder,
    TransformersLM,
    choose_device,
    resolve,
)
from llmrec.ranking import PromptLibrary, Ranker, default_directory
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import Catalogue, CatalogueKeeper
from llmrec.words import Readings, WordsKeeper, ask_of_comments
from llmrec.workspace import Workspace

__all__ = ["Parts"]

_RELEASES = 5
"""So many releases' adapters stay loaded: the live one, the one before it, and those that were named last."""
_GPU_BATCH = 16
"""There a pass of several users' prompts takes little longer than one's; on a CPU it takes as long as they would."""


class Parts:
    """Models, adapters, the catalogue and words; safe to share between threads.

    Args:
        workspace: The directory.
        settings: All settings.
        store: Users, items and events.
        prompts: The templates.
        encoder: Embeds item texts; None: the configured one.
        language_model: Ranks; None: the configured one.

    Attributes:
        is_guest: Whether the language model goes on serving others afterwards: this workspace's adapters then leave it.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        store: Store,
        *,
        prompts: PromptLibrary,
        encoder: Encoder | None,
        language_model: LanguageModel | None,
    ) -> None:
        self.prompts = prompts
        self._workspace = workspace
        self._settings = settings
        self._store = store
        self._loading = threading.RLock()
        self._encoder = encoder
        self._language_model = language_model
        self.is_guest = False
        self._keeper: CatalogueKeeper | None = None
        self._ranker: Ranker | None = None
        self._rankers: dict[str, Ranker] = {}
        self._words: WordsKeeper | None = None
        self._intents: IntentModel | None = None
        self._readings: Readings | None = None
        self._thread: ModelThread | None = None
        self._answers: AnswererKeeper | None = None

    def catalogue(self, *, progress: bool = False) -> Catalogue:
        """The items and their text vectors as the store has them now."""
        with self._loading:
            if self._keeper is None:
                self._keeper = CatalogueKeeper(self._store, self.text_encoder(), self._workspace.index)
        return self._keeper.current(progress=progress)

    def adapted(self, release: Release) -> Ranker:
        """Asks the language model with the release's adapter, if it has one.

        Raises:
            ReleaseError: The release was made with another base model, or its adapter was changed.
            ModelError: The adapter cannot be loaded.
        """
        release.require("base_model", self.ranker().model.sha256)
        with self._loading:
            # Not by its version: another workspace beside this one has that too, and may share the model.
            name, base = str(release.directory), self.ranker()
            if name not in self._rankers:
                adapter = release.folder("adapter")
                model = base.model if adapter is None else base.model.adapted(name, adapter)
                self._rankers[name] = base.asking(model)
                # Requests that began with the release before still use its own.
                for old in list(self._rankers)[:-_RELEASES]:
                    if self._rankers.pop(old).model is not base.model:
                        base.model.remove_adapter(old)
            else:
                self._rankers[name] = self._rankers.pop(name)  # the latest used are kept
            return self._rankers[name]

    def prompt(self) -> str:
        """What identifies how the language model is asked: the template's words, and what of an item it is told."""
        ranking = self._settings.ranking
        words = self.prompts.fingerprint("rank" if ranking.ask == "choice" else ranking.ask)
        told = f"{words}:{ranking.attributes}:{ranking.text_tokens}"
        told += f":evidence{ranking.evidence}" if ranking.evidence else ""
        return told + (":chat" if self._settings.models.chat_template else "")

    def understanding(self, catalogue: Catalogue) -> Understanding:
        """Reads what people say in conversations about the catalogue."""
        words = self.words()
        with self._loading:
            if self._intents is None:
                examples = [one for path in words.files("intents.tsv") for one in read_examples(path)]
                self._intents = IntentModel(examples, words.encoder)
            intents = self._intents
        # Without this lock: who holds that of words may wait for this one.
        return Understanding(words.vocabulary(catalogue.items, catalogue.version), intents)

    def words(self) -> WordsKeeper:
        """Reads comments, and the names in them."""
        with self._loading:
            if self._words is None:
                own, asks = self._workspace.prompts, self._settings.feedback.reading == "model"
                directories = [default_directory(), *([own] if own else [])]
                readings = self._readings_of_comments if asks else None
                self._words = WordsKeeper(self.text_encoder(), directories, self._workspace.comments, readings)
            return self._words

    def forget_words(self, texts: Sequence[str] | None) -> None:
        """Let go of what deleted texts came to; None: of what all did."""
        with self._loading:
            if self._words is not None:
                self._words.forget_unread()
            if self._readings is not None:
                self._readings.forget(texts)

    def _readings_of_comments(self) -> Readings:
        """What the base model makes of comments; the model is loaded when it is asked."""
        with self._loading:
            if self._readings is None:
                model, fingerprint = self.ranker().model, self.prompts.fingerprint("comment")
                name = hashlib.sha256(f"{model.sha256} {fingerprint}".encode()).hexdigest()[:32]
                self._readings = Readings(self._asked, self._workspace.comments / f"{name}.json")
            return self._readings

    def _asked(self, texts: Sequence[str]) -> list[float]:
        def rendered(block: str, **values: object) -> list[Segment]:
            pieces = self.prompts.render("comment", block, **values)
            return [one for one in pieces if isinstance(one, Segment)]

        return ask_of_comments(
            self.ranker().model, rendered("shared"), lambda text: rendered("comment", text=text), texts
        )

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
                    ask=ranking.ask,
                )
            return self._ranker

    def share(self, batch: int) -> None:
        """Give the language model to a thread of its own, if any ranks here; see `Recommender.share`."""
        models, ranking = self._settings.models, self._settings.ranking
        with self._loading:
            if self._thread is not None or not ranking.enabled:
                return
            most = batch or (_GPU_BATCH if choose_device(models.device).type == "cuda" else 1)
            model = self._language_model or self._load_language_model()
            self._thread = ModelThread(at_once=most, time_limit=ranking.time_limit)
            self._language_model, self._ranker = SharedLM(model, self._thread), None
            self._rankers.clear()
            self._answers = self._readings = None
            if self._settings.feedback.reading == "model":
                threading.Thread(target=self.words().read_unread, name="comments", daemon=True).start()

    def close(self) -> None:
        """End the thread that owns the language model, after what waits for it; another's model loses the adapters."""
        if self._words is not None:
            self._words.end()
        if self.is_guest and self._ranker is not None:
            base = self._ranker.model
            for name in [name for name, ranker in self._rankers.items() if ranker.model is not base]:
                base.remove_adapter(name)
                del self._rankers[name]
        if self._thread is not None:
            self._thread.close()

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
