"""Keys and values of prefixes that were read before, kept in memory up to a bound.

Whoever asks again about the same user pays for the candidates alone; after a new event only what follows it is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llmrec.models.attention import KeysValues
from llmrec.models.tree import Ids

__all__ = ["PrefixStates", "Read"]

_WORTH_KEEPING = 16
"""Fewer tokens in common are read again sooner than they are found."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A prefix that was read.

    Args:
        ids: Its token ids.
        layers: The keys and values of its tokens, a pair for each layer.
    """

    ids: Ids
    layers: list[KeysValues]
    numbers: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the ids as an array too: they are compared with those of every request."""
        object.__setattr__(self, "numbers", np.array(self.ids, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(each.numel() * each.element_size() for pair in self.layers for each in pair)

    def first(self, tokens: int) -> Read:
        """Its beginning."""
        if tokens == len(self.ids):
            return self
        return Read(self.ids[:tokens], [(key[:, :, :tokens], value[:, :, :tokens]) for key, value in self.layers])


class PrefixStates:
    """The prefixes that were read last, safe to share between threads.

    Args:
        limit: Bytes that are kept at most; 0: nothing is.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str | None, Ids], Read] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """What is kept takes so much."""
        return self._bytes

    def longest(self, weights: str | None, ids: Ids) -> Read | None:
        """The longest beginning of these ids that was read with these weights, if it is long enough to help."""
        wanted = np.array(ids)
        with self._lock:
            # The newest first: what users have in common is found where it was used last.
            kept = reversed(self._kept.items())
            shared = {key: _in_common(one.numbers, wanted) for key, one in kept if key[0] == weights}
            best = max(shared, key=shared.__getitem__, default=None)
            if best is None or shared[best] < min(_WORTH_KEEPING, len(ids)):
                return None
            self._kept.move_to_end(best)
            return self._kept[best].first(shared[best])

    def keep(self, weights: str | None, read: Read) -> None:
        """Keep a prefix, and let go of those that were not asked for longest; a beginning of it needs no keeping."""
        size = read.bytes
        if size > self._limit:
            return
        with self._lock:
            for key in [key for key in self._kept if key[0] == weights and read.ids[: len(key[1])] == key[1]]:
                self._drop(key)
            self._kept[weights, read.ids] = read
            self._bytes += size
            while self._bytes > self._limit:
                self._drop(next(iter(self._kept)))

    def forget(self, weights: str | None) -> None:
        """Let go of what was read with these weights."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == weights]:
                self._drop(key)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _drop(self, key: tuple[str | None, Ids]) -> None:
        self._bytes -= self._kept.pop(key).bytes


def _in_common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """With how many equal ids two sequences begin."""
    size = min(len(one), len(other))
    different = np.flatnonzero(one[:size] != other[:size])
    return int(different[0]) if len(different) else size
