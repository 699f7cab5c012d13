"""Conversations, kept turn by turn: what was said, what was answered, and what holds since."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, delete, func, select, update

from llmrec.data.engine import insert_or_ignore, reading, writing
from llmrec.data.forgetting import note_deletion
from llmrec.data.schema import meta, turns, users
from llmrec.errors import ConflictError, DataError

__all__ = ["Rated", "Turn", "Turns"]

_BLANK = "(deleted)"
_PAGE = 500
_LEARNT = "answers_learnt"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Args:
        conversation_id: Of which.
        time: When.
        said: By the user.
        answered: The reply.
        actions: What it did, in words.
        number: Of the turn, among all turns of all users.
        thumb: Whether the user liked the reply; None: they did not say.
    """

    conversation_id: str
    time: datetime
    said: str
    answered: str
    actions: tuple[str, ...]
    number: int
    thumb: bool | None = None


@dataclass(frozen=True, slots=True)
class Rated:
    """A reply that gave a reason, and what the user thought of it.

    Args:
        number: Of the turn.
        user_id: Whose.
        time: When it was said.
        up: Whether they liked it.
        explained: The item's id and title, the words and whether the language model found them, and the evidence as
            JSON, events with their ids.
    """

    number: int
    user_id: str
    time: datetime
    up: bool
    explained: Mapping[str, Any]


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
        explained: Mapping[str, Any] | None = None,
        after: int | None = None,
    ) -> int:
        """Keep one turn; it is on disk when this returns. Its number.

        Raises:
            ConflictError: The conversation's newest turn is not `after`: another process kept one meanwhile.
        """
        row = {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "time": datetime.now(UTC),
            "said": said,
            "answered": answered,
            "actions": json.dumps(list(actions), ensure_ascii=False),
            "state": json.dumps(dict(state), ensure_ascii=False, allow_nan=False),
            "explained": json.dumps(dict(explained), ensure_ascii=False) if explained else None,
        }
        with writing(self._engine) as connection:
            connection.execute(insert_or_ignore(connection, users).values(user_id=user_id, attributes={}))
            if after is not None:
                _check_newest(connection, user_id, conversation_id, after)
            made = connection.execute(turns.insert().values(row)).inserted_primary_key
        assert made is not None
        return int(made[0])

    def thumb(self, user_id: str, conversation_id: str, turn: int, up: bool | None) -> None:
        """Keep whether a user liked a reply; None takes back what they said of it.

        Raises:
            DataError: There is no such turn in this conversation of theirs.
        """
        wanted = (
            turns.c.turn == turn,
            turns.c.user_id == user_id,
            turns.c.conversation_id == conversation_id,
        )
        known = isinstance(turn, int) and 0 < turn < 1 << 63
        if known:
            with writing(self._engine) as connection:
                known = bool(connection.execute(update(turns).where(*wanted).values(thumb=up)).rowcount)
        if not known:
            raise DataError(
                f"{turn!r} is no turn of this conversation", hint="reply.turn is the number of the turn it answers"
            )

    def rated(self) -> Iterator[Rated]:
        """The replies with a reason that somebody rated, oldest first, read page by page."""
        wanted = select(turns).where(turns.c.thumb.is_not(None), turns.c.explained.is_not(None))
        last = 0
        while page := self._page(wanted, last):
            for row in page:
                yield Rated(row.turn, row.user_id, row.time, row.thumb, json.loads(row.explained))
            last = page[-1].turn

    def _page(self, wanted: Select[Any], last: int) -> Sequence[Row[Any]]:
        with reading(self._engine) as connection:
            return connection.execute(wanted.where(turns.c.turn > last).order_by(turns.c.turn).limit(_PAGE)).all()

    def of(self, user_id: str, conversation_id: str | None = None) -> list[Turn]:
        """A user's turns, oldest first; of one conversation, or of all."""
        wanted = [turns.c.user_id == user_id]
        if conversation_id is not None:
            wanted.append(turns.c.conversation_id == conversation_id)
        with reading(self._engine) as connection:
            rows = connection.execute(select(turns).where(*wanted).order_by(turns.c.turn)).all()
        return [
            Turn(
                row.conversation_id,
                row.time,
                row.said,
                row.answered,
                tuple(json.loads(row.actions)),
                row.turn,
                row.thumb,
            )
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

    def newest(self, user_id: str, conversation_id: str) -> int:
        """The number of the newest turn of a conversation; 0 where there is none."""
        with reading(self._engine) as connection:
            return _newest(connection, user_id, conversation_id)

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
            _note_learnt(connection, *wanted)
            return int(connection.execute(delete(turns).where(*wanted)).rowcount)

    def blank(self, user_id: str, texts: Sequence[str]) -> int:
        """Take the words out of a user's turns in which one of these stands, on either side; how many there were."""
        wanted = [_standing(text) for text in texts if text.strip()]
        rows = self._rows_of(user_id) if wanted else []
        places = [row.turn for row in rows if any(one.search(_words_of(row)) for one in wanted)]
        if places:
            with writing(self._engine) as connection:
                _note_learnt(connection, turns.c.turn.in_(places))
                gone = update(turns).where(turns.c.turn.in_(places))
                connection.execute(gone.values(said=_BLANK, answered=_BLANK, actions="[]", explained=None))
        return len(places)

    def learnt(self, turn: int) -> None:
        """Note that a release learns from the ratings of turns up to one: where such a turn goes, it is marked."""
        with writing(self._engine) as connection:
            connection.execute(insert_or_ignore(connection, meta).values(key=_LEARNT, value="0"))
            latest = max(turn, _learnt(connection))
            connection.execute(update(meta).where(meta.c.key == _LEARNT).values(value=str(latest)))

    def taken_back(self, user_id: str, event_ids: Collection[str]) -> None:
        """Note that events of a user are gone, where a release may have learnt from reasons that rest on them."""
        with writing(self._engine) as connection:
            rows = connection.execute(select(turns.c.explained).where(turns.c.user_id == user_id, *_rated(connection)))
            told = (one for row in rows for one in json.loads(row.explained)["evidence"])
            if any(one.get("event_id") in event_ids for one in told):
                note_deletion(connection, "a user took back what a rated reason rests on")

    def _rows_of(self, user_id: str) -> Sequence[Row[Any, Any, Any, Any, Any]]:
        columns = (turns.c.turn, turns.c.said, turns.c.answered, turns.c.actions, turns.c.explained)
        with reading(self._engine) as connection:
            return connection.execute(select(*columns).where(turns.c.user_id == user_id)).all()


def _learnt(connection: Connection) -> int:
    """The newest turn that a release may have learnt from."""
    return int(connection.scalar(select(meta.c.value).where(meta.c.key == _LEARNT)) or 0)


def _rated(connection: Connection) -> tuple[ColumnElement[bool], ...]:
    """Turns that a release may have learnt from."""
    return (turns.c.thumb.is_not(None), turns.c.explained.is_not(None), turns.c.turn <= _learnt(connection))


def _note_learnt(connection: Connection, *wanted: ColumnElement[bool]) -> None:
    """Note that turns go, if a release may have learnt from one of them."""
    if connection.scalar(select(turns.c.turn).where(*wanted, *_rated(connection)).limit(1)):
        note_deletion(connection, "a rated turn was deleted")


def _check_newest(connection: Connection, user_id: str, conversation_id: str, after: int) -> None:
    # Whoever keeps a turn of this user waits here until the other is done.
    connection.execute(select(users.c.user_id).where(users.c.user_id == user_id).with_for_update())
    if _newest(connection, user_id, conversation_id) != after:
        raise ConflictError("the conversation went on meanwhile, in another process", hint="say it again")


def _newest(connection: Connection, user_id: str, conversation_id: str) -> int:
    of_it = (turns.c.user_id == user_id, turns.c.conversation_id == conversation_id)
    return int(connection.scalar(select(func.coalesce(func.max(turns.c.turn), 0)).where(*of_it)) or 0)


def _standing(text: str) -> re.Pattern[str]:
    """Finds a text that stands by itself: “a” is in “a rake”, and not in “garden”."""
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _words_of(row: Row[Any, Any, Any, Any, Any]) -> str:
    """All that is kept of a turn in words."""
    explained = json.loads(row.explained or "{}")
    reasons = [explained.get("text", ""), *(one["text"] for one in explained.get("evidence", ()))]
    return "\n".join([row.said, row.answered, *json.loads(row.actions), *reasons])
