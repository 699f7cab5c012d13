"""Interactions from where they are kept: a store, files of items and events, or a file of sequences."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.data import Kind, Store, read
from llmrec.data.rows import record_of
from llmrec.data.sources import BadRow, Record
from llmrec.errors import DataError, ImportRefused, RowError, UnknownItemError
from llmrec.evaluation.interactions import NO_TIME, Interactions, Sequences
from llmrec.records import Event, Item, User

__all__ = [
    "interactions_from_events",
    "interactions_from_files",
    "interactions_from_sequences",
    "interactions_from_store",
    "read_items",
    "read_users",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def interactions_from_store(
    store: Store, *, negatives: bool = True, kinds: Collection[str] | None = None
) -> Interactions:
    """All behaviour on items that a store holds; item rows are in the order in which the items were stored.

    Args:
        store: The store.
        negatives: Whether to keep events that say that an item is not wanted (dislike, hide, skip).
        kinds: Keep only events of these kinds; None for all behaviour.
    """
    item_ids = [item.item_id for item in store.items()]
    known = {None, *item_ids}  # items may be added, and met, while the events are read
    events = (event for event in store.events_by_user() if event.item_id in known)
    return interactions_from_events(events, item_ids, negatives=negatives, kinds=kinds)


def interactions_from_files(
    events: Any,
    items: Any = None,
    *,
    format: str | None = None,
    rename: Mapping[str, str] | None = None,
    negatives: bool = True,
    kinds: Collection[str] | None = None,
) -> Interactions:
    """All behaviour in events from anywhere: whatever `llmrec.data.read` takes.

    Args:
        events: A path, a table or an iterable; without times, their order is the order of time.
        items: The catalogue; None where it is exactly what the events are about.
        format: The format of the files, where their suffixes do not tell.
        rename: Our column name for each column that has another one.
        negatives: Whether to keep events that say that an item is not wanted.
        kinds: Keep only events of these kinds; None for all behaviour.

    Raises:
        ImportRefused: A file is missing or damaged, or a row is bad.
        UnknownItemError: An event is about an item that is not among `items`.
    """
    catalogue = None if items is None else [item.item_id for item in read_items(items, format=format, rename=rename)]
    happened = (record for record in _records(events, "events", format, rename) if isinstance(record, Event))
    return interactions_from_events(happened, catalogue, negatives=negatives, kinds=kinds)


def read_items(items: Any, *, format: str | None = None, rename: Mapping[str, str] | None = None) -> tuple[Item, ...]:
    """The items of a path, a table or an iterable, in their order: the order of the item rows.

    Raises:
        ImportRefused: A file is missing or damaged, or a row is bad.
    """
    return tuple(record for record in _records(items, "items", format, rename) if isinstance(record, Item))


def read_users(users: Any, *, format: str | None = None, rename: Mapping[str, str] | None = None) -> tuple[User, ...]:
    """The users of a path, a table or an iterable, in their order.

    Raises:
        ImportRefused: A file is missing or damaged, or a row is bad.
    """
    return tuple(record for record in _records(users, "users", format, rename) if isinstance(record, User))


def interactions_from_events(
    events: Iterable[Event],
    item_ids: Sequence[str] | None = None,
    *,
    negatives: bool = True,
    kinds: Collection[str] | None = None,
) -> Interactions:
    """Behaviour on items; events of equal time keep their order, those without a time come first.

    Args:
        events: In the order of their arrival; impressions, and events without an item, are left out.
        item_ids: The catalogue; None for the items of the events, sorted, so that no order of users shows in it.
        negatives: Whether to keep events that say that an item is not wanted.
        kinds: Keep only events of these kinds; None for all behaviour.

    Raises:
        UnknownItemError: An event is about an item that is not in the catalogue.
    """
    columns = _Columns()
    for event in events:
        wanted = event.is_behaviour and (negatives or not event.is_negative) and (kinds is None or event.kind in kinds)
        if wanted and event.item_id is not None:
            columns.add(event.item_id, event)
    return columns.to_interactions(item_ids)


def interactions_from_sequences(path: str | Path, items: Any = None) -> Interactions:
    """A file with a line for each user: user_id, a tab, and item ids in the order of time with blanks between them.

    Args:
        path: The file; its first line holds the column names.
        items: The catalogue, as `read_items` takes it; None for the items of the sequences, sorted.

    Raises:
        DataError: There is no such file, a line has no tab, or a user stands in two lines.
        UnknownItemError: A sequence holds an item that is not among `items`.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint="check the path")
    catalogue = None if items is None else [item.item_id for item in read_items(items)]
    taken = dict(_sequence_lines(path))
    rows = _rows_of(catalogue or sorted(set(chain.from_iterable(taken.values()))))
    try:
        found = array("q", (rows[item_id] for ids in taken.values() for item_id in ids))
    except KeyError as error:
        raise _unknown_item(error.args[0]) from error
    indptr = np.concatenate([[0], np.cumsum([len(ids) for ids in taken.values()], dtype=np.int64)])
    return Interactions(tuple(taken), tuple(rows), Sequences(indptr, np.array(found, np.int64)))


