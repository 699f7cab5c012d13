"""Whether a sentence says only what the facts hold: nothing is believed because a model wrote it.

A sentence stands if it is made of the few ways in which a reason is given (`phrases.py`), filled with what the facts
hold: deeds with their titles and ratings, each on its side, and shared values. All of its words must be accounted for,
so what nobody thought of is refused; the template words the facts as well. The ways are English: sentences in another
language are refused. Numbers of scores are in no way, because the model is not told them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llmrec.explaining.facts import Facts
from llmrec.explaining.phrases import Phrases
from llmrec.explaining.titles import GLUE, MARK, Marked, Titles, written_as
from llmrec.records import Item

__all__ = ["Names", "sentences_of", "unsupported"]

_END = re.compile(r"(?<=[.!?])[\"\u201d]?\s+|\n+")
_BEGINS = re.compile(rf"\s+(?=[A-Z{MARK}])")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:['\u2019][^\W_]+)*")


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
    """The sentences of a text; a full stop within a title ends none."""
    marked = Marked.of(text, _known_titles(facts, names))
    pieces, place = [], 0
    for piece in filter(str.strip, _END.split(_ended(marked))):
        own = marked.found[place : place + piece.count(MARK)]
        place += len(own)
        pieces.append(Marked(piece.strip(), own).plain())
    return pieces


def unsupported(sentence: str, facts: Facts, names: Names) -> list[str]:
    """What a sentence says that the facts do not hold; empty where all of it is supported."""
    known = {_key(title) for title in _known_titles(facts, names)}
    allowed = known | {_key(one.text.partition(": ")[2]) for one in facts.shared}
    # What was searched for or said may hold any title; it is told word for word or not at all.
    rest = Marked.of(sentence, [one.text for one in facts.events if one.item_id is None]).text
    wrong = [f"the title {title}" for title in names.titles.within(rest) if _key(title) not in allowed]
    if not wrong and Phrases.of(facts, names.items).hold(sentence):
        return []
    return wrong + _strange(sentence, facts, names) or ["another deed, side or order than the facts"]


def _ended(marked: Marked) -> str:
    """The marked text, where a title's own full stop that ends a sentence ends its line."""
    first, *rest = marked.text.split(MARK)
    told = [first]
    for title, piece in zip(marked.found, rest, strict=True):
        ends = title.endswith((".", "!", "?"))
        told.append(_BEGINS.sub("\n", piece, count=1) if ends and _BEGINS.match(piece + MARK) else piece)
    return MARK.join(told)


def _known_titles(facts: Facts, names: Names) -> list[str]:
    """The titles that the facts are about, in every way they may be written."""
    items = [names.items[one.item_id] for one in facts.events if one.item_id and one.item_id in names.items]
    return [way for title in (facts.title, *(item.title for item in items)) for way in written_as(title)]


def _key(title: str) -> str:
    return " ".join(_WORD.findall(title)).casefold()


def _strange(sentence: str, facts: Facts, names: Names) -> list[str]:
    """For whoever reads why it was dropped: the values and words that are in no fact."""
    titles = _known_titles(facts, names)
    said = Marked.of(sentence, titles).text
    held = " ".join(Marked.of(one.text, titles).text for one in (*facts.events, *facts.shared))
    words = {word.casefold() for word in _WORD.findall(held)} | GLUE
    told = {f"{name}: {value}".casefold() for name, value in names.values(held)}
    values = [f"{name}: {value}" for name, value in names.values(said)]
    return [value for value in values if value.casefold() not in told] + [
        f"the word {word}" for word in dict.fromkeys(_WORD.findall(said)) if word.casefold() not in words
    ]
