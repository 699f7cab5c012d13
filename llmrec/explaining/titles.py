"""Titles in a text: those that are known are marked, and any other one of the whole catalogue is found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from llmrec.records import Item

__all__ = ["GLUE", "MARK", "Marked", "Titles", "pattern_of", "written_as"]

MARK = "\ue000"
"""Stands for a title that is known; the character is for private use."""
_LONGEST = 10
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_TRAILING = re.compile(r"^(?P<title>.+), (?P<article>The|A|An|Le|La|Les|Der|Die|Das|El|Il)$")
GLUE = frozenset(
    _WORD.findall(
        """a about after again against all along already also although an and another any are as at based be because
        been before both bought but by can closer common despite did different do does due either enjoy
        enjoyed especially even fan fit fits for from further gave given giving had has have having he her
        here hid his how however i if in into is it its just kind last like liked likes liking look looked
        love loved many may me mind more most much my new next no not nothing now of off offer offered
        offers on once one only or other our out over past people perhaps picked rated rating reason reasons
        recommend recommended said same saw score searched see seen share shared shares she similar since so
        some something speak speaks spite spoke stands stars still such take taken taking taste tastes than
        thanks that the their them then there these they thing things this those three time to together too
        took two up us very was watched way we well were what when where which while who why will with words
        would you your yours"""
    )
)
"""Words of every explanation: they are no names, however they are written."""


def written_as(title: str) -> list[str]:
    """A title as a sentence may write it: with and without what stands in brackets, its article first."""
    bare = re.sub(r"\s*\([^)]*\)", "", title).strip()
    ways = [title, bare]
    for way in (title, bare):
        trailing = _TRAILING.match(way)
        ways += [f"{trailing['article']} {trailing['title']}", trailing["title"]] if trailing else []
    brackets = title[len(bare) :] if title.startswith(bare) else ""
    if brackets and (trailing := _TRAILING.match(bare)):
        ways += [f"{trailing['article']} {trailing['title']}{brackets}"]
    return [way for way in dict.fromkeys(ways) if way]


def pattern_of(text: str) -> str:
    """Finds a text, however its blanks, apostrophes and quotation marks are written."""
    spaced = r"\s+".join(re.escape(word) for word in text.split())
    return re.sub('["\u201c\u201d]', '["\u201c\u201d]', re.sub("['\u2019]", "['\u2019]", spaced))


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with a mark for every known title.

    Args:
        text: With the marks.
        found: What each mark stands for, in their order.
    """

    text: str
    found: tuple[str, ...]

    @classmethod
    def of(cls, text: str, titles: Sequence[str]) -> Marked:
        """Mark the titles, the longest first; the case of their letters does not matter."""
        plain = text.replace(MARK, "\ufffd")
        if not titles:
            return cls(plain, ())
        ways = "|".join(pattern_of(title) for title in sorted(set(titles), key=len, reverse=True))
        pattern = re.compile(rf"(?<!\w)(?:{ways})(?!\w)", re.IGNORECASE)
        return cls(pattern.sub(MARK, plain), tuple(pattern.findall(plain)))

    def plain(self) -> str:
        """The text with the titles in it again."""
        pieces = self.text.split(MARK)
        return pieces[0] + "".join(title + rest for title, rest in zip(self.found, pieces[1:], strict=True))


@dataclass(frozen=True)
class Titles:
    """All titles of a catalogue.

    Args:
        items: The catalogue.
    """

    items: Mapping[str, Item]

    @cached_property
    def _known(self) -> dict[tuple[str, ...], str]:
        """The words of a title, as they may be written, and the title."""
        return {_words(way): item.title for item in self.items.values() for way in written_as(item.title)}

    def within(self, text: str) -> list[str]:
        """The titles in a text, the longest at each place; words of every explanation are one only as written so."""
        words = [(match.group(), match.start()) for match in _WORD.finditer(text)]
        found, start = [], 0
        while start < len(words):
            title, length = self._longest(words, start)
            found += [title] if title else []
            start += length
        return list(dict.fromkeys(found))

    def _longest(self, words: Sequence[tuple[str, int]], start: int) -> tuple[str | None, int]:
        """The longest title that begins with a word, and how many words it has; else None and 1."""
        for stop in range(min(start + _LONGEST, len(words)), start, -1):
            piece = [word for word, _ in words[start:stop]]
            title = self._known.get(_words(" ".join(piece)))
            if title is not None and _is_meant(piece, first=words[start][1] == 0):
                return title, stop - start
        return None, 1


def _words(title: str) -> tuple[str, ...]:
    return tuple(word.casefold().replace("\u2019", "'") for word in _WORD.findall(title))


def _is_meant(words: Sequence[str], *, first: bool) -> bool:
    """Whether words are meant as a title: “it” is none, “like It” is."""
    if any(word.casefold() not in GLUE for word in words):
        return True
    return all(word[0].isupper() for word in words) and not (first and len(words) == 1)
