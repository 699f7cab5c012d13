"""Behaviour as arrays: what the sequence encoder reads, the same in training and when a request is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.records import Event

__all__ = ["GAP_BUCKETS", "EventArrays", "EventVocabulary", "gap_buckets"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

GAP_BUCKETS = 16
"""0: no time known; then powers of four of the seconds since the event before."""


@dataclass(frozen=True, slots=True)
class EventArrays:
    """Events of one user on items, oldest first, as arrays of one length.

    Args:
        rows: Rows of the items.
        kinds: Numbers of the kinds in the vocabulary.
        values: The events' values, standardised; 0 where there is none.
        has_value: 1 where there is one, else 0.
        gaps: Buckets of the time since the event before.
    """

    rows: Ints
    kinds: Ints
    values: Floats
    has_value: Floats
    gaps: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> EventArrays:
        return EventArrays(*(getattr(self, name)[part] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class EventVocabulary:
    """What the numbers of an encoder's events mean; a part of its release.

    Args:
        kinds: Kinds of events; a kind's number is its place plus one, 0 stands for any other.
        mean: Mean of the values in training.
        spread: Their standard deviation.
        bare: Whether nothing was known in training of an event but its item, so that nothing else is read.
    """

    kinds: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0
    bare: bool = False

    @classmethod
    def of(cls, kinds: Sequence[str], values: NDArray[np.float64], *, timed: bool = True) -> EventVocabulary:
        """The vocabulary of a training set.

        Args:
            kinds: Of its events.
            values: Of its events, NaN where one has none.
            timed: Whether any of them has a time.
        """
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(tuple(sorted(set(kinds))), bare=len(set(kinds)) == 1 and not timed)
        return cls(tuple(sorted(set(kinds))), float(known.mean()), float(known.std()) or 1.0)

    def arrays(self, events: Sequence[Event], rows: Mapping[str, int]) -> EventArrays:
        """The events on items that have a row, as arrays."""
        known = [event for event in events if event.item_id in rows]
        times = [event.timestamp.timestamp() if event.timestamp else np.nan for event in known]
        return self.encode(
            rows=np.array([rows[str(event.item_id)] for event in known], dtype=np.int64),
            kinds=[event.kind for event in known],
            values=np.array([np.nan if event.value is None else event.value for event in known], dtype=np.float64),
            times=np.array(times, dtype=np.float64),
        )

    def encode(
        self, *, rows: Ints, kinds: Sequence[str], values: NDArray[np.float64], times: NDArray[np.float64]
    ) -> EventArrays:
        """Raw columns of one user, oldest first, as arrays; `times` in seconds, NaN where unknown."""
        if self.bare:
            unknown = np.full(len(rows), np.nan)
            kinds, values, times = self.kinds[:1] * len(rows), unknown, unknown
        numbers = {kind: place for place, kind in enumerate(self.kinds, 1)}
        missing = np.isnan(values)
        standard = np.where(missing, 0.0, (values - self.mean) / self.spread)
        return EventArrays(
            rows=rows,
            kinds=np.array([numbers.get(kind, 0) for kind in kinds], dtype=np.int64),
            values=np.clip(standard, -3, 3).astype(np.float32),
            has_value=(~missing).astype(np.float32),
            gaps=gap_buckets(times),
        )


def gap_buckets(times: NDArray[np.float64]) -> Ints:
    """The bucket of the seconds since the event before; the first event has none."""
    if not len(times):
        return np.zeros(0, np.int64)
    gaps = np.maximum(np.diff(times, prepend=times[0]), 0)
    buckets = 1 + np.floor(np.log2(1 + np.nan_to_num(gaps)) / 2).astype(np.int64)
    return np.where(np.isnan(gaps), 0, np.minimum(buckets, GAP_BUCKETS - 1))


def batches_by_length(lengths: Ints, size: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Places of sequences of like length, so that little is padding; batches come in a random order."""
    order = np.argsort(lengths * generator.uniform(0.8, 1.2, len(lengths)))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    generator.shuffle(parts)
    yield from parts
