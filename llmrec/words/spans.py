"""The words of an utterance, and stretches of them that were understood."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Span", "Token", "tokens_of"]

_MOST_TOKENS = 200
"""Longer utterances are read up to here: nobody asks for a film in more words."""
_LONGEST_WORD = 64
_PIECES = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s]")
_QUOTES = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb"


@dataclass(frozen=True, slots=True)
class Token:
    """A word without case, or a sign, from character `start` up to `stop`, and as it was written."""

    word: str
    written: str
    start: int
    stop: int

    @property
    def capital(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.written[0].isupper()


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens from `start` up to, not including, `stop`, and what they stand for.

    Args:
        start: The first token.
        stop: One after the last.
        what: An item id, a place on the list, a value, a bound, or the stars of a rating as a float.
    """

    start: int
    stop: int
    what: object = None

    def free(self, others: Iterable[Span]) -> bool:
        """Whether none of the others has one of its tokens."""
        return all(self.stop <= other.start or self.start >= other.stop for other in others)

    def quoted(self, tokens: Sequence[Token]) -> bool:
        """Whether it stands in quotation marks."""
        inside = self.start > 0 and self.stop < len(tokens)
        return inside and tokens[self.start - 1].word in _QUOTES and tokens[self.stop].word in _QUOTES

    @property
    def mask(self) -> str:
        """What stands for it where intents are learnt."""
        if isinstance(self.what, str):
            return "Title"
        if isinstance(self.what, int):
            return "that one"
        return "five stars" if isinstance(self.what, float) else getattr(self.what, "mask", "genre")


def tokens_of(text: str) -> list[Token]:
    """The tokens of an utterance, at most 200."""
    found = []
    for place, piece in enumerate(_PIECES.finditer(text[: _MOST_TOKENS * _LONGEST_WORD])):
        if place == _MOST_TOKENS:
            break
        word = piece.group()[:_LONGEST_WORD]
        found.append(Token(word.casefold().replace("\u2019", "'"), word, *piece.span()))
    return found
