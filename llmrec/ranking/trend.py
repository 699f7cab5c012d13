"""What became more or less common since the release was made: the part of a score that moves between fits.

    trend(item) = clip(log((n + a) / (N p + a)), -most, most)                                          (log-odds)

with n of N events since then on the item, p its share of those before, and `a` events of doubt. It rests on stored
events alone, so it is the same on every machine, and gone with the next fit, which has learnt from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Trend"]

_DOUBT = 5.0


@dataclass(frozen=True, slots=True)
class Trend:
    """How items fare since the release.

    Args:
        before: Events on each item that the release has learnt from.
        since: Events on each item since then.
        most: The largest effect, in log-odds; 0: none.
    """

    before: Mapping[str, int]
    since: Mapping[str, int]
    most: float
    totals: tuple[int, int] = field(default=(0, 0))

    def __post_init__(self) -> None:
        if self.totals == (0, 0):
            object.__setattr__(self, "totals", (sum(self.before.values()), sum(self.since.values())))

    def scores(self, item_ids: Sequence[str]) -> NDArray[np.float64]:
        """What is added to each item's score, float64 [items]."""
        if not self.most or not self.totals[1]:
            return np.zeros(len(item_ids))
        return np.array([self._score(item_id) for item_id in item_ids])

    def _score(self, item_id: str) -> float:
        before, since = self.totals
        share = (self.before.get(item_id, 0) + 1) / (before + len(self.before) + 1)
        lift = math.log((self.since.get(item_id, 0) + _DOUBT) / (since * share + _DOUBT))
        return max(-self.most, min(self.most, lift))
