"""Deterministic stand-ins for the two neural seams, for tests of everything around them. Nothing else imports this."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import ModelError, ScoringError
from llmrec.models import LanguageModel, PromptTree, Segment

__all__ = ["FailingLanguageModel", "OverlapLanguageModel", "TalkingLanguageModel", "WordEncoder"]

_LAST = 20
_WORDS = re.compile(r"\w+|[^\w\s]")


class WordEncoder:
    """Texts that share words have similar vectors: each word adds a fixed random direction."""

    name = "word-encoder"
    fingerprint = "word-encoder-1"

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> NDArray[np.float32]:
        """Float32 [len(texts), dimension], rows of unit length."""
        self.encoded += texts
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        sums = np.stack([sum(map(self._direction, _words(text)), self._direction("")) for text in texts])
        vectors: NDArray[np.float64] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return vectors.astype(np.float32)

    def _direction(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=self.dimension)


class OverlapLanguageModel:
    """Likes a candidate the more, the more of its words the prompt held before; like a real one, it sees the whole."""

    name = "overlap"
    sha256 = "overlap-1"
    packs = True
    packing_note = ""

    def __init__(self) -> None:
        self.calls = 0
        self._said: dict[int, str] = {}

    def tokenize(self, segment: Segment) -> list[int]:
        """One id per word or sign."""
        words = _words(segment.text)
        ids = [int.from_bytes(sha256(word.encode()).digest()[:4], "big") for word in words]
        self._said.update(zip(ids, words, strict=True))
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The words of ids that it gave before."""
        return " ".join(self._said[index] for index in ids)

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The ids of foreign text, at most `tokens` of them, and whether some were cut off."""
        ids = self.tokenize(Segment(text, trusted=False))
        return ids[:tokens], len(ids) > tokens

    def adapted(self, name: str, directory: Path) -> LanguageModel:
        """Raises ModelError: it has no weights that an adapter could stand beside."""
        raise ModelError(f"{self.name} takes no adapter", hint="use a model with weights")

    def remove_adapter(self, name: str) -> None:
        """There is none."""

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """4 times the share of a prompt's last ids that stand earlier in it too, less 2."""
        self.calls += 1
        return np.array([self._overlap([*prefix, *suffix]) for suffix in suffixes], np.float32)

    def score_trees(self, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        """What `score` gives for each prompt."""
        return np.array([score for tree in trees for score in self.score((), list(tree.prompts()))], np.float32)

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """Nothing: it has no words of its own."""
        return ""

    def log_likelihoods(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> NDArray[np.float64]:
        """The share of what is written that the prompt held, less 1."""
        return np.array([sum(index in set(before) for index in text) / max(1, len(text)) - 1 for before, text in texts])

    def _overlap(self, prompt: list[int]) -> float:
        last, earlier = prompt[-_LAST:], set(prompt[:-_LAST])
        return 4 * sum(index in earlier for index in last) / _LAST - 2


class TalkingLanguageModel(OverlapLanguageModel):
    """Writes what it was told to, be it true or not.

    Args:
        says: What it writes.
    """

    def __init__(self, says: str) -> None:
        super().__init__()
        self.says = says
        self.asked: list[str] = []

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """What it was told to."""
        self.asked.append(self.text(prompt))
        return self.says


class FailingLanguageModel(OverlapLanguageModel):
    """Fails on every request, as a model out of memory does."""

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Raises ScoringError."""
        raise ScoringError("out of memory", hint="use a smaller model")

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """Raises ScoringError."""
        raise ScoringError("out of memory", hint="use a smaller model")


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())
