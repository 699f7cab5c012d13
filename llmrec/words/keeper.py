"""The reading of words over a workspace's catalogue: made when first needed, and again when the catalogue changes."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from llmrec.models import Encoder
from llmrec.records import Item
from llmrec.words.opinions import Opinion, OpinionReader, SentimentModel, read_sentences
from llmrec.words.vocabulary import Vocabulary

__all__ = ["WordsKeeper"]


class WordsKeeper:
    """Hands out what reads words; safe to share between threads.

    Args:
        encoder: Gives the vectors of meaning.
        directories: Hold intents.tsv and opinions.tsv: the shipped ones, then a workspace's own.
    """

    def __init__(self, encoder: Encoder, directories: Sequence[Path]) -> None:
        self.encoder = encoder
        self._directories = directories
        self._lock = threading.RLock()
        self._version: int | None = None
        self._vocabulary: Vocabulary | None = None
        self._reader: OpinionReader | None = None

    def files(self, name: str) -> list[Path]:
        """The files of that name, the shipped one first."""
        return [path for directory in self._directories if (path := directory / name).is_file()]

    def vocabulary(self, items: Mapping[str, Item], version: int) -> Vocabulary:
        """The names of a catalogue of that version."""
        with self._lock:
            if self._vocabulary is None or self._version != version:
                self._vocabulary = Vocabulary(items, self.encoder, self._ordinary)
                self._version, self._reader = version, None
            return self._vocabulary

    def values(self, items: Mapping[str, Item], version: int, text: str) -> list[tuple[str, str]]:
        """The values of attributes that a text names, each with its attribute."""
        with self._lock:
            named = self.vocabulary(items, version).read(text, slips=False).values
            return [(one.attribute, one.value) for one in named]

    def opinion(self, items: Mapping[str, Item], version: int, text: str) -> Opinion:
        """What a comment says."""
        with self._lock:
            vocabulary = self.vocabulary(items, version)
            if self._reader is None:
                self._reader = OpinionReader(vocabulary, self._sentiment)
            return self._reader.read(text)

    @cached_property
    def _sentiment(self) -> SentimentModel:
        return SentimentModel(
            [one for path in self.files("opinions.tsv") for one in read_sentences(path)], self.encoder
        )

    @cached_property
    def _ordinary(self) -> frozenset[str]:
        """Words of which commands are made: what one sentence alone has may be a name."""
        lines = [line for path in self.files("intents.tsv") for line in path.read_text(encoding="utf-8").splitlines()]
        sentences = [line.partition("\t")[2] for line in lines if not line.startswith("#")]
        said = Counter(word for sentence in sentences for word in set(re.findall(r"[\w']+", sentence.casefold())))
        return frozenset(word for word, times in said.items() if times > 1 and word not in ("title", "genre"))
