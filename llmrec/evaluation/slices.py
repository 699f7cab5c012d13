"""Parts of the requests that are worth a look of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluation.interactions import Floats, Rows, Sequences
from llmrec.evaluation.metrics import list_accuracy
from llmrec.evaluation.protocols import Split, training_interactions

__all__ = ["RARE_BELOW", "SHORT_UP_TO", "Slice", "slices"]

RARE_BELOW = 5
"""An item with fewer training events is rare; one without any is cold, any other warm."""
SHORT_UP_TO = 5
"""A history with at most so many events is short."""
_GROUPS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Some requests, with those of their targets that are asked about.

    Args:
        name: What the report calls it.
        places: Which requests, int64 [n].
        targets: What is to be found for each of them.
    """

    name: str
    places: Rows
    targets: Sequences

    def accuracy(self, lists: Rows, items: int, cutoffs: Sequence[int]) -> dict[str, Floats]:
        """The metrics of `list_accuracy` on this slice, given the lists of all requests."""
        return list_accuracy(lists[self.places], self.targets, items, cutoffs)


def slices(split: Split, groups: Mapping[str, Mapping[str, object]] | None = None) -> tuple[Slice, ...]:
    """Cold items, warm items, rare items (the cold ones included), short histories, and user groups.

    The first four are always there, even if no request belongs to them; of the groups only those with requests.

    Args:
        split: The requests.
        groups: Attribute -> user id -> its value there; each value makes a slice such as ``gender=F``, of an attribute
            with many values the twelve that most requests have.
    """
    counts = training_interactions(split).item_counts
    short = split.requests.histories.lengths <= SHORT_UP_TO
    return (
        _slice("cold_items", split, counts[split.targets.rows] == 0),
        _slice("warm_items", split, counts[split.targets.rows] > 0),
        _slice("rare_items", split, counts[split.targets.rows] < RARE_BELOW),
        _slice("short_histories", split, short[split.targets.owners]),
        *(part for name, values in (groups or {}).items() for part in _groups(name, values, split)),
    )


def _groups(name: str, values: Mapping[str, object], split: Split) -> list[Slice]:
    of_request = [values.get(split.interactions.user_ids[user]) for user in split.requests.users]
    counts = Counter(str(value) for value in of_request if value is not None)
    known = sorted(value for value, _ in counts.most_common(_GROUPS))
    return [
        _slice(f"{name}={value}", split, np.array([str(one) == value for one in of_request])[split.targets.owners])
        for value in known
    ]


def _slice(name: str, split: Split, wanted: NDArray[np.bool_]) -> Slice:
    """The requests with a wanted target, bool [target events], and only those targets."""
    kept = split.targets.keep(wanted)
    places = np.flatnonzero(kept.lengths)
    return Slice(name, places, kept.take(places))
