"""Whether what an utterance names is wanted or not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmrec.words.spans import Token

__all__ = ["is_wanted"]

_NEGATIONS = {"no", "not", "without", "nothing", "none", "exclude", "excluding", "except", "but", "never", "dont",
              "don't", "can't", "cant", "cannot", "won't", "hate", "hates", "hated", "avoid", "out", "stop", "less",
              "fewer", "isn't", "doesn't", "nor", "skip", "dislike", "drop", "omit", "ban", "ditch", "hide", "remove",
              "minus", "tired", "sick", "enough", "allergic", "fed", "bored",
              "kein", "keine", "keinen", "ohne", "nicht", "nichts", "pas", "sans", "aucun", "sin", "nada", "non",
              "niente", "senza"}  # fmt: skip
_ONLY = {("nothing", "but"), ("nothing", "except"), ("not", "only"), ("why", "not"), ("none", "but"), ("get", "enough")}
"""Pairs of words that negate nothing."""
_AFFIRMATIONS = {"only", "just", "want", "like", "love", "or", "show", "mood", "feel"}
_THING = r"(?:films?|movies?|books?|games?|songs?|music|recipes?|ones?|stuff|things?|items?)"
_REFUSED = re.compile(
    rf"(?:{_THING} )?(?:out(?! there)|away|off|isn't|aren't|(?:is|are) (?:not|out)|not for|can go|no thanks)\b"
)
"""What says after a value that it is not wanted: “leave horror out”, “horror is not for me”."""


def is_wanted(tokens: Sequence[Token], start: int, stop: int) -> bool:
    """Whether the words from `start` up to `stop` are wanted: by what follows, else by the nearest word before."""
    if _REFUSED.match(" ".join(token.word for token in tokens[stop : stop + 4])):
        return False
    for place in range(start - 1, max(-1, start - 7), -1):
        token, before = tokens[place], tokens[place - 1].word if place else ""
        if token.word in ",;.!?":
            return True
        if (before, token.word) in _ONLY:
            return True
        if token.word in _NEGATIONS:
            return False
        if token.word in _AFFIRMATIONS and (before, token.word) not in _ONLY and not _is_negated(tokens, token):
            return True
    return True


def _is_negated(tokens: Sequence[Token], token: Token) -> bool:
    place = tokens.index(token)
    return any(one.word in _NEGATIONS - {"but"} for one in tokens[max(0, place - 2) : place])
