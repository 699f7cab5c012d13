"""Groups of users for the slices of a report, made of whatever is known of the users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from llmrec.records import AttributeValue, User

__all__ = ["user_groups"]

_MOST = 12
"""A number with more values than that is cut into ranges."""
_COMMON = 0.5
"""Of another attribute, as many values as `_MOST` must cover this share of the users."""
_RANGES = 4

Values = Mapping[str, AttributeValue]


def user_groups(users: Iterable[User]) -> dict[str, dict[str, object]]:
    """Attribute -> user id -> the group there; attributes that tell nearly every user apart are left out.

    Numbers with many values become ranges between quartiles, such as ``25-31``.
    """
    known: dict[str, dict[str, AttributeValue]] = {}
    for user in users:
        for name, value in user.attributes.items():
            known.setdefault(name, {})[user.user_id] = ", ".join(value) if isinstance(value, tuple) else value
    grouped = {name: _groups(values) for name, values in known.items()}
    return {name: groups for name, groups in grouped.items() if groups}


def _groups(values: Values) -> dict[str, object]:
    counts = Counter(values.values())
    if len(counts) > _MOST and all(_is_number(value) for value in counts):
        return _ranges(values)
    common = sum(count for _, count in counts.most_common(_MOST))
    return dict(values) if len(counts) > 1 and common >= _COMMON * len(values) else {}


def _ranges(values: Values) -> dict[str, object]:
    numbers = np.array(list(values.values()), np.float64)
    place = np.searchsorted(np.quantile(numbers, np.arange(1, _RANGES) / _RANGES), numbers)
    names = {one: f"{numbers[place == one].min():.15g}-{numbers[place == one].max():.15g}" for one in np.unique(place)}
    return {user_id: names[one] for user_id, one in zip(values, place, strict=True)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
