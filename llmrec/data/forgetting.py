"""Taking a user, or what they take back, out of the store for good: the one exception to keeping every event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select, update

from llmrec.data.engine import insert_or_ignore
from llmrec.data.release_log import EVERY, write_deed
from llmrec.data.schema import events, meta, recommendations, turns, users

__all__ = ["forget", "last_forgotten", "note_deletion", "take_back"]

_KEY = "last_forgotten"


def forget(connection: Connection, user_id: str) -> dict[str, int]:
    """Delete a user, what they did and said and what was recommended to them; the caller holds the write transaction.

    Returns:
        How many events, recommendations, turns of conversations and users were deleted.
    """
    tables = {"events": events, "recommendations": recommendations, "turns": turns, "users": users}
    gone = {
        name: connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount
        for name, table in tables.items()
    }
    if any(gone.values()):
        note_deletion(connection, "a user was deleted")
    return gone


def take_back(connection: Connection, user_id: str, event_ids: Sequence[str], learnt: int) -> int:
    """Delete some events of a user, as they wish; the caller holds the write transaction.

    Args:
        connection: To the database.
        user_id: Whose events.
        event_ids: Which; those of others stay.
        learnt: The newest event that a release may have learnt from; where an older one goes, that is noted.
    """
    wanted = (events.c.user_id == user_id, events.c.event_id.in_(event_ids))
    oldest = connection.scalar(select(func.min(events.c.sequence)).where(*wanted))
    if oldest is not None and oldest <= learnt:
        note_deletion(connection, "a user took back what may have been learnt")
    return int(connection.execute(delete(events).where(*wanted)).rowcount)


def note_deletion(connection: Connection, why: str) -> None:
    """Note that something was deleted that releases made before may have learnt from."""
    write_deed(connection, EVERY, EVERY, "marked", why)
    connection.execute(insert_or_ignore(connection, meta).values(key=_KEY, value=""))
    connection.execute(update(meta).where(meta.c.key == _KEY).values(value=datetime.now(UTC).isoformat()))


def last_forgotten(connection: Connection) -> datetime | None:
    """When somebody was deleted last; a release made before may have learnt from them."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    return datetime.fromisoformat(found) if found else None
