"""Taking a user out of the store for good: the one exception to keeping every event."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select, update

from llmrec.data.engine import insert_or_ignore
from llmrec.data.schema import events, meta, recommendations, users

__all__ = ["forget", "last_forgotten"]

_KEY = "last_forgotten"


def forget(connection: Connection, user_id: str) -> dict[str, int]:
    """Delete a user, what they did and what was recommended to them; the caller holds the write transaction.

    Returns:
        How many events, recommendations and users were deleted.
    """
    tables = {"events": events, "recommendations": recommendations, "users": users}
    gone = {
        name: connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount
        for name, table in tables.items()
    }
    if any(gone.values()):
        connection.execute(insert_or_ignore(connection, meta).values(key=_KEY, value=""))
        connection.execute(update(meta).where(meta.c.key == _KEY).values(value=datetime.now(UTC).isoformat()))
    return gone


def last_forgotten(connection: Connection) -> datetime | None:
    """When somebody was deleted last; a release made before may have learnt from them."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    return datetime.fromisoformat(found) if found else None
