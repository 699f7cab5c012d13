"""Which items fulfil a condition, from an inverted index: by row, because many names cost more than a search."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeGuard, overload

import numpy as np
from numpy.typing import NDArray

from llmrec.conditions import Condition, values_of

__all__ = ["AttributeValues", "Selection"]

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Selection(Sequence[str]):
    """Some of many items: a sequence of ids to who reads them, rows to who searches.

    Args:
        item_ids: All items, by row.
        rows: Those that are meant, int64, ascending.
    """

    def __init__(self, item_ids: tuple[str, ...], rows: Rows) -> None:
        self.item_ids = item_ids
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self.item_ids[row] for row in self.rows[place].tolist()]
        return self.item_ids[int(self.rows[place])]

    def __iter__(self) -> Iterator[str]:
        return (self.item_ids[row] for row in self.rows.tolist())


class AttributeValues:
    """The values of one attribute, and the items that have each.

    Args:
        given: What each item has, by row; None: nothing.
    """

    def __init__(self, given: Collection[object]) -> None:
        self._items = len(given)
        holders: dict[object, list[int]] = {}
        numbers: list[tuple[int | float, int]] = []
        for row, values in enumerate(map(values_of, given)):
            for value in values:
                holders.setdefault(value, []).append(row)
            numbers += [(value, row) for value in values if _is_number(value)]
        self._holders: Mapping[object, Rows] = {value: np.array(rows, np.int64) for value, rows in holders.items()}
        numbers.sort()
        # A list: as float64, large whole numbers would be rounded, and a bound would not be exact.
        self._numbers = [value for value, _ in numbers]
        self._of_numbers = np.array([row for _, row in numbers], np.int64)

    def fulfilling(self, condition: Condition) -> Mask:
        """Which items' attribute fulfils the condition, bool [items]."""
        if condition.wanted is not None:
            mask = self._having(one for one in condition.wanted if not condition.bounded or condition.bounds(one))
        elif condition.bounded:
            mask = self._within(condition.least, condition.most)
        else:
            mask = np.ones(self._items, np.bool_)
        return mask & ~self._having(condition.unwanted) if condition.unwanted else mask

    def _having(self, values: Iterator[object] | Collection[object]) -> Mask:
        mask = np.zeros(self._items, np.bool_)
        for value in values:
            if value in self._holders:
                mask[self._holders[value]] = True
        return mask

    def _within(self, least: float | None, most: float | None) -> Mask:
        start = 0 if least is None else bisect_left(self._numbers, least)
        stop = len(self._numbers) if most is None else bisect_right(self._numbers, most)
        mask = np.zeros(self._items, np.bool_)
        mask[self._of_numbers[start:stop]] = True
        return mask


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
