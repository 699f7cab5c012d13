"""Items that come onto many more lists than before without having earned it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import sqrt

__all__ = ["Exposed", "overexposed"]

_FREE = 0.05
"""An item that is on fewer lists is treated as one that is on so many."""
_BEYOND_CHANCE = 2.5
"""Standard deviations of the difference of two counts of lists."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """An item that would be on too many lists.

    Args:
        item_id: Which.
        before: The share of the champion's lists with it among the first.
        after: The same of the challenger's.
        earned: The share of the trusted accounts that took it.
    """

    item_id: str
    before: float
    after: float
    earned: float


def overexposed(
    before: Counter[str],
    after: Counter[str],
    lists: int,
    factor: float,
    earned: Callable[[Collection[str]], Mapping[str, float]],
) -> tuple[Exposed, ...]:
    """Items on more lists than `factor` times as many as before, or as they earned, or as one list in twenty.

    What chance alone may do to so few lists is left out.

    Args:
        before: On how many of the champion's lists each item is among the first.
        after: The same of the challenger's.
        lists: How many there are of each.
        factor: How far a share may grow.
        earned: The share that items may be granted; asked about suspicious ones alone.
    """
    if not lists:
        return ()
    grown = {
        item_id
        for item_id, count in after.items()
        if count > factor * max(before[item_id], _FREE * lists)
        and count - before[item_id] > _BEYOND_CHANCE * sqrt(count + before[item_id])
    }
    shares = earned(grown) if grown else {}
    found = [Exposed(one, before[one] / lists, after[one] / lists, shares[one]) for one in sorted(grown)]
    return tuple(one for one in found if one.after > factor * one.earned)
