"""An utterance cut into clauses, and with stand-ins for the names in it."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.words.spans import Span, Token

__all__ = ["ARTICLES", "clauses_of", "masked"]

ARTICLES = {"the", "a", "an"}
_ALL_BUT = {"anything", "everything", "nothing", "all", "any"}
_ENDS = {",", ";", ".", "!", "?", "and", "but", "then"}


def clauses_of(text: str, tokens: Sequence[Token], found: Sequence[Span]) -> tuple[str, ...]:
    """The utterance cut where a sentence or a part of one ends, never within a name."""
    ends = [
        place
        for place, token in enumerate(tokens)
        if token.word in _ENDS
        and Span(place, place + 1).free(found)
        and 0 < place < len(tokens) - 1
        and not (token.word == "but" and tokens[place - 1].word in _ALL_BUT)
        and not _joins(tokens, place, found)
    ]
    starts = [0, *(place + 1 for place in ends)]
    stops = [*ends, len(tokens)]
    cut = [text[tokens[one].start : tokens[two - 1].stop] for one, two in zip(starts, stops, strict=True) if one < two]
    return tuple(part.strip() for part in cut if any(letter.isalnum() for letter in part))


def _joins(tokens: Sequence[Token], place: int, found: Sequence[Span]) -> bool:
    """Whether an “and” stands between two names of a kind: “how do Heat and Casino compare” is one clause."""
    after = place + 2 if tokens[place + 1].word in ARTICLES else place + 1
    before = {one.mask for one in found if one.stop == place}
    return tokens[place].word == "and" and bool(before & {one.mask for one in found if one.start in (place + 1, after)})


def masked(tokens: Sequence[Token], found: Sequence[Span]) -> str:
    """The words, with stand-ins for what was found."""
    words, place = [], 0
    for span in [*found, Span(len(tokens), len(tokens))]:
        words += [token.word for token in tokens[place : span.start]]
        words += [span.mask] if span.stop > span.start else []
        place = span.stop
    return " ".join(words)
