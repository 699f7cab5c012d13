"""The last step of an import: staged rows become stored ones, a few statements in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Update,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.sql.base import Executable

from llmrec.data.engine import insert_or_ignore
from llmrec.data.items_version import advance_items_version
from llmrec.data.schema import Attributes, events, items, users
from llmrec.data.staging import size, staged_events, staged_items, staged_users

__all__ = ["Counts", "merge_events", "merge_items", "merge_users"]

_ITEM_CONTENT = ("title", "description", "attributes")
_EVENT_CONTENT = ("event_id", "user_id", "item_id", "kind", "value", "text", "time", "recommendation_id")


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of one kind: new, changed, or already stored just so."""

    added: int = 0
    updated: int = 0
    repeated: int = 0


def merge_users(connection: Connection) -> Counts:
    """Store the staged users, and without attributes those that only staged events name."""
    updated = _changed(connection, _update(users, staged_users, "user_id", ("attributes",)))
    new = select(staged_users.c.user_id, staged_users.c.attributes)
    new = new.where(_is_new(staged_users, users, "user_id")).order_by(staged_users.c.row)
    added = _changed(connection, insert(users).from_select(["user_id", "attributes"], new))
    repeated = size(connection, staged_users) - added - updated
    named = select(staged_events.c.user_id, literal({}, Attributes)).distinct()
    named = named.where(_is_new(staged_events, users, "user_id"))
    added += _changed(connection, insert(users).from_select(["user_id", "attributes"], named))
    return Counts(added, updated, repeated)


def merge_items(connection: Connection) -> Counts:
    """Store the staged items, new ones behind all others in the order of the import."""
    updated = _changed(connection, _update(items, staged_items, "item_id", _ITEM_CONTENT))
    last = select(func.coalesce(func.max(items.c.position), -1)).scalar_subquery()
    position = last + func.row_number().over(order_by=staged_items.c.row)
    new = select(staged_items.c.item_id, position, *(staged_items.c[name] for name in _ITEM_CONTENT))
    new = new.where(_is_new(staged_items, items, "item_id")).order_by(staged_items.c.row)
    added = _changed(connection, insert(items).from_select(["item_id", "position", *_ITEM_CONTENT], new))
    if added or updated:
        advance_items_version(connection)
    return Counts(added, updated, size(connection, staged_items) - added - updated)


def merge_events(connection: Connection) -> Counts:
    """Store the staged events in the order of the import; those whose id is stored are repetitions."""
    staged = select(*(staged_events.c[name] for name in _EVENT_CONTENT)).order_by(staged_events.c.row)
    new = insert_or_ignore(connection, events).from_select(_EVENT_CONTENT, staged)
    added = _changed(connection, new)
    return Counts(added, 0, size(connection, staged_events) - added)


def _update(stored: Table, staged: Table, key: str, content: Sequence[str]) -> Update:
    differs = or_(*(stored.c[name] != staged.c[name] for name in content))
    return (
        update(stored)
        .where(stored.c[key] == staged.c[key], differs)
        .values({stored.c[name]: staged.c[name] for name in content})
    )


def _is_new(staged: Table, stored: Table, key: str) -> ColumnElement[bool]:
    return not_(exists().where(stored.c[key] == staged.c[key]))


def _changed(connection: Connection, statement: Executable) -> int:
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
