"""Numbers in an utterance: places on the list, the stars of a rating, bounds such as “before 1990” or “cheaper”."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llmrec.words.spans import Span, Token

__all__ = ["NUMBERS", "Bound", "find_bounds", "find_places", "find_stars"]

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
             "eleventh", "twelfth")  # fmt: skip
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PLACED = ("one", "item", "film", "movie", "book", "place", "product", "title", "entry", "suggestion", "recommendation",
           "pick", "option", "choice", "result")  # fmt: skip
"""What a place on a list is followed by."""
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
        rank = _rank(words, place)
        if rank is None or not Span(place, place + 1).free((*taken, *found)):
            continue
        if word == "first" and words[place + 1 : place + 2] == ["two"]:
            found += [Span(place, place + 1, 1), Span(place + 1, place + 2, 2)]
            continue
        span = _with_neighbours(words, place, rank)
        if not (titled and word in _ORDINALS and span.stop - span.start == 1):
            found.append(span)
    return found


def _rank(words: Sequence[str], place: int) -> int | None:
    """The place on the list that a word means: 1 for the first, -1 for the last."""
    word = words[place]
    before, after = _around(words, place)
    if word in (*_ORDINALS, "last") and (before in _UNCOUNTED or after in _TIMES):
        return None
    if word in _ORDINALS:
        return _ORDINALS.index(word) + 1
    if (written := _WRITTEN.fullmatch(word)) and 1 <= int(written[1]) < _MOST_PLACES:
        return int(written[1])
    if word in ("last", "bottom") and (before in ("the", "this", "that") or after == "one"):
        return -1
    if word in ("top", "topmost") and (after == "one" or (before == "the" and not after.isdecimal())):
        return None if words[place - 2 : place - 1] in (["at"], ["on"]) and place > 1 else 1
    counted = before in ("number", "nr", "#") or _is_counted(words, place)
    return _number(word) if counted else None


def _around(words: Sequence[str], place: int) -> tuple[str, str]:
    """The words before and after; of “no. 2” the first is “nr”."""
    before = words[place - 1] if place else ""
    if before == "." and place > 1 and words[place - 2] in ("no", "nr"):
        before = "nr"
    return before, words[place + 1] if place + 1 < len(words) else ""


def _with_neighbours(words: Sequence[str], place: int, rank: int) -> Span:
    """With the article before and the “one” after it."""
    before, after = _around(words, place)
    numbered = words[place].isdecimal() or words[place] in NUMBERS
    start = place - (2 if before == "nr" and words[place - 1] == "." else before in _COUNTERS)
    return Span(start, place + 2 if after in _PLACED and not numbered else place + 1, rank)


_COUNTERS = ("the", "number", "no", "nr", "#", "item")
_UNCOUNTED = ("at", "a", "my")
"""“At first”, “a second”, “my last one”: no place on the list."""
_TIMES = ("change", "step", "week", "night", "time", "year", "month", "filter", "thing", "message", "action", "thought",
          "few", "couple", "days", "weeks", "months", "years", "decade", "decades", "of")  # fmt: skip


def _number(word: str) -> int | None:
    if word in NUMBERS:
        return NUMBERS.index(word) + 1
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
    r"|(?:rate .{1,60}?|(?:gets|deserves) an?|(?:give|gave) (?!me\b).{1,60}? an?) (?P<last>[1-5])(?=$| [.!,]))\b"
)


_RATE = ("rate", "gets", "deserves", "give", "gave")


def find_stars(tokens: Sequence[Token], taken: Sequence[Span]) -> list[Span]:
    """A rating: “five stars”, “4 out of 5”."""

    def rated(match: re.Match[str]) -> float:
        said = match["n"] or match["of"] or match["last"]
        return float(NUMBERS.index(said) + 1 if said in NUMBERS else said.replace(" ", ""))

    spans = _matches(_STARS, tokens, rated)
    # Of “rate Vertigo 3” the number alone is the rating.
    narrowed = [Span(one.stop - 1, one.stop, one.what) if tokens[one.start].word in _RATE else one for one in spans]
    return [one for one in narrowed if one.free(taken)][:1]


_NONE = (
    r"(?:nothing|not|none|no \w+|no|never|isn't|excluding|exclude|without|skip|avoid|hide|remove|except|leave out"
    r"|don't (?:want|like|show)|dont (?:want|like|show)) (?:me )?(?:\w+ )?"
)
_EARLIER = rf"(?:older than|before|from before|earlier than|until|prior to|pre(?: -)?) {_YEAR}"
_LATER = rf"(?:newer than|after|from after|later than|more recent than|post(?: -)?) {_YEAR}"
_MOST = r"under|below|at most|up to|less than|fewer than|shorter than|cheaper than|within|max \.|max|maximum|not over"
_MORE = r"over|above|more than|longer than|more expensive than"
_UNDER = rf"(?:{_MOST}|(?:not|no|nothing|none|never) (?:\w+ )?(?:{_MORE}))"
_OVER = rf"(?:{_MORE}|at least|min \.|min|minimum|(?:not|no|nothing|none|never) (?:\w+ )?(?:under|below|less than))"
_AMOUNT = r"(\d+(?: \. \d+)?)"
_MONEY = r"(?:dollars?|euros?|pounds?|bucks?|quid|usd|eur|\$|\u20ac|\u00a3)"
_TIME, _PAGES = r"(?:minutes|minute|mins|min)", r"pages"
_HOURS = r"(\d+(?: \. \d+)?|an|one|two|three|four) (?:hours?|hrs?|h)"
_TO = r"(?:and|to|until|-|\u2013)"
_AT_MOST = r"(?:or (?:less|under|below|cheaper|shorter|fewer)|max|maximum|tops|at most)"
_AT_LEAST = r"(?:or (?:more|longer|above)|minimum|at least)"
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
    (rf"{_YEAR} (?:or|and) (?:later|newer|after|younger|onwards?)", _least("year")),
    (rf"{_YEAR} (?:or|and) (?:earlier|older|before)", _most("year")),
    (rf"{_AMOUNT} {_MONEY} {_AT_MOST}", _most("price")),
    (rf"{_MONEY} {_AMOUNT} {_AT_MOST}", _most("price")),
    (rf"{_AMOUNT} {_MONEY} {_AT_LEAST}", _least("price")),
    (rf"{_AMOUNT} {_TIME} {_AT_MOST}", _most("minutes")),
    (rf"{_AMOUNT} {_PAGES} {_AT_MOST}", _most("pages")),
    (rf"budget (?:of|is) (?:{_MONEY} )?{_AMOUNT}(?: {_MONEY})?", _most("price")),
    (rf"{_UNDER} {_AMOUNT} {_MONEY}", _most("price")),
    (rf"{_UNDER} {_MONEY} {_AMOUNT}", _most("price")),
    (rf"cheaper than {_AMOUNT}", _most("price")),
    (rf"{_OVER} {_AMOUNT} {_MONEY}", _least("price")),
    (rf"{_OVER} {_MONEY} {_AMOUNT}", _least("price")),
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


def _stretch(subject: str, match: re.Match[str]) -> Bound:
    one, two = (float(end.replace(" ", "")) for end in match.groups())
    return Bound(subject, min(one, two), max(one, two))


def _hours(most: bool, match: re.Match[str]) -> Bound:
    said = "one" if match[1] == "an" else match[1]
    minutes = 60 * float(NUMBERS.index(said) + 1 if said in NUMBERS else said.replace(" ", ""))
    return Bound("minutes", most=minutes) if most else Bound("minutes", least=minutes)


def _numbered(made: Made, match: re.Match[str]) -> Bound:
    return made(float(match[1].replace(" ", "")))


def _unnumbered(bound: Bound, _: re.Match[str]) -> Bound:
    return bound


_BOUNDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Bound]], ...] = (
    (_compiled(rf"(?:between|from) (?:the )?{_YEAR} {_TO} {_YEAR}"), partial(_stretch, "year")),
    (_compiled(rf"{_YEAR} (?:to|until|-|\u2013) {_YEAR}"), partial(_stretch, "year")),
    (_compiled(rf"{_AMOUNT}(?: {_MONEY})? {_TO} {_AMOUNT} {_MONEY}"), partial(_stretch, "price")),
    (_compiled(rf"{_MONEY} {_AMOUNT} {_TO} (?:{_MONEY} )?{_AMOUNT}"), partial(_stretch, "price")),
    (_compiled(rf"{_AMOUNT} {_TO} {_AMOUNT} {_TIME}"), partial(_stretch, "minutes")),
    (_compiled(rf"{_AMOUNT} {_TO} {_AMOUNT} {_PAGES}"), partial(_stretch, "pages")),
    (_compiled(rf"{_UNDER} {_HOURS}"), partial(_hours, True)),
    (_compiled(rf"{_OVER} {_HOURS}"), partial(_hours, False)),
    (_compiled(rf"{_HOURS} {_AT_MOST}"), partial(_hours, True)),
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
