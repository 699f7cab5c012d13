"""The reading of words over a workspace's catalogue: made when first needed, and again when the catalogue changes."""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from llmrec.errors import ModelError, ScoringError, SourceError
from llmrec.models import Encoder
from llmrec.records import Item
from llmrec.words.opinions import Opinion, OpinionReader, Rated, SentimentModel, read_sentences
from llmrec.words.readings import Calibration, Readings, calibrated
from llmrec.words.vocabulary import Vocabulary

__all__ = ["OwnComments", "WordsKeeper"]

_MODELS = 3
"""So many releases' reading of comments stays loaded."""
_MOST_UNREAD = 1_000
"""Comments that wait for the language model; others are met again, or read by the next fit."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnComments:
    """What a release learnt of a workspace's own comments.

    Args:
        version: Names the release, and changes when some of them are deleted.
        rated: Gives them, and from -1 to 1 what their writers thought.
    """

    version: str
    rated: Callable[[], Sequence[Rated]]


class WordsKeeper:
    """Hands out what reads words; safe to share between threads.

    Args:
        encoder: Gives the vectors of meaning.
        directories: Hold intents.tsv and opinions.tsv: the shipped ones, then a workspace's own.
        kept: Where what a workspace's comments came to is kept.
        readings: What the language model makes of comments; None: it is not asked.
    """

    def __init__(
        self,
        encoder: Encoder,
        directories: Sequence[Path],
        kept: Path | None = None,
        readings: Callable[[], Readings] | None = None,
    ) -> None:
        self.encoder = encoder
        self._directories = directories
        self._kept = kept
        self._readings = readings
        self._lock = threading.RLock()
        self._version: int | None = None
        self._vocabulary: Vocabulary | None = None
        self._models: dict[str, SentimentModel] = {}
        self._readers: dict[str, OpinionReader] = {}
        self._calibration: Calibration | None = None
        self._unread: queue.Queue[str | None] = queue.Queue(_MOST_UNREAD)
        self._ended = threading.Event()

    def files(self, name: str) -> list[Path]:
        """The files of that name, the shipped one first."""
        return [path for directory in self._directories if (path := directory / name).is_file()]

    def vocabulary(self, items: Mapping[str, Item], version: int) -> Vocabulary:
        """The names of a catalogue of that version."""
        with self._lock:
            if self._vocabulary is None or self._version != version:
                self._vocabulary = Vocabulary(items, self.encoder, self._ordinary)
                self._version = version
                self._readers.clear()
            return self._vocabulary

    def values(self, items: Mapping[str, Item], version: int, text: str) -> list[tuple[str, str]]:
        """The values of attributes that a text names, each with its attribute."""
        with self._lock:
            named = self.vocabulary(items, version).read(text, slips=False).values
            return [(one.attribute, one.value) for one in named]

    def opinion(self, items: Mapping[str, Item], version: int, text: str, own: OwnComments | None = None) -> Opinion:
        """What a comment says.

        Args:
            items: The catalogue.
            version: Of the catalogue.
            text: The comment.
            own: The workspace's comments that are learnt from beside the labelled sentences.
        """
        # Before the lock: it may load the language model, under the lock of who lent it.
        readings = self._asked()
        with self._lock:
            vocabulary, name = self.vocabulary(items, version), own.version if own else ""
            added = self._added(readings, text) if readings else 0.0
            if name not in self._readers:
                self._readers[name] = OpinionReader(vocabulary, self._sentiment(own))
                for old in [one for one in self._readers if one][:-_MODELS]:
                    del self._readers[old]
            return self._readers[name].read(text, added)

    def read(self, texts: Sequence[str]) -> int:
        """Let the language model read comments, where it is to; how many it had not read before.

        Raises:
            SourceError: There is no such model.
            ModelError: It cannot be loaded, or failed.
        """
        if self._readings is None:
            return 0
        readings = self._readings()
        readings.read([sentence for sentence, _ in self._sentences])
        return readings.read(texts)

    def read_unread(self) -> None:
        """Let the language model read what lists met unread, as it comes, until `end`; for a thread beside requests."""
        while (text := self._unread.get()) is not None and not self._ended.is_set():
            try:
                self.read([text])
            except ModelError as error:
                _log.warning("the language model did not read a comment, which the next fit will try: %s", error)
            except Exception:  # noqa: BLE001 - one comment that cannot be read keeps no other from being read
                _log.exception("the language model did not read a comment, which the next fit will try")

    def end(self) -> None:
        """Let the thread that reads end; the next fit reads what still waits."""
        self._ended.set()
        self.forget_unread()
        with suppress(queue.Full):
            self._unread.put_nowait(None)

    def forget_unread(self) -> None:
        """Let go of the comments that wait for the language model: some may have been deleted."""
        with suppress(queue.Empty):
            while True:
                self._unread.get_nowait()

    def _asked(self) -> Readings | None:
        """What the language model made of comments; None where it is not to read them, or is not at hand."""
        try:
            return self._readings() if self._readings else None
        except ScoringError as error:  # it is busy: the next comment asks again
            _log.warning("a comment is read without the language model: %s", error)
        except (ModelError, SourceError) as error:
            self._readings = None  # no request is to try and load it again
            _log.error("until the next start comments are read without the language model: %s", error)
        return None

    def _added(self, readings: Readings, text: str) -> float:
        """What the language model's reading adds, where it has read the comment."""
        told = readings.known(text)
        if told is None:
            if text.strip() and not self._ended.is_set():
                with suppress(queue.Full):
                    self._unread.put_nowait(text)
            return 0.0
        if self._calibration is None:
            self._calibration = self._calibrated(readings)
        return self._calibration.added(told) if self._calibration else 0.0

    def _calibrated(self, readings: Readings) -> Calibration | None:
        """How the model's log-odds count; None while it has not read all labelled sentences."""
        sentences = self._sentences
        told = [readings.known(sentence) for sentence, _ in sentences]
        log_odds = [one for one in told if one is not None]
        if len(log_odds) < len(sentences):
            return None
        targets = np.array([liking for _, liking in sentences])
        return calibrated(targets, SentimentModel.foretold(sentences, self.encoder), np.array(log_odds))

    def _sentiment(self, own: OwnComments | None) -> SentimentModel:
        name = own.version if own else ""
        if name not in self._models:
            rated = own.rated() if own else ()
            self._models[name] = SentimentModel([*self._sentences, *rated], self.encoder, self._kept)
            for old in [one for one in self._models if one][:-_MODELS]:
                del self._models[old]
        return self._models[name]

    @cached_property
    def _sentences(self) -> list[Rated]:
        return [one for path in self.files("opinions.tsv") for one in read_sentences(path)]

    @cached_property
    def _ordinary(self) -> frozenset[str]:
        """Words of which commands are made: what one sentence alone has may be a name."""
        lines = [line for path in self.files("intents.tsv") for line in path.read_text(encoding="utf-8").splitlines()]
        sentences = [line.partition("\t")[2] for line in lines if not line.startswith("#")]
        said = Counter(word for sentence in sentences for word in set(re.findall(r"[\w']+", sentence.casefold())))
        return frozenset(word for word, times in said.items() if times > 1 and word not in ("title", "genre"))
