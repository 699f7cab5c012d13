"""Who took what, in which order: the one form in which data is split, learnt from and measured.

Users and items are rows here, places in `user_ids` and `item_ids`; ids come back only where results are shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from llmrec.errors import DataError

__all__ = ["NO_TIME", "Interactions", "Rows", "Sequences"]

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_TIME = np.iinfo(np.int64).min
"""Stands in `times` for an event without one; such events come before all others of their user."""


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Sequences of events on items, each oldest first, laid end to end.

    Args:
        indptr: int64 [n + 1]; sequence i is `rows[indptr[i]:indptr[i + 1]]`.
        rows: The item of each event, int64 [events].
        values: A number that belongs to each event, float64 [events], NaN where it has none; None where no event does.
        times: Microseconds since 1970 in UTC, int64 [events], NO_TIME where unknown; None where there is only an order.
        kinds: What each event is, int64 [events], a place in the interactions' `kind_names`; None where all are alike.
    """

    indptr: Rows
    rows: Rows
    values: Floats | None = None
    times: Rows | None = None
    kinds: Rows | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, place: int) -> Rows:
        """The item rows of one sequence, oldest first."""
        return self.rows[self.indptr[place] : self.indptr[place + 1]]

    def __iter__(self) -> Iterator[Rows]:
        return (self[place] for place in range(len(self)))

    @property
    def lengths(self) -> Rows:
        """How many events each sequence has, int64 [n]."""
        return np.diff(self.indptr)

    @property
    def owners(self) -> Rows:
        """Which sequence each event belongs to, int64 [events]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def ages(self) -> Rows:
        """How many events of the same sequence came after each event, int64 [events]; 0 for the newest."""
        return self.indptr[1:][self.owners] - 1 - np.arange(len(self.rows))

    def keep(self, wanted: NDArray[np.bool_]) -> Sequences:
        """The same sequences without the events that are not wanted, bool [events]."""
        counts = np.bincount(self.owners[wanted], minlength=len(self))
        return self._events(np.concatenate([[0], np.cumsum(counts)]), np.flatnonzero(wanted))

    def between(self, start: Rows, stop: Rows) -> Sequences:
        """Of each sequence the events from place `start` up to, not including, place `stop`; int64 [n] each."""
        owners = self.owners
        places = np.arange(len(self.rows)) - self.indptr[owners]
        return self.keep((places >= start[owners]) & (places < stop[owners]))

    def take(self, order: Rows) -> Sequences:
        """Some of the sequences, in the order given."""
        counts = self.lengths[order]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        offsets = np.repeat(self.indptr[order] - indptr[:-1], counts)
        return self._events(indptr, np.arange(indptr[-1]) + offsets)

    def matrix(self, items: int, weights: Floats | None = None) -> csr_matrix:
        """Sparse float32 [n, items]: the sum of the weights of a sequence's events on an item; 1 each by default."""
        data = np.ones(len(self.rows)) if weights is None else weights
        summed = csr_matrix((data.astype(np.float32), self.rows, self.indptr), shape=(len(self), items))
        summed.sum_duplicates()
        return summed

    def _events(self, indptr: Rows, places: Rows) -> Sequences:
        return Sequences(
            indptr,
            self.rows[places],
            values=None if self.values is None else self.values[places],
            times=None if self.times is None else self.times[places],
            kinds=None if self.kinds is None else self.kinds[places],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Everything that users did with items.

    Args:
        user_ids: The users, by row.
        item_ids: The whole catalogue, by row, items that nobody took included.
        sequences: What each user did, one sequence for each of `user_ids`.
        kind_names: What the numbers in `sequences.kinds` stand for.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    sequences: Sequences
    kind_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.user_ids) != len(self.sequences):
            raise DataError(
                f"{len(self.user_ids)} users have {len(self.sequences)} sequences", hint="give one sequence for each"
            )
        rows = self.sequences.rows
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.item_ids):
            raise DataError("an event is about an item row outside of the catalogue", hint="give every item an id")

    @property
    def item_counts(self) -> Rows:
        """How many events each item has, int64 [items]."""
        return np.bincount(self.sequences.rows, minlength=len(self.item_ids))

    @property
    def sha256(self) -> str:
        """Of ids, order, values and times: equal exactly where every result must be."""
        digest = hashlib.sha256("\n".join((*self.user_ids, "", *self.item_ids, "", *self.kind_names)).encode())
        parts = self.sequences
        for column in (parts.indptr, parts.rows, parts.values, parts.times, parts.kinds):
            digest.update(b"-" if column is None else column.tobytes())
        return digest.hexdigest()

    def with_sequences(self, sequences: Sequences) -> Interactions:
        """The same users and items with other events."""
        return replace(self, sequences=sequences)

    def take_users(self, order: Rows) -> Interactions:
        """Some of the users, in the order given, with all items."""
        user_ids = tuple(self.user_ids[row] for row in order)
        return replace(self, user_ids=user_ids, sequences=self.sequences.take(order))

    def by_id(self) -> Interactions:
        """The same with users and items in the order of their ids, so that the order of a file shows in no result."""
        users, items = (
            np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64) for ids in (self.user_ids, self.item_ids)
        )
        return self.take_users(users)._take_items(items)

    def without_repeats(self) -> Interactions:
        """Only the first event of a user on an item: what they met then was new to them."""
        parts = self.sequences
        _, first = np.unique(parts.owners * len(self.item_ids) + parts.rows, return_index=True)
        wanted = np.zeros(len(parts.rows), bool)
        wanted[first] = True
        return self.with_sequences(parts.keep(wanted))

    def core(self, minimum: int) -> Interactions:
        """The k-core: users and items with fewer than `minimum` events are left out until there are none."""
        parts, owners = self.sequences, self.sequences.owners
        wanted = np.ones(len(parts.rows), bool)
        left = len(wanted) + 1
        while wanted.sum() < left:
            left = int(wanted.sum())
            of_items = np.bincount(parts.rows[wanted], minlength=len(self.item_ids))
            of_users = np.bincount(owners[wanted], minlength=len(self.user_ids))
            wanted &= (of_items[parts.rows] >= minimum) & (of_users[owners] >= minimum)
        return self.with_sequences(parts.keep(wanted))._with_events_only()

    def _with_events_only(self) -> Interactions:
        return self.take_users(np.flatnonzero(self.sequences.lengths))._take_items(np.flatnonzero(self.item_counts))

    def _take_items(self, order: Rows) -> Interactions:
        """Some of the items, all that are met among them, in the order given."""
        new_row = np.full(len(self.item_ids), -1)
        new_row[order] = np.arange(len(order))
        renumbered = replace(self.sequences, rows=new_row[self.sequences.rows])
        return replace(self, item_ids=tuple(self.item_ids[row] for row in order), sequences=renumbered)
