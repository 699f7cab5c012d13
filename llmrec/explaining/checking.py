"""Whether a sentence says only what the facts hold: nothing is believed because a model wrote it.

Looked at are titles (of the whole catalogue, and names that no catalogue has), values of attributes, numbers (as
values, near the title they are about), what the user is said to have done with an item, and whether an event is given
as a reason for or against. Where in doubt a sentence is not supported: the template words the facts as well. The words
for deeds and sides are those of `deeds.py`, in English; sentences in another language are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llmrec.explaining.deeds import Deed, deeds_in, is_against, is_negated, parts_of
from llmrec.explaining.facts import Facts
from llmrec.explaining.titles import GLUE, MARK, Marked, Titles, written_as
from llmrec.records import Evidence, Item

__all__ = ["Names", "sentences_of", "unsupported"]

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:[.,]\d+)*")
_SPELT = {"two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0}
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab]([^\"\u201d\u201c\u00bb]+)[\"\u201d\u201c\u00bb]")
_END = re.compile(r"(?<=[.!?])[\"\u201d]?\s+|\n+")


@dataclass(frozen=True, slots=True)
class Names:
    """What a catalogue calls its items and their attributes.

    Args:
        items: The catalogue.
        titles: All of its titles.
        values: Finds values of attributes in a text, as pairs of attribute and value.
    """

    items: Mapping[str, Item]
    titles: Titles
    values: Callable[[str], Sequence[tuple[str, str]]]


def sentences_of(text: str, facts: Facts, names: Names) -> list[str]:
    """The sentences of a text; a title's full stop ends none."""
    marked = Marked.of(text, _known_titles(facts, names))
    pieces, place = [], 0
    for piece in filter(str.strip, _END.split(marked.text)):
        own = marked.found[place : place + piece.count(MARK)]
        place += len(own)
        pieces.append(Marked(piece.strip(), own).plain())
    return pieces


def unsupported(sentence: str, facts: Facts, names: Names) -> list[str]:
    """What a sentence says that the facts do not hold; empty where all of it is supported."""
    marked = Marked.of(sentence, _known_titles(facts, names))
    said = marked.text
    wrong = [f"the title {title}" for title in names.titles.within(said)]
    wrong += [f"the name {name}" for name in _strange_names(said, facts, names)]
    wrong += [f"the quotation {quoted!r}" for quoted in _strange_quotations(marked, facts)]
    wrong += [f"{name}: {value}" for name, value in names.values(said) if not _is_shared(name, value, facts)]
    wrong += ["a negation"] if is_negated(said) else []
    wrong += ["no end"] if not said.endswith((".", "!", "?", "\u201d", '"')) else []
    place = 0
    for part in parts_of(said):
        own = marked.found[place : place + part.count(MARK)]
        place += len(own)
        wrong += _wrong_in(Marked(part, own), facts, names)
    return wrong if wrong or _tells(marked, facts, names) else ["nothing of the evidence"]


def _wrong_in(part: Marked, facts: Facts, names: Names) -> list[str]:
    """What is wrong in a part of a sentence that speaks for the item, or against it."""
    side = facts.against if is_against(part.text) else facts.causes
    word = "against it" if is_against(part.text) else "a reason for it"
    wrong = []
    for mention in dict.fromkeys(part.found):
        about = _about(mention, facts.events, names)
        if about and not _about(mention, side, names):
            wrong.append(f"{mention} as {word}")
    wrong += [f"“{deed}” of {title or 'no item'}" for deed, title in _wrong_deeds(part, side, facts, names)]
    wrong += [f"the word {word}" for word in _strange_objects(part, facts, names)]
    return wrong + [f"the number {number}" for number in _wrong_numbers(part, facts, names)]


# --- titles and names


def _known_titles(facts: Facts, names: Names) -> list[str]:
    """The titles that the facts are about, in every way they may be written."""
    items = [names.items[one.item_id] for one in facts.events if one.item_id and one.item_id in names.items]
    return [way for title in (facts.title, *(item.title for item in items)) for way in written_as(title)]


def _about(mention: str, events: Sequence[Evidence], names: Names) -> list[Evidence]:
    """The events on an item that is called so."""
    found = []
    for one in events:
        item = names.items.get(one.item_id or "")
        if item is not None and mention.casefold() in (way.casefold() for way in written_as(item.title)):
            found.append(one)
    return found


def _strange_names(said: str, facts: Facts, names: Names) -> list[str]:
    """Words written as names that are in no fact; a part of a title is one, too."""
    return [word for word in _strange_words(said, facts, names) if word[0].isupper()]


def _strange_objects(part: Marked, facts: Facts, names: Names) -> list[str]:
    """Words behind a deed that are in no fact: what somebody took may be written without a capital."""
    deeds = deeds_in(part.text)
    return _strange_words(part.text[deeds[0].start :], facts, names) if deeds else []


def _strange_words(said: str, facts: Facts, names: Names) -> list[str]:
    titles = _known_titles(facts, names)
    texts = [Marked.of(one.text, titles).text for one in (*facts.events, *facts.shared)]
    held = {word.casefold() for text in texts for word in _WORD.findall(text)} | GLUE | set(_SPELT)
    done = {word.casefold() for deed in deeds_in(said) for word in _WORD.findall(deed.words)}
    return [word for word in _WORD.findall(said) if word.casefold() not in held | done]


