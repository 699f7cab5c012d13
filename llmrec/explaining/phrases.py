"""The ways in which a sentence may give a reason, as one pattern that is filled with the facts.

A deed is told in the words of its event, around the title: what was done with several items in the same way may be told
once, as in “took Alien and Heat”.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmrec.explaining.facts import Facts
from llmrec.explaining.titles import GLUE, pattern_of, written_as
from llmrec.records import Evidence, Item

__all__ = ["Phrases"]

_NOTHING = "(?!)"
_AND = r"(?:, and|,| and)"
_SPELT = {"2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"}
_RATED = re.compile(r"^ a rating of (?P<value>[+-]?\d+(?:\.\d+)?)$")
_WORD = re.compile(r"[^\W_]+")

_OFFER = r"(?:{title}|It|This) (?:(?:is|was) (?:offered|recommended)(?: to you)?|stands (?:here|where it does))"
_WHY = r"(?:because|since) you(?: also)? {causes}"
_BUT = r"(?:against it speaks that you {against}|you {against})"
_COMMON = r"(?:they have {shared} in common|they share {shared}|in common: {shared})"
_WAYS = (
    rf"{_OFFER} {_WHY}(?:,? but {_BUT}|,? and they have {{shared}} in common)?",
    rf"{_WHY}, {_OFFER}",
    rf"You(?: also)? {{causes}}(?:,? but {_BUT})?",
    rf"{_OFFER},? but {_BUT}",
    r"(?:But )?against it speaks that you {against}",
    r"What spoke against it: you {against}",
    _COMMON,
)
_END = r"(?:[.!]|(?<=[.!?]))"


@dataclass(frozen=True, slots=True)
class Phrases:
    """What may be said of some facts.

    Args:
        pattern: Of a whole sentence.
    """

    pattern: re.Pattern[str]

    @classmethod
    def of(cls, facts: Facts, items: Mapping[str, Item]) -> Phrases:
        """The sentences that the facts hold.

        Args:
            facts: What may be said.
            items: The catalogue.
        """
        told = {
            "title": _either(_title(facts.title)),
            "causes": _deeds(facts.causes, items),
            "against": _deeds(facts.against, items),
            "shared": _listed(_values(facts.shared), r"(?:, and|,| and|;)"),
        }
        ways = _either(way.format(**told) for way in _WAYS)
        return cls(re.compile(ways + _END, re.IGNORECASE))

    def hold(self, sentence: str) -> bool:
        """Whether they account for every word."""
        return self.pattern.fullmatch(" ".join(sentence.split())) is not None


def _deeds(events: Sequence[Evidence], items: Mapping[str, Item]) -> str:
    """Several deeds, where titles that the same was done with stand behind each other."""
    alike: dict[tuple[str, str], list[str]] = {}
    for one in events:
        before, title, after = _cut(one, items)
        alike.setdefault((before, after), []).extend(_title(title) if title else ())
    told = [
        way for (before, after), titles in alike.items() for way in _done(before, _listed(titles, _AND), after, titles)
    ]
    return _listed(told, rf"{_AND}(?: also)?(?: because)?(?: you)?")


def _cut(event: Evidence, items: Mapping[str, Item]) -> tuple[str, str, str]:
    """The words before the title, the title, and those behind it; all before it where there is none."""
    item = items.get(event.item_id or "")
    found = re.search(rf"(?<!\w){re.escape(item.title)}(?!\w)", event.text) if item else None
    if found is None:
        return event.text, "", ""
    return event.text[: found.start()], found.group(), event.text[found.end() :]


def _done(before: str, listed: str, after: str, titles: Sequence[str]) -> Iterable[str]:
    """The ways to tell a deed; a rating has some more."""
    if not titles:
        yield pattern_of(before)
        return
    rated = _RATED.match(after) if before == "gave " else None
    if rated is None:
        yield f"{pattern_of(before)} {listed}" + (f" {pattern_of(after)}" if after.strip() else "")
        return
    number = _number(rated["value"])
    yield f"gave {listed} (?:a rating of {number}|{number} stars)"
    yield f"rated {listed} (?:with )?{number}"


def _number(value: str) -> str:
    whole, _, rest = value.partition(".")
    plain = rf"{re.escape(whole)}[.,]{rest}0*" if rest else rf"{re.escape(whole)}(?:[.,]0+)?"
    return _either([plain, _SPELT[value]] if value in _SPELT else [plain])


def _title(title: str) -> list[str]:
    """The patterns of a title; words of every sentence are one only as they are written: “it” is not “It”."""
    return [_as_written(way) for way in written_as(title)]


def _as_written(way: str) -> str:
    common = all(word.casefold() in GLUE for word in _WORD.findall(way))
    found = rf"(?<!\w)[\"\u201c]?{pattern_of(way)}[\"\u201d]?(?!\w)"
    return f"(?-i:{found})" if common else found


def _values(shared: Sequence[Evidence]) -> list[str]:
    """Each value with its name and, where it is no number, without: “1984” alone could be anything."""
    told = []
    for one in shared:
        name, _, value = one.text.partition(": ")
        told.append(rf"{pattern_of(name)}:? {pattern_of(value)}")
        told += [] if re.fullmatch(r"[\d.,+-]*|True|False", value) else [pattern_of(value)]
    return told


def _listed(told: Sequence[str], between: str) -> str:
    """One of these, or several."""
    return f"(?:{_either(told)}(?:{between} {_either(told)})*)" if told else _NOTHING


def _either(told: Iterable[str]) -> str:
    return f"(?:{'|'.join(dict.fromkeys(told))})"