def _sequence_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    seen: set[str] = set()
    with path.open(encoding="utf-8") as file:
        next(file, None)
        for line, text in enumerate(file, 2):
            user_id, tab, item_ids = text.rstrip("\n").partition("\t")
            if not tab or user_id in seen:
                reason = f"user {user_id!r} stands in two lines" if tab else "there is no tab"
                raise DataError(f"{path}:{line}: {reason}", hint="write user_id, a tab, item ids with blanks between")
            seen.add(user_id)
            yield user_id, item_ids.split()


def _records(data: Any, kind: Kind, format: str | None, rename: Mapping[str, str] | None) -> Iterator[Record]:
    places: dict[str, str] = {}
    for source in read(data, kind, format=format, rename=rename):
        for line, content in source.rows():
            try:
                record = record_of(kind, content, typed=source.typed)
                if isinstance(record, Item):
                    _check_single(record, f"{source.name}:{line}", places)
                yield record
            except BadRow as bad:
                row = RowError(source.name, line, bad.field, bad.value, bad.reason)
                raise ImportRefused(f"a row is bad: {row}", hint="correct the row", rows=(row,), total=1) from bad


def _check_single(item: Item, place: str, places: dict[str, str]) -> None:
    first = places.setdefault(item.item_id, place)
    if first != place:
        raise BadRow("item_id", item.item_id, f"stands in {first} too")


class _Columns:
    """Events as columns, in the order of their arrival."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._kinds: dict[str, int] = {}
        self._columns = {name: array("q") for name in ("user", "item", "kind", "time")}
        self._values = array("d")

    def add(self, item_id: str, event: Event) -> None:
        moment = NO_TIME if event.timestamp is None else (event.timestamp - _EPOCH) // _MICROSECOND
        self._columns["user"].append(self._users.setdefault(event.user_id, len(self._users)))
        self._columns["item"].append(self._items.setdefault(item_id, len(self._items)))
        self._columns["kind"].append(self._kinds.setdefault(event.kind, len(self._kinds)))
        self._columns["time"].append(moment)
        self._values.append(float("nan") if event.value is None else event.value)

    def to_interactions(self, item_ids: Sequence[str] | None) -> Interactions:
        rows = _rows_of(sorted(self._items) if item_ids is None else item_ids)
        for item_id in self._items:
            if item_id not in rows:
                raise _unknown_item(item_id)
        user, item, kind, time = (np.array(column, np.int64) for column in self._columns.values())
        values = np.array(self._values, np.float64)
        order = np.lexsort((time, user))
        row_of_item = np.array([rows[item_id] for item_id in self._items], np.int64)
        sequences = Sequences(
            indptr=np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(self._users)))]),
            rows=row_of_item[item[order]] if len(item) else item,
            values=None if np.isnan(values).all() else values[order],
            times=None if (time == NO_TIME).all() else time[order],
            kinds=kind[order],
        )
        return Interactions(tuple(self._users), tuple(rows), sequences, tuple(self._kinds))


def _rows_of(item_ids: Sequence[str]) -> dict[str, int]:
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    if len(rows) < len(item_ids):
        twice = next(item_id for row, item_id in enumerate(item_ids) if rows[item_id] != row)
        raise DataError(f"item {twice!r} stands twice in the catalogue", hint="give every item one row")
    return rows


def _unknown_item(item_id: str) -> UnknownItemError:
    return UnknownItemError(
        f"an event is about item {item_id!r}, which is not in the catalogue",
        hint="add the item, or leave the catalogue out so that it is what the events are about",
    )
