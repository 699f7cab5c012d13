"""What a request wants of an attribute: one of some values, none of others, a number within bounds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["Condition", "values_of"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds for an attribute that fulfils all that is set; texts are compared without case.

    Args:
        wanted: It has one of these values; None: any, or none at all.
        unwanted: It has none of these.
        least: It is a number, and none below this one.
        most: It is a number, and none above this one.
    """

    wanted: frozenset[object] | None = None
    unwanted: frozenset[object] = frozenset()
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(
        cls,
        wanted: Collection[object] | None = None,
        unwanted: Collection[object] = (),
        least: float | None = None,
        most: float | None = None,
    ) -> Condition:
        """With values as callers write them."""
        return cls(None if wanted is None else values_of(wanted), values_of(unwanted), least, most)

    @property
    def bounded(self) -> bool:
        """Whether only numbers fulfil it."""
        return self.least is not None or self.most is not None

    def bounds(self, value: object) -> bool:
        """Whether a value is a number within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def values_of(given: object) -> frozenset[object]:
    """The values of an attribute, of one or several, texts without case; True and False are apart from 1 and 0."""
    several = isinstance(given, list | tuple | set | frozenset)
    values = given if several else () if given is None else (given,)
    assert isinstance(values, Collection)
    return frozenset(_comparable(part) for part in values)


def _comparable(value: object) -> object:
    if isinstance(value, bool):
        return ("is", value)  # Python holds True for 1
    return value.casefold() if isinstance(value, str) else value
