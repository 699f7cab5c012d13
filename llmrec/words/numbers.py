"""Numbers in an utterance: places on the list, the stars of a rating, bounds such as “before 1990” or “cheaper”."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llmrec.words.spans import Span, Token

__all__ = ["Bound", "find_bounds", "find_places", "find_stars"]

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
             "eleventh", "twelfth")  # fmt: skip
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DECADES = {"twenties": 1920, "thirties": 1930, "forties": 1940, "fifties": 1950, "sixties": 1960, "seventies": 1970,
            "eighties": 1980, "nineties": 1990}  # fmt: skip
_YEAR = r"(1[89]\d\d|20\d\d)"
_WRITTEN = re.compile(r"(\d{1,3})(?:st|nd|rd|th)")
_MOST_PLACES = 1000
_FURTHEST = 50
"""Nobody counts further down a list."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number should be.

    Args:
        subject: What is bounded: year, price, length, minutes or pages.
        least: Not below this.
        most: Not above this.
        direction: Without a number: 1 for more than what is talked of, -1 for less.
        wanted: Whether it should lie there; else it should not.
    """

    subject: str
    least: float | None = None
    most: float | None = None
    direction: int = 0
    wanted: bool = True

    @property
    def mask(self) -> str:
        """What stands for it where intents are learnt."""
        return "newer than 1990"


def find_places(tokens: Sequence[Token], taken: Sequence[Span], *, titled: bool = False) -> list[Span]:
    """Places on the list: “the second one”, “number 3”, “the last”, “1 or 2”.

    Args:
        tokens: The utterance.
        taken: What was understood already.
        titled: Whether a title was: of “why is Casablanca first” the last word names no other item.
    """
    found: list[Span] = []
    words = [token.word for token in tokens]
    for place, word in enumerate(words):
        span = Span(place, place + 1)
        if not span.free((*taken, *found)):
            continue
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        start = place - 1 if before in ("the", "number", "no", "nr", "#", "item") else place
        stop = (
            place + 2
            if after in ("one", "item", "film", "movie", "book", "place") and word not in _NUMBERS
            else place + 1
        )
        bare = start == place and stop == place + 1
        if titled and bare and word in _ORDINALS:
            continue
        if word in _ORDINALS and after == "two" and word == "first":
            found += [Span(start, place + 1, 1), Span(place + 1, place + 2, 2)]
        elif word in _ORDINALS:
            found.append(Span(start, stop, _ORDINALS.index(word) + 1))
        elif (written := _WRITTEN.fullmatch(word)) and 1 <= int(written[1]) < _MOST_PLACES:
            found.append(Span(start, stop, int(written[1])))
        elif (
            word in ("last", "bottom") and (before in ("the", "this", "that") or after == "one") and after not in _TIMES
        ):
            found.append(Span(start, stop, -1))
        elif word in ("top", "topmost") and (after == "one" or before == "the") and after != "of":
            found.append(Span(start, stop, 1))
        elif (number := _number(word)) and (before in ("number", "nr", "#") or _is_counted(words, place)):
            found.append(Span(start, place + 1, number))
    return found


_TIMES = ("change", "step", "week", "night", "time", "year", "month", "filter", "thing", "message", "action")


def _number(word: str) -> int | None:
    if word in _NUMBERS:
        return _NUMBERS.index(word) + 1
    return int(word) if word.isdecimal() and len(word) < 3 and 1 <= int(word) <= _FURTHEST else None


def _is_counted(words: Sequence[str], place: int) -> bool:
    """A bare number that is a place: “1 or 2”, “1 vs 3”."""
    around = words[max(0, place - 2) : place + 3]
    others = [word for word in around if word.isdecimal() and word != words[place]]
    joined = {"or", "vs", "versus", "and"} & set(around)
    return words[place].isdecimal() and bool(others) and bool(joined)


_STARS = re.compile(
    r"\b(?<!\. )(?:(?P<n>[0-5](?: \. \d)?|one|two|three|four|five)\s+(?:stars?|points?)"
    r"|(?P<of>[0-5](?: \. \d)?|one|two|three|four|five) (?:out of|/|of) (?:5|five)"
    r"|rate .{1,60}? (?P<last>[1-5])(?=$| [.!,]))\b"
)


def find_stars(tokens: Sequence[Token], taken: Sequence[Span]) -> list[Span]:
    """A rating: “five stars”, “4 out of 5”."""

    def rated(match: re.Match[str]) -> float:
        said = match["n"] or match["of"] or match["last"]
        return float(_NUMBERS.index(said) + 1 if said in _NUMBERS else said.replace(" ", ""))

    spans = _matches(_STARS, tokens, rated)
    # Of “rate Vertigo 3” the number alone is the rating.
    narrowed = [Span(one.stop - 1, one.stop, one.what) if tokens[one.start].word == "rate" else one for one in spans]
    return [one for one in narrowed if one.free(taken)][:1]


_NONE = r"(?:nothing|not|none|no \w+|never|isn't) (?:\w+ )?"
_EARLIER = rf"(?:older than|before|from before|earlier than|until) {_YEAR}"
_LATER = rf"(?:newer than|after|from after|later than|more recent than) {_YEAR}"
_UNDER = r"(?:under|below|at most|up to|less than|shorter than|not longer than|cheaper than|max|maximum)"
_OVER = r"(?:over|above|at least|more than|longer than|min|minimum)"
_AMOUNT = r"(\d+(?: \. \d+)?)"
_MONEY = r"(?:dollars?|euros?|pounds?|bucks|\$|\u20ac|\u00a3)"
_TIME, _PAGES = r"(?:minutes|minute|min)", r"pages"
_SO = r"(?:that|so|too|very|quite so)"

Made = Callable[[float], Bound]


def _least(subject: str, more: int = 0) -> Made:
    return lambda number: Bound(subject, least=number + more)


def _most(subject: str, more: int = 0) -> Made:
    return lambda number: Bound(subject, most=number + more)


def _decade(first: float) -> Bound:
    return Bound("year", first, first + 9)


_NUMBERED: tuple[tuple[str, Made], ...] = (
    (_NONE + _EARLIER, _least("year")),
    (_NONE + _LATER, _most("year")),
    (_EARLIER, _most("year", -1)),
    (_LATER, _least("year", 1)),
    (rf"(?:since|from) {_YEAR} (?:on|onwards?)", _least("year")),
    (rf"since {_YEAR}", _least("year")),
    (r"(?:the )?(?:19)?([2-9])0 ?'? ?s", lambda tens: _decade(1900 + 10 * tens)),
    (r"(?:the )?20([0-2])0 ?'? ?s", lambda tens: _decade(2000 + 10 * tens)),
    (rf"(?:in|from|of) {_YEAR}", lambda year: Bound("year", year, year)),
    (rf"{_UNDER} {_AMOUNT} {_MONEY}", _most("price")),
    (rf"{_UNDER} {_MONEY} {_AMOUNT}", _most("price")),
    (rf"cheaper than {_AMOUNT}", _most("price")),
    (rf"{_OVER} {_AMOUNT} {_MONEY}", _least("price")),
    (rf"{_UNDER} {_AMOUNT} {_TIME}", _most("minutes")),
    (rf"{_OVER} {_AMOUNT} {_TIME}", _least("minutes")),
    (rf"{_UNDER} {_AMOUNT} {_PAGES}", _most("pages")),
    (rf"{_OVER} {_AMOUNT} {_PAGES}", _least("pages")),
)
_BARE: tuple[tuple[str, Bound], ...] = (
    *((rf"(?:the )?{word}", _decade(first)) for word, first in _DECADES.items()),
    (rf"(?:not|nothing|isn't) {_SO} old|(?:newer|more recent|more modern)(?! than)", Bound("year", direction=1)),
    (rf"(?:not|nothing) {_SO} (?:new|recent|modern)|older(?! than)", Bound("year", direction=-1)),
    (rf"(?:cheaper|less expensive|not {_SO} expensive)(?! than)", Bound("price", direction=-1)),
    (rf"(?:shorter|not {_SO} long)(?! than)", Bound("length", direction=-1)),
    (r"longer(?! than)", Bound("length", direction=1)),
)


def _compiled(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})(?!\w)")


def _years(match: re.Match[str]) -> tuple[float, float]:
    return float(match[1]), float(match[2])


def _numbered(made: Made, match: re.Match[str]) -> Bound:
    return made(float(match[1].replace(" ", "")))


def _unnumbered(bound: Bound, _: re.Match[str]) -> Bound:
    return bound


_BETWEEN = re.compile(rf"\b(?:between|from) (?:the )?{_YEAR} (?:and|to|until|-) {_YEAR}\b")
_BOUNDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Bound]], ...] = (
    (_BETWEEN, lambda match: Bound("year", min(_years(match)), max(_years(match)))),
    *((_compiled(words), partial(_numbered, made)) for words, made in _NUMBERED),
    *((_compiled(words), partial(_unnumbered, bound)) for words, bound in _BARE),
)
"""The first that fits a stretch of words counts."""


def find_bounds(tokens: Sequence[Token], taken: Sequence[Span]) -> list[Span]:
    """Bounds on numbers, the first pattern that fits a stretch of words."""
    found: list[Span] = []
    for pattern, made in _BOUNDS:
        found += [one for one in _matches(pattern, tokens, made) if one.free((*taken, *found))]
    return found


def _matches(pattern: re.Pattern[str], tokens: Sequence[Token], made: Callable[[re.Match[str]], object]) -> list[Span]:
    """Where a pattern stands in the words with one blank between each two."""
    starts, text = [], ""
    for token in tokens:
        starts.append(len(text))
        text += token.word + " "
    found = []
    for match in pattern.finditer(text.rstrip()):
        inside = [place for place, start in enumerate(starts) if match.start() <= start < match.end()]
        if inside:
            found.append(Span(inside[0], inside[-1] + 1, made(match)))
    return found
