"""What an utterance names: items of the catalogue, places on a list, values of attributes, bounds on numbers.

Nothing is guessed by a model: titles and values are matched with the catalogue's own, letter by letter or with a slip
of the pen (rapidfuzz); words for a value that the catalogue writes otherwise (“scary” for Horror) are found by the
nearness of their vectors. A new catalogue brings its own vocabulary, whatever it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from rapidfuzz import fuzz, process

from llmrec.models import Encoder
from llmrec.records import Item
from llmrec.words.clauses import ARTICLES, clauses_of, masked
from llmrec.words.meanings import Meanings
from llmrec.words.negation import is_wanted
from llmrec.words.numbers import NUMBERS, Bound, find_bounds, find_places, find_stars
from llmrec.words.spans import Span, Token, tokens_of

__all__ = ["Mentions", "Named", "Vocabulary"]

_LONGEST_TITLE = 10
_LONGEST_VALUE = 40
_MOST_VALUES = 5_000
_ALIKE = 87.0
"""Of rapidfuzz's ratio, 0 to 100: a slip of the pen in a word of eight letters."""
_THINGS = frozenset(
    {"movie", "film", "flick", "show", "series", "book", "novel", "song", "track", "music", "album", "product", "item",
     "article", "game", "course", "recipe", "thing", "stuff", "title", "one", "classic", "list"}
)  # fmt: skip
"""What items are called: no value of theirs, whatever its vector is near to."""
_CUES = {"like", "about", "seen", "watched", "read", "liked", "loved", "hated", "enjoyed", "finished", "know", "hide",
         "unhide", "remove", "drop", "rate", "for", "than", "or", "vs", "versus", "above", "below", "under", "over",
         "as", "to", "of", "recommend", "suggest", "see", "in", "is", "are", "was", "why", "not", "and", "skipped",
         "no", "does", "did", "pick", "wie", "warum", "blende", "comme", "pourquoi", "cache", "como", "oculta",
         "perch\u00e9", "nascondi"}  # fmt: skip
_SURE_CUES = {"like", "seen", "watched", "liked", "loved", "hated", "enjoyed", "finished", "hide", "unhide", "rate",
              "than", "vs", "versus", "why"}  # fmt: skip
"""Words before a title even where it is made of words of every day: “more like home alone”."""
_COMPOUND = re.compile(r"-?(?:filme?n?|b\u00fccher|romane?|spiele?|serien?|musik|rezepte?)$")
"""What German ends in: “Horrorfilme”."""
_FEW_WORDS = 2
_NO_VALUES = frozenset({"all", "any", "none", "other", "yes", "no", "more", "less", "like", "one", "the", "it", "that"})
"""Words of every sentence, whatever a catalogue may call so."""
_SHORT = 2
_EVERYDAY = frozenset(
    {"good", "new", "old", "best", "nice", "great", "big", "small", "long", "short", "free", "used", "high", "low",
     "first", "last", "and", "for", "you", "can", "get", "how", "why", "not", "too", "now", "see", "who", "what",
     "with"}
)  # fmt: skip
_BRACKETS = re.compile(r"\(([^)]*)\)")
_DIGITS = {word: str(number) for number, word in enumerate(NUMBERS, 1)} | {"eleven": "11", "twelve": "12"}
"""“12 Monkeys” and “Twelve Monkeys” are one."""
_BLANDEST = 3
"""Letters: shorter words are never compared by sound or meaning."""


@dataclass(frozen=True, slots=True)
class Named:
    """A value of an attribute that an utterance names, and whether it is wanted."""

    attribute: str
    value: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Mentions:
    """What an utterance names, each in the order of the words.

    Args:
        subjects: Item ids, and places on the list: 1 for the first, -1 for the last.
        values: Values of attributes.
        bounds: On numbers.
        stars: A rating.
        masked: The utterance with stand-ins for what was found, so that intents are learnt for any catalogue.
        clauses: The utterance cut where a sentence or a part of one ends, never within a name.
    """

    subjects: tuple[str | int, ...] = ()
    values: tuple[Named, ...] = ()
    bounds: tuple[Bound, ...] = ()
    stars: float | None = None
    masked: str = ""
    clauses: tuple[str, ...] = ()

    @property
    def narrows(self) -> bool:
        """Whether it says what items should be like."""
        return bool(self.values or self.bounds)


