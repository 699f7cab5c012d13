"""What a comment says: for or against, and for or against which attributes of the catalogue.

A regression over sentences foretells a number from -1 to 1. It is learnt from prompts/opinions.tsv, and from comments
with a rating where there are some. What a clause is for or against are the values it names, so a comment with a “but”
may be for one and against another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import PromptError
from llmrec.models import Encoder
from llmrec.words.regression import SentenceRegression
from llmrec.words.vocabulary import Named, Vocabulary

__all__ = ["Opinion", "OpinionReader", "Rated", "SentimentModel", "read_sentences"]

Rated = tuple[str, float]
"""A sentence, and from -1 to 1 how much it is for what it is about."""

_MEANING = 0.2
_RIDGE = 2.0
_FOLDS = 5
_REMEMBERED = 4096
_LONGEST = 2_000
"""Characters of a comment that are read."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a comment says.

    Args:
        sentiment: From -1, against, to 1, for.
        values: Values of attributes it names, and from -1 to 1 how it speaks of each.
    """

    sentiment: float
    values: tuple[tuple[Named, float], ...] = ()


class SentimentModel:
    """How much sentences are for or against what they are about.

    Args:
        examples: What it is learnt from.
        encoder: Gives the vectors of meaning.
        kept: Where what many examples came to is kept; None: in the user's cache.
    """

    def __init__(self, examples: Sequence[Rated], encoder: Encoder, kept: Path | None = None) -> None:
        targets = np.array([[value] for _, value in examples])
        sentences = [sentence for sentence, _ in examples]
        self._regression = SentenceRegression.learn(
            sentences, targets, encoder, meaning=_MEANING, ridge=_RIDGE, kept=kept
        )
        # A ridge shrinks: an example should be told as strongly as it is meant.
        told = self._regression.scores(sentences)[:, 0]
        self._scale = float(told @ targets[:, 0] / max(told @ told, 1e-9))

    @classmethod
    def foretold(cls, examples: Sequence[Rated], encoder: Encoder) -> NDArray[np.float64]:
        """The sentiments of examples, each fifth from the others, float64 [examples]."""
        found = np.empty(len(examples))
        for fold in range(_FOLDS):
            others = [one for place, one in enumerate(examples) if place % _FOLDS != fold]
            asked = [sentence for sentence, _ in examples[fold::_FOLDS]]
            found[fold::_FOLDS] = cls(others, encoder).sentiments(asked)
        return found

    def sentiments(self, sentences: Sequence[str]) -> list[float]:
        """From -1, against, to 1, for."""
        told = self._regression.scores(sentences)[:, 0] * self._scale
        return [float(one) for one in np.clip(told, -1, 1)]


class OpinionReader:
    """Reads comments; what was read before is remembered.

    Args:
        vocabulary: The names of the catalogue.
        model: How much a clause is for or against.
    """

    def __init__(self, vocabulary: Vocabulary, model: SentimentModel) -> None:
        self._vocabulary = vocabulary
        self._model = model
        self._remembered = lru_cache(_REMEMBERED)(self._read)

    def read(self, text: str, added: float = 0.0) -> Opinion:
        """What a comment says; `added` is what the language model's reading adds to its sentiment."""
        return self._remembered(text, added)

    def _read(self, text: str, added: float) -> Opinion:
        mentions = self._vocabulary.read(text[:_LONGEST], slips=False)
        whole, *parts = self._model.sentiments([text, *mentions.clauses])
        values: dict[tuple[str, str], tuple[Named, float]] = {}
        for clause, sentiment in zip(mentions.clauses, parts, strict=True):
            for named in self._vocabulary.read(clause, slips=False).values:
                # “No more horror” names what is not wanted without a word of liking.
                told = min(sentiment, -0.5) if not named.wanted else sentiment
                values[named.attribute, named.value] = (named, told)
        return Opinion(min(1.0, max(-1.0, whole + added)), tuple(values.values()))


def read_sentences(path: Path) -> list[Rated]:
    """Value and sentence of each line; lines that begin with # are for people.

    Raises:
        PromptError: A line has no such form.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        value, _, sentence = line.partition("\t")
        try:
            told = float(value)
        except ValueError:
            told = float("nan")
        if not sentence.strip() or not -1 <= told <= 1:
            raise PromptError(
                f"{path.name}, line {number}: {line[:60]!r} is no example",
                hint="write a number from -1 to 1, a tab and a sentence",
            )
        found.append((sentence.strip(), told))
    return found