def _strange_quotations(marked: Marked, facts: Facts) -> list[str]:
    held = [one.text.casefold() for one in (*facts.events, *facts.shared)]
    quoted = (piece.strip(" ,." + MARK) for piece in _QUOTED.findall(marked.text))
    return [piece for piece in quoted if piece and not any(piece.casefold() in text for text in held)]


def _is_shared(name: str, value: str, facts: Facts) -> bool:
    told = [one.text.casefold() for one in facts.shared]
    return f"{name}: {value}".casefold() in told or any(text.endswith(f": {value}".casefold()) for text in told)


# --- deeds and numbers


def _wrong_deeds(part: Marked, side: Sequence[Evidence], facts: Facts, names: Names) -> list[tuple[str, str | None]]:
    """Deeds that nobody did, with the titles that each is said of."""
    titles = _known_titles(facts, names)
    wrong: list[tuple[str, str | None]] = []
    for deed, title in _said_of(part):
        # What was done with nothing that is named was a search or a saying about no item.
        events = _about(title, side, names) if title else [one for one in side if one.item_id is None]
        done = {one.name for event in events for one in deeds_in(Marked.of(event.text, titles).text)}
        item_itself = title is not None and not _about(title, facts.events, names)
        if deed.name not in done and not (item_itself and len(part.found) > 1):
            wrong.append((deed.name, title))
    return list(dict.fromkeys(wrong))


def _said_of(part: Marked) -> list[tuple[Deed, str | None]]:
    """Each deed and each title it is said of: of “bought A and B” both are said to be bought."""
    deeds = deeds_in(part.text)
    marks = [match.start() for match in re.finditer(MARK, part.text)]
    told: list[tuple[Deed, str | None]] = []
    for place, mark in enumerate(marks):
        before = [deed for deed in deeds if deed.start < mark and not deed.behind]
        told += [(before[-1], part.found[place])] if before else []
    for deed in deeds:
        behind = [place for place, mark in enumerate(marks) if mark > deed.start and not deed.behind]
        before_it = [place for place, mark in enumerate(marks) if mark < deed.start]
        place = (behind or before_it[::-1] or [-1])[0]
        told.append((deed, part.found[place] if place >= 0 else None))
    return told


def _wrong_numbers(part: Marked, facts: Facts, names: Names) -> list[str]:
    """Numbers that are not those of the title before them, or of no fact where no title is near."""
    wrong = []
    counts = {float(len(facts.causes)), float(len(facts.against)), float(len(facts.events))}
    named = [one for one in facts.shared if one.text.partition(":")[0].casefold() in part.text.casefold()]
    general = {value for one in named for value in _values_of(one.text)}
    scores = [one.strength for one in facts.parts]
    for written, start in _numbers_in(part.text):
        about = _number_is_about(part, start, facts, names)
        held = {value for one in about for value in _values_of(_without_titles(one.text, facts, names))}
        counted = written in _SPELT and MARK not in part.text[:start]
        allowed = held | general | (counts if counted else set())
        value = _value(written)
        if value not in allowed and not any(_is_rounded(value, written, score) for score in scores):
            wrong.append(written)
    return wrong


def _number_is_about(part: Marked, start: int, facts: Facts, names: Names) -> Sequence[Evidence]:
    """The events on the item named last before a number, or else first behind it; all where none is named."""
    marks = [match.start() for match in re.finditer(MARK, part.text)]
    told = [(mark, _about(title, facts.events, names)) for mark, title in zip(marks, part.found, strict=True)]
    before = [events for mark, events in told if mark < start and events]
    behind = [events for mark, events in told if mark > start and events]
    return [*before[::-1], *behind, list(facts.events)][0]


def _without_titles(text: str, facts: Facts, names: Names) -> str:
    return Marked.of(text, _known_titles(facts, names)).text


def _numbers_in(text: str) -> list[tuple[str, int]]:
    found = [(match.group(), match.start()) for match in _NUMBER.finditer(text)]
    spelt = [(match.group().casefold(), match.start()) for match in _WORD.finditer(text)]
    return found + [(word, start) for word, start in spelt if word in _SPELT]


def _values_of(text: str) -> list[float]:
    return [_value(written) for written, _ in _numbers_in(text)]


def _value(written: str) -> float:
    if written in _SPELT:
        return _SPELT[written]
    plain = re.sub(r",(?=\d{3}(?!\d))", "", written).replace(",", ".")
    return float(plain) if plain.count(".") <= 1 else float("nan")


def _is_rounded(value: float, written: str, score: float) -> bool:
    """Whether a number is a score to as many places as were written."""
    places = len(written.replace(",", ".").partition(".")[2])
    return places > 0 and round(score, places) == value


def _tells(marked: Marked, facts: Facts, names: Names) -> bool:
    """Whether a sentence rests on a fact at all: what could be said of any item explains none."""
    named = any(_about(mention, facts.events, names) for mention in marked.found)
    shared = {(name, value) for name, value in names.values(marked.text)}
    quoted = any(one.text.casefold() in marked.plain().casefold() for one in (*facts.events, *facts.shared))
    return named or quoted or any(_is_shared(name, value, facts) for name, value in shared)