@dataclass(frozen=True)
class Vocabulary:
    """The names of one catalogue.

    Args:
        items: The catalogue.
        encoder: Embeds words; None: values are found by their letters alone.
        ordinary: Words that commands are made of; a title of such words alone counts only where it is written as one.
    """

    items: Mapping[str, Item]
    encoder: Encoder | None = None
    ordinary: frozenset[str] = field(default=frozenset())

    def read(self, text: str, shown: Sequence[str] = (), *, slips: bool = True, meanings: bool = True) -> Mentions:
        """What an utterance names.

        Args:
            text: The utterance.
            shown: The items on the list that the user looks at.
            slips: Whether to look for misspelt titles too, which takes long in a large catalogue.
            meanings: Whether to look for words that mean a value without being it.
        """
        tokens = tokens_of(text)
        found: list[Span] = []
        found += find_stars(tokens, found)
        found += [self._signed(tokens, one) for one in find_bounds(tokens, found)]
        found += self._find_titles(tokens, found, shown, slips=slips)
        found += find_places(tokens, found, titled=bool(found) and any(isinstance(one.what, str) for one in found))
        found += self._find_values(tokens, found, meanings=meanings)
        found.sort(key=lambda one: one.start)
        stars = next((one.what for one in found if isinstance(one.what, float)), None)
        return Mentions(
            tuple(one.what for one in found if isinstance(one.what, str | int)),
            tuple(dict.fromkeys(one.what for one in found if isinstance(one.what, Named))),
            tuple(one.what for one in found if isinstance(one.what, Bound)),
            stars,
            masked(tokens, found),
            clauses_of(text, tokens, found),
        )

    @staticmethod
    def _signed(tokens: Sequence[Token], span: Span) -> Span:
        """A stretch of years may be unwanted as a whole: “nothing from the seventies”."""
        bound = span.what
        if (
            not isinstance(bound, Bound)
            or None in (bound.least, bound.most)
            or is_wanted(tokens, span.start, span.stop)
        ):
            return span
        return replace(span, what=replace(bound, wanted=False))

    # --- titles

    @cached_property
    def _titles(self) -> dict[str, list[str]]:
        """Title without case, signs and a leading article -> the items of that title."""
        titles: dict[str, list[str]] = {}
        shorter: dict[str, list[str]] = {}
        for item_id, item in self.items.items():
            names = dict.fromkeys((_plain(item.title), _plain(_BRACKETS.sub(" ", item.title))))
            for name in filter(None, names):
                titles.setdefault(name, []).append(item_id)
            for name in filter(None, dict.fromkeys(map(_plain, _short_names(item.title)))):
                shorter.setdefault(name, []).append(item_id)
        # What several items could be called for short is the name of none.
        return titles | {name: ids for name, ids in shorter.items() if len(ids) == 1 and name not in titles}

    def _find_titles(
        self, tokens: Sequence[Token], taken: Sequence[Span], shown: Sequence[str], *, slips: bool
    ) -> list[Span]:
        found: list[Span] = []
        for length in range(min(_LONGEST_TITLE, len(tokens)), 0, -1):
            for start in range(len(tokens) - length + 1):
                span = Span(start, start + length)
                if span.free((*taken, *found)) and (item_id := self._exact(tokens, span, shown)):
                    found.append(Span(start, start + length, item_id))
        if not slips or any(one.stop - one.start > 1 for one in found):
            return found
        alike = self._alike(tokens, taken, shown)
        # Of “War of the Wrolds” the first word alone is the name of another.
        longer = [one for one in alike if not found or one.stop - one.start > _FEW_WORDS]
        return [*longer, *(one for one in found if one.free(longer))]

    def _exact(self, tokens: Sequence[Token], span: Span, shown: Sequence[str]) -> str | None:
        words = [token.word for token in tokens[span.start : span.stop]]
        if not words[0][0].isalnum() or not words[-1][0].isalnum():
            return None
        name = _plain(" ".join(words))
        item_ids = self._titles.get(name)
        if _singular(name) in self._values and not tokens[span.start].capital:
            return None  # “war films” are no wish for “The War”
        if not item_ids or (len(words) > 1 and words[0] in ARTICLES and _plain(" ".join(words[1:])) == ""):
            return None
        on_list = next((item_id for item_id in shown if item_id in item_ids), None)
        common = all(word in self.ordinary for word in words)
        if (on_list is None or common) and not self._is_meant(tokens, span):
            return None
        return on_list or item_ids[0]

    def _is_meant(self, tokens: Sequence[Token], span: Span) -> bool:
        """Whether words that are a title are meant as one: not “big” in “something big”."""
        words = tokens[span.start : span.stop]
        if span.quoted(tokens):
            return True
        content = [token.word for token in words if token.word not in ARTICLES and token.word[0].isalnum()]
        written = span.start > 0 and all(token.capital for token in words if token.word not in ARTICLES)
        before = tokens[span.start - 1].word if span.start else ""
        if all(word in self.ordinary for word in content):
            loud = all(token.capital for token in tokens if token.word.isalpha())
            return (written and not loud) or (len(content) > 1 and before in _SURE_CUES)
        alone = len(content) == 1 and len(words) == 1
        return not alone or written or span.start == 0 or before in _CUES or before in ARTICLES

    def _alike(self, tokens: Sequence[Token], taken: Sequence[Span], shown: Sequence[str]) -> list[Span]:
        """The one title that some words come nearest to."""
        best: tuple[float, Span] | None = None
        for length in range(min(5, len(tokens)), 0, -1):
            for start in range(len(tokens) - length + 1):
                span = Span(start, start + length)
                words = [token.word for token in tokens[start : start + length]]
                if not span.free(taken) or not self._may_be_title(words):
                    continue
                near = process.extractOne(
                    _plain(" ".join(words)), self._titles.keys(), scorer=fuzz.ratio, score_cutoff=_ALIKE
                )
                if near is not None and (best is None or near[1] > best[0]) and self._holds(near[0], words):
                    item_ids = self._titles[near[0]]
                    chosen = next((item_id for item_id in shown if item_id in item_ids), item_ids[0])
                    best = (near[1], Span(start, start + length, chosen))
        return [best[1]] if best else []

    def _holds(self, title: str, words: Sequence[str]) -> bool:
        """Whether a title has the words of every sentence at either end as they are: only others may be misspelt."""
        edges = {_plain(word) for word in (words[0], words[-1]) if word in self.ordinary}
        return edges <= set(title.split())

    def _may_be_title(self, words: Sequence[str]) -> bool:
        edges = (words[0], words[-1])
        return (
            all(word[0].isalnum() for word in edges)
            and not all(word in self.ordinary for word in edges)
            and sum(map(len, words)) > 2 * _BLANDEST
            and not (len(words) <= _FEW_WORDS and any(self._is_value(word) for word in words))
        )

    # --- values of attributes

    @cached_property
    def _values(self) -> dict[str, tuple[str, str]]:
        """Value without case and plural -> attribute and value as the catalogue writes it."""
        values: dict[str, tuple[str, str]] = {}
        for item in self.items.values():
            for name, given in item.attributes.items():
                for value in given if isinstance(given, tuple) else (given,):
                    if isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE and len(values) < _MOST_VALUES:
                        values.setdefault(_singular(_plain(value)), (name, value))
        return {value: named for value, named in values.items() if value and value not in _NO_VALUES}

    @cached_property
    def _meanings(self) -> Meanings | None:
        return Meanings(self._values, self.encoder, self.ordinary) if self.encoder else None

    def _is_value(self, word: str) -> bool:
        return _singular(word) in self._values

    def _find_values(self, tokens: Sequence[Token], taken: Sequence[Span], *, meanings: bool) -> list[Span]:
        found: list[Span] = []
        for length in (3, 2, 1):
            for start in range(len(tokens) - length + 1):
                span = Span(start, start + length)
                if not span.free((*taken, *found)):
                    continue
                named = self._values.get(
                    _singular(_plain(" ".join(token.word for token in tokens[start : start + length])))
                )
                if named and self._is_value_here(tokens, span, named[1]):
                    found.append(self._valued(tokens, span, named))
        return found + self._near_values(tokens, [*taken, *found], meanings=meanings)

    def _is_value_here(self, tokens: Sequence[Token], span: Span, value: str) -> bool:
        """Whether words are a value and not just words: not “us” for US, nor “a good one” for the grades A and Good."""
        words = tokens[span.start : span.stop]
        if any(len(token.word) > _SHORT and token.word not in _EVERYDAY for token in words):
            return True
        written = " ".join(token.written for token in words)
        return written == value and value != value.casefold() and not (len(value) == 1 and span.start == 0)

    def _near_values(self, tokens: Sequence[Token], taken: Sequence[Span], *, meanings: bool) -> list[Span]:
        """Words that are misspelt, or mean the same."""
        places = [
            place
            for place, token in enumerate(tokens)
            if token.word.isalpha()
            and len(token.word) > _BLANDEST
            and _singular(token.word) not in _THINGS
            and Span(place, place + 1).free(taken)
        ]
        if not places or not self._values:
            return []
        found: list[Span] = []
        others: list[Span] = []
        for place in places:
            word = _singular(tokens[place].word)
            if tokens[place].word in self.ordinary:
                others.append(Span(place, place + 1))
                continue
            compound = _COMPOUND.sub("", tokens[place].word)
            near = process.extractOne(word, self._values.keys(), scorer=fuzz.ratio, score_cutoff=_ALIKE - 2)
            if named := self._values.get(compound if near is None else near[0]):
                found.append(self._valued(tokens, Span(place, place + 1), named))
            else:
                others.append(Span(place, place + 1))
        return found + self._meant(tokens, others) if meanings else found

    def _meant(self, tokens: Sequence[Token], spans: Sequence[Span]) -> list[Span]:
        if self._meanings is None or not spans:
            return []
        known = [one for one in spans if tokens[one.start].word not in self.ordinary]
        pairs = [Span(one.start, two.stop) for one, two in pairwise(known) if one.stop == two.start]
        asked = [(one, " ".join(token.word for token in tokens[one.start : one.stop])) for one in [*pairs, *spans]]
        meant, found = self._meanings.of([text for _, text in asked]), list[Span]()
        for span, text in asked:
            if (named := meant[text]) and span.free(found):
                found.append(self._valued(tokens, span, named))
        return found

    def _valued(self, tokens: Sequence[Token], span: Span, named: tuple[str, str]) -> Span:
        wanted = is_wanted(tokens, span.start, span.stop)
        return Span(span.start, span.stop, Named(*named, wanted=wanted))


def _short_names(title: str) -> list[str]:
    """What else a title may be called: what stands in brackets, and several words before a colon."""
    head, colon, _ = title.partition(":")
    several = bool(colon) and len(head.split()) > 1
    return [*(one for one in _BRACKETS.findall(title) if re.search(r"[^\W\d]", one)), *([head] if several else [])]


def _plain(title: str) -> str:
    words = re.findall(r"\w+", title.casefold().replace("'", "").replace("\u2019", ""))
    words = [_DIGITS.get(word, word) for word in words]
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
