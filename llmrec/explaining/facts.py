"""What of the evidence is told: the strongest events on either side, and what the item shares with its causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmrec.records import Evidence

__all__ = ["Facts", "facts_of"]

_NEGLIGIBLE = 0.02
"""Log-odds: a smaller change moves a chance of one half by less than half a percent."""

_MINOR = 0.2
"""An event with less than this share of the strongest one's effect is left to the bars."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an explanation may say.

    Args:
        title: Of the item explained.
        causes: Events that lifted its score, the strongest first.
        against: Events that lowered it, the strongest first.
        shared: Attributes that it has in common with these causes.
        parts: What the score is the sum of.
        change: The event without which the score would be highest.
    """

    title: str
    causes: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()
    shared: tuple[Evidence, ...] = ()
    parts: tuple[Evidence, ...] = ()
    change: Evidence | None = None

    @property
    def events(self) -> tuple[Evidence, ...]:
        """Both sides."""
        return (*self.causes, *self.against)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        told = {name: [one.to_dict() for one in getattr(self, name)] for name in _SIDES}
        return {"title": self.title, **told}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Facts:
        """From the JSON form."""
        causes, against, shared, parts = (tuple(Evidence(**one) for one in given[name]) for name in _SIDES)
        return cls(given["title"], causes, against, shared, parts)


_SIDES = ("causes", "against", "shared", "parts")


def facts_of(title: str, evidence: Sequence[Evidence], named: int) -> Facts:
    """The facts worth telling of an item with that title, of each kind so many.

    Args:
        title: Of the item explained.
        evidence: Strongest first within each kind.
        named: How many events to name on either side.
    """
    strengths = [abs(one.strength) for one in evidence if one.kind == "event"]
    worth_naming = max(_NEGLIGIBLE, _MINOR * max(strengths, default=0.0))
    events = [one for one in evidence if one.kind == "event" and abs(one.strength) >= worth_naming]
    causes = tuple(one for one in events if one.strength > 0)
    shared = tuple(one for one in evidence if one.kind == "attribute") if causes else ()
    return Facts(
        title,
        causes[:named],
        tuple(one for one in events if one.strength < 0)[:named],
        shared[:named],
        tuple(one for one in evidence if one.kind == "part"),
        next((one for one in evidence if one.kind == "change"), None),
    )
