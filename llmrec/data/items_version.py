"""The counter that tells whoever keeps something made of all items, such as an index, that they have changed."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from llmrec.data.engine import insert_or_ignore
from llmrec.data.schema import meta

__all__ = ["advance_items_version", "read_items_version"]

_KEY = "items_version"


def read_items_version(connection: Connection) -> int:
    """The counter; 0 before the first item."""
    return int(connection.scalar(select(meta.c.value).where(meta.c.key == _KEY)) or 0)


def advance_items_version(connection: Connection) -> None:
    """Count a change; the caller holds the write transaction in which the change is made."""
    connection.execute(insert_or_ignore(connection, meta).values(key=_KEY, value="0"))
    following = str(read_items_version(connection) + 1)
    connection.execute(update(meta).where(meta.c.key == _KEY).values(value=following))
