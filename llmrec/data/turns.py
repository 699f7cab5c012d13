"""Conversations, kept turn by turn: what was said, what was answered, and what holds since."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, func, select, update

from llmrec.data.engine import insert_or_ignore, reading, writing
from llmrec.data.schema import turns, users

__all__ = ["Turn", "Turns"]

_BLANK = "(deleted)"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Args:
        turn: Its number, unlike any other's.
        conversation_id: Of which.
        time: When.
        said: By the user.
        answered: The reply.
        actions: What it did, in words.
    """

    turn: int
    conversation_id: str
    time: datetime
    said: str
    answered: str
    actions: tuple[str, ...]


class Turns:
    """The conversations of a store; safe to share between threads.

    Args:
        engine: Of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(
        self,
        user_id: str,
        conversation_id: str,
        *,
        said: str,
        answered: str,
        actions: Sequence[str],
        state: Mapping[str, Any],
    ) -> None:
        """Keep one turn; it is on disk when this returns."""
        row = {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "time": datetime.now(UTC),
            "said": said,
            "answered": answered,
            "actions": json.dumps(list(actions), ensure_ascii=False),
            "state": json.dumps(dict(state), ensure_ascii=False, allow_nan=False),
        }
        with writing(self._engine) as connection:
            connection.execute(insert_or_ignore(connection, users).values(user_id=user_id, attributes={}))
            connection.execute(turns.insert().values(row))

    def of(self, user_id: str, conversation_id: str | None = None) -> list[Turn]:
        """A user's turns, oldest first; of one conversation, or of all."""
        wanted = [turns.c.user_id == user_id]
        if conversation_id is not None:
            wanted.append(turns.c.conversation_id == conversation_id)
        with reading(self._engine) as connection:
            rows = connection.execute(select(turns).where(*wanted).order_by(turns.c.turn)).all()
        return [
            Turn(row.turn, row.conversation_id, row.time, row.said, row.answered, tuple(json.loads(row.actions)))
            for row in rows
        ]

    def state(self, user_id: str, conversation_id: str) -> dict[str, Any] | None:
        """What holds since the last turn of a conversation; None where there was none."""
        last = (
            select(turns.c.state)
            .where(turns.c.user_id == user_id, turns.c.conversation_id == conversation_id)
            .order_by(turns.c.turn.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            found = connection.scalar(last)
        return None if found is None else dict(json.loads(found))

    def latest(self, user_id: str) -> str | None:
        """The conversation that the user was in last."""
        newest = select(func.max(turns.c.turn)).where(turns.c.user_id == user_id).scalar_subquery()
        with reading(self._engine) as connection:
            found = connection.scalar(select(turns.c.conversation_id).where(turns.c.turn == newest))
        return None if found is None else str(found)

    def owner(self, conversation_id: str) -> str | None:
        """Whose conversation it is; None where there is none."""
        wanted = select(turns.c.user_id).where(turns.c.conversation_id == conversation_id).limit(1)
        with reading(self._engine) as connection:
            found = connection.scalar(wanted)
        return None if found is None else str(found)

    def delete(self, user_id: str, conversation_id: str | None = None) -> int:
        """Delete a user's turns, of one conversation or of all; how many there were."""
        wanted = [turns.c.user_id == user_id]
        if conversation_id is not None:
            wanted.append(turns.c.conversation_id == conversation_id)
        with writing(self._engine) as connection:
            return int(connection.execute(delete(turns).where(*wanted)).rowcount)

    def blank(self, user_id: str, texts: Sequence[str]) -> int:
        """Take the words out of a user's turns that said one of these; how many there were."""
        wanted = [text for text in texts if text]
        rows = self._rows_of(user_id) if wanted else []
        places = [row.turn for row in rows if any(text in row.said for text in wanted)]
        if places:
            with writing(self._engine) as connection:
                gone = update(turns).where(turns.c.turn.in_(places))
                connection.execute(gone.values(said=_BLANK, answered=_BLANK, actions="[]"))
        return len(places)

    def _rows_of(self, user_id: str) -> Sequence[Row[Any, Any]]:
        with reading(self._engine) as connection:
            return connection.execute(select(turns.c.turn, turns.c.said).where(turns.c.user_id == user_id)).all()
