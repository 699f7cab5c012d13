"""What somebody asked items to be, for the rest of a conversation; it can be listed and taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from llmrec.conditions import values_of
from llmrec.records import Item
from llmrec.words import Bound, Named

__all__ = ["Constraints", "Limit", "limits_of"]

_NAMES = {
    "year": ("year", "release_year", "published", "publication_year", "released"),
    "price": ("price", "cost", "fee", "price_usd", "price_eur"),
    "length": ("length", "duration", "runtime", "minutes", "pages", "hours", "weeks"),
    "minutes": ("minutes", "runtime", "duration", "length"),
    "pages": ("pages",),
}
"""What people call a number -> the attribute it may be in a catalogue."""
_LONGEST_GAP = 200


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on a number of an attribute, or, not `wanted`, where it should not lie."""

    attribute: str
    least: float | None = None
    most: float | None = None
    wanted: bool = True

    def __str__(self) -> str:
        ends = {"from": self.least, "to": self.most} if self.wanted else {"not from": self.least, "to": self.most}
        return f"{self.attribute} " + " ".join(f"{word} {end:g}" for word, end in ends.items() if end is not None)

    def allows(self, item: Item) -> bool:
        """Whether an item lies within."""
        value = item.attributes.get(self.attribute)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return not self.wanted
        inside = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return inside == self.wanted


@dataclass(frozen=True, slots=True)
class Constraints:
    """What items should be.

    Args:
        values: Values that are wanted, of each attribute any one, and values that are not.
        limits: Bounds on numbers, at most one an attribute.
    """

    values: tuple[Named, ...] = ()
    limits: tuple[Limit, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.values or self.limits)

    def narrowed(self, values: Iterable[Named], limits: Iterable[Limit]) -> Constraints:
        """With more of them; what is said last holds: wanting one value replaces those that were wanted before."""
        new, bounds = list(values), list(limits)
        chosen = {one.attribute for one in new if one.wanted}
        same = {(one.attribute, one.value) for one in new}
        kept = [
            one
            for one in self.values
            if (one.attribute, one.value) not in same and not (one.wanted and one.attribute in chosen)
        ]
        bounded = {one.attribute for one in bounds}
        rest = [one for one in self.limits if one.attribute not in bounded]
        return Constraints((*kept, *new), (*rest, *bounds))

    def without(self, values: Iterable[Named], subjects: Iterable[str] = ()) -> Constraints:
        """Without those on these values, and on these attributes."""
        gone, names = {(one.attribute, one.value) for one in values}, set(subjects)
        kept = [one for one in self.values if (one.attribute, one.value) not in gone]
        return Constraints(tuple(kept), tuple(one for one in self.limits if one.attribute not in names))

    def known_to(self, names: Collection[str]) -> Constraints:
        """Those on attributes that the catalogue still has."""
        values = tuple(one for one in self.values if one.attribute in names)
        return Constraints(values, tuple(one for one in self.limits if one.attribute in names))

    def where(self) -> dict[str, dict[str, Any]]:
        """As conditions of a request."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.values:
            found.setdefault(one.attribute, {}).setdefault("any" if one.wanted else "not", []).append(one.value)
        for limit in self.limits:
            conditions = found.setdefault(limit.attribute, {})
            if limit.wanted:
                ends = {"min": limit.least, "max": limit.most}
                conditions |= {name: end for name, end in ends.items() if end is not None}
            elif limit.least is not None and limit.most is not None:
                conditions.setdefault("not", []).extend(range(int(limit.least), int(limit.most) + 1))
        return found

    def against(self, item: Item) -> str | None:
        """The first constraint that an item does not fulfil, in words; None: it fulfils all."""
        wanted: dict[str, list[Named]] = {}
        for one in self.values:
            has = one.value.casefold() in values_of(item.attributes.get(one.attribute))
            if not one.wanted and has:
                return f"no {one.value}"
            if one.wanted:
                wanted.setdefault(one.attribute, []).append(one)
        for named in wanted.values():
            if not any(one.value.casefold() in values_of(item.attributes.get(one.attribute)) for one in named):
                return "only " + " or ".join(one.value for one in named)
        return next((str(limit) for limit in self.limits if not limit.allows(item)), None)

    def in_words(self) -> list[str]:
        """Each of them, for people."""
        unwanted = [f"no {one.value}" for one in self.values if not one.wanted]
        wanted: dict[str, list[str]] = {}
        for one in self.values:
            if one.wanted:
                wanted.setdefault(one.attribute, []).append(one.value)
        return [*("only " + " or ".join(one) for one in wanted.values()), *unwanted, *map(str, self.limits)]

    def without_line(self, index: int) -> Constraints:
        """Without the one at a place among those in words, from 0.

        Raises:
            IndexError: There is no such place.
        """
        wanted = list(dict.fromkeys(one.attribute for one in self.values if one.wanted))
        unwanted = [one for one in self.values if not one.wanted]
        kept: list[tuple[Named, ...]] = [
            *(tuple(one for one in self.values if one.wanted and one.attribute == name) for name in wanted),
            *((one,) for one in unwanted),
        ]
        limits = list(self.limits)
        if index < len(kept):
            del kept[index]
        else:
            del limits[index - len(kept)]
        return Constraints(tuple(one for some in kept for one in some), tuple(limits))

    def alone_against(self, item: Item) -> bool:
        """Whether an item would fulfil them all if one of them were let go."""
        return any(self.without_line(place).against(item) is None for place in range(len(self.in_words())))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "values": [[one.attribute, one.value, one.wanted] for one in self.values],
            "limits": [[one.attribute, one.least, one.most, one.wanted] for one in self.limits],
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Constraints:
        """From the JSON form."""
        return cls(tuple(Named(*one) for one in given["values"]), tuple(Limit(*one) for one in given["limits"]))


def limits_of(
    bounds: Sequence[Bound], items: Mapping[str, Item], talked_of: Sequence[str]
) -> tuple[list[Limit], list[str]]:
    """Bounds as limits on attributes of the catalogue, and what it knows nothing of.

    Args:
        bounds: As they were said.
        items: The catalogue.
        talked_of: The item, or the list, that “newer” and “shorter” are compared with.
    """
    found, unknown = [], []
    for bound in bounds:
        name = _attribute(bound.subject, items)
        limit = None if name is None else _limit(bound, name, items, talked_of)
        if limit is None:
            unknown.append(bound.subject)
        else:
            found.append(limit)
    return found, unknown


def _attribute(subject: str, items: Mapping[str, Item]) -> str | None:
    names = {
        name
        for item in items.values()
        for name, value in item.attributes.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return next((name for name in _NAMES[subject] if name in names), None)


def _limit(bound: Bound, name: str, items: Mapping[str, Item], talked_of: Sequence[str]) -> Limit | None:
    if not bound.direction:
        too_wide = bound.least is not None and bound.most is not None and bound.most - bound.least > _LONGEST_GAP
        return None if too_wide and not bound.wanted else Limit(name, bound.least, bound.most, bound.wanted)
    numbers = [
        float(value)
        for item_id in talked_of or items
        if isinstance(value := items[item_id].attributes.get(name), int | float)
    ]
    if not numbers:
        return None
    middle = median(numbers)
    step = replace(bound, least=middle + 1e-9) if bound.direction > 0 else replace(bound, most=middle - 1e-9)
    if middle == int(middle):  # whole numbers read better
        step = replace(bound, least=middle + 1) if bound.direction > 0 else replace(bound, most=middle - 1)
    return Limit(name, step.least, step.most)
