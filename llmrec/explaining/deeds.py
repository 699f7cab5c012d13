"""English words for what users do, and for the side that an event is on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmrec.explaining.titles import MARK

__all__ = ["Deed", "deeds_in", "is_against", "is_negated", "parts_of"]

_REFUSES = r"(?:did not|didn['\u2019]t|do not|don['\u2019]t|does not|doesn['\u2019]t|never)"
_DEEDS = {
    "did not like": rf"{_REFUSES} (?:really )?(?:like|love|enjoy)\w*|dislik\w+|hat(?:e|ed|ing)|turned down|refused",
    "liked": r"liked|loved|enjoyed|adored|liking|enjoying|favou?rite|fan of|(?:you|also|really) (?:like|love|enjoy)",
    "rated": r"(?:gave|given|giving)(?=.*\b(?:rating|stars?)\b)|rat(?:ing|ed|ings)|stars?|scored",
    "gave": r"gave|given|giving",
    "bought": r"bought|purchas\w+|buying|ordered",
    "wanted to see again": rf"wanted to see {MARK} again|wanted to see (?:it|them) again",
    "hid": r"hid|hidden|hide|hiding",
    "looked at": r"looked|looking|click\w*|browsed|viewed",
    "took": r"took|taken|taking|watched|watching|saw|seen|reading|chose|chosen|picked|played|used",
    "searched": r"search\w*",
    "said": r"said|wrote|comment\w*|mentioned|told us|reviewed",
}
_ANY = re.compile("|".join(rf"(?P<d{place}>\b(?:{words})\b)" for place, words in enumerate(_DEEDS.values())), re.I)
_NAMES = tuple(_DEEDS)
_BEHIND = re.compile(r"rating|star", re.IGNORECASE)
_AGAINST = re.compile(
    r"\b(?:against|despite|in spite of|al?though|even if|however|but|lower\w*|reduc\w+|weaken\w*|drawback|downside)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|never|no|none|nothing|neither|nor|without|\w+n['\u2019]t|unlike|instead)\b", re.I)
_PARTS = re.compile(
    r"(?=\b(?:but|al?though|even though|despite|in spite of|however|while|whereas|because|since|thanks to|due to)\b)"
    r"|(?<=;)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody is said to have done.

    Args:
        name: One of the names above.
        start: Where it stands.
        words: How it is said.
        behind: Whether it stands behind what it was done with, as the rating in “gave it a rating”.
    """

    name: str
    start: int
    words: str
    behind: bool


def deeds_in(text: str) -> list[Deed]:
    """What somebody is said to have done."""
    return [
        Deed(_NAMES[int(str(match.lastgroup)[1:])], match.start(), match.group(), bool(_BEHIND.match(match.group())))
        for match in _ANY.finditer(text)
    ]


def is_negated(text: str) -> bool:
    """Whether something is denied, apart from deeds that are a refusal."""
    refusals = re.compile(rf"\b{_DEEDS['did not like']}", re.IGNORECASE)
    return bool(_NEGATION.search(refusals.sub("disliked", text)))


def is_against(text: str) -> bool:
    """Whether a part of a sentence speaks against the item."""
    return bool(_AGAINST.search(text))


def parts_of(sentence: str) -> list[str]:
    """A sentence cut before each word that may change the side; together they are the whole."""
    return [part for part in _PARTS.split(sentence) if part]
