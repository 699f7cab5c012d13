"""Where an import waits until all of it is known to be good: temporary tables, and the checks on them.

Temporary tables belong to one connection and lock nothing, so others read and append while a long file is staged, and
nothing is left behind if the process dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    true,
)

from llmrec.data import schema
from llmrec.data.engine import reporting
from llmrec.data.schema import Attributes, Id, Moment

__all__ = [
    "CHECKS",
    "STAGED",
    "TAKEN_BY_STORED",
    "UNKNOWN_ITEM",
    "Check",
    "Fault",
    "find",
    "remove",
    "size",
    "stage",
    "staged_events",
    "staged_items",
    "staged_users",
    "staging",
]

_CHUNK = 5000

_metadata = MetaData()


def _place() -> tuple[Column[Any], ...]:
    # `row` is the order of the whole import; `part` says which source, and `line` where in it.
    return (
        Column("row", Integer, primary_key=True, autoincrement=False),
        Column("part", Integer, nullable=False),
        Column("line", Integer, nullable=False),
    )


staged_users = Table(
    "staged_users",
    _metadata,
    *_place(),
    Column("user_id", Id, index=True),
    Column("attributes", Attributes),
    prefixes=["TEMPORARY"],
)

staged_items = Table(
    "staged_items",
    _metadata,
    *_place(),
    Column("item_id", Id, index=True),
    Column("title", Text),
    Column("description", Text),
    Column("attributes", Attributes),
    prefixes=["TEMPORARY"],
)

staged_events = Table(
    "staged_events",
    _metadata,
    *_place(),
    Column("event_id", Id),
    # Whether the source gave the event_id; one made of the content cannot stand for other content.
    Column("given", Boolean),
    Column("user_id", Id),
    Column("item_id", Id),
    Column("kind", Text),
    Column("value", Double),
    Column("text", Text),
    Column("time", Moment),
    Column("recommendation_id", Text),
    prefixes=["TEMPORARY"],
)
Index(
    "ix_staged_events_given",
    staged_events.c.event_id,
    # As the question is written, or SQLite does not know that it is the same.
    sqlite_where=staged_events.c.given == true(),
    postgresql_where=staged_events.c.given,
)

STAGED = {"users": staged_users, "items": staged_items, "events": staged_events}


@contextmanager
def staging(engine: Engine) -> Iterator[Connection]:
    """A connection with empty staging tables, which vanish with it."""
    with reporting(engine), engine.connect() as connection:
        # Taken out of the pool, so that closing it really closes it.
        connection.detach()
        with connection.begin():
            _metadata.create_all(connection, checkfirst=False)
        yield connection


def stage(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to a staging table, some thousand at a time."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        connection.execute(table.insert(), chunk)


@dataclass(frozen=True, slots=True)
class Check:
    """A question to a staging table: which rows are bad, in which field, and why."""

    table: Table
    field: str
    reason: str
    bad: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """A bad row of a staging table."""

    row: int
    part: int
    line: int
    value: str


def find(connection: Connection, check: Check, limit: int) -> tuple[list[Fault], int]:
    """The first bad rows in the order of the import, and how many there are in all."""
    columns = check.table.c
    first = select(columns.row, columns.part, columns.line, columns[check.field]).where(check.bad)
    faults = [Fault(*row) for row in connection.execute(first.order_by(columns.row).limit(limit))]
    if len(faults) < limit:
        return faults, len(faults)
    return faults, connection.scalar(select(func.count()).select_from(check.table).where(check.bad)) or 0


def remove(connection: Connection, check: Check) -> None:
    """Take the bad rows out."""
    connection.execute(delete(check.table).where(check.bad))


def size(connection: Connection, table: Table) -> int:
    """How many rows a staging table holds."""
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _again(table: Table, field: str) -> Check:
    earlier = table.alias()
    bad = exists().where(earlier.c[field] == table.c[field], earlier.c.row < table.c.row)
    return Check(table, field, "stands in this import twice", bad)


def _unknown_item() -> Check:
    stored, staged = schema.items, staged_items
    item_id = staged_events.c.item_id
    bad = and_(
        item_id.is_not(None),
        not_(exists().where(stored.c.item_id == item_id)),
        not_(exists().where(staged.c.item_id == item_id)),
    )
    return Check(staged_events, "item_id", "there is no such item", bad)


def _taken_by_stored() -> Check:
    stored, event_id = schema.events, staged_events.c.event_id
    bad = and_(staged_events.c.given, exists().where(stored.c.event_id == event_id, _differs(stored)))
    return Check(staged_events, "event_id", "is taken by a stored event with different content", bad)


def _taken_by_earlier() -> Check:
    first, earlier = staged_events.alias("first"), staged_events.alias("earlier")
    is_first = not_(
        exists().where(earlier.c.given, earlier.c.event_id == first.c.event_id, earlier.c.row < first.c.row)
    )
    of_same_id = and_(first.c.given, first.c.event_id == staged_events.c.event_id)
    bad = and_(staged_events.c.given, exists().where(of_same_id, is_first, _differs(first)), not_(TAKEN_BY_STORED.bad))
    return Check(staged_events, "event_id", "stands in this import twice, with different content", bad)


def _differs(other: Any) -> ColumnElement[bool]:
    names = ("user_id", "item_id", "kind", "value", "text")
    return or_(*(other.c[name].is_distinct_from(staged_events.c[name]) for name in names))


UNKNOWN_ITEM = _unknown_item()
# To be asked again inside the write transaction: another process may store an event at any time before it.
TAKEN_BY_STORED = _taken_by_stored()
# In this order: an event may be about an item of the same import, unless that item's row is bad.
CHECKS = (
    _again(staged_users, "user_id"),
    _again(staged_items, "item_id"),
    UNKNOWN_ITEM,
    TAKEN_BY_STORED,
    _taken_by_earlier(),
)
