"""The store: users, items, what happened between them, and which release is live.

Any number of processes may read and append at the same time; every write is one transaction, on disk when the call
returns. No method keeps a transaction open between two values it yields.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select

from llmrec.data.aliases import Aliases
from llmrec.data.engine import insert_or_ignore, make_engine, reading, writing
from llmrec.data.forgetting import forget, last_forgotten, take_back
from llmrec.data.items_version import read_items_version
from llmrec.data.lookup import Lookup
from llmrec.data.migrations import upgrade
from llmrec.data.release_log import ReleaseLog
from llmrec.data.schema import events, items, users
from llmrec.data.shown import ShownLists
from llmrec.data.turns import Turns
from llmrec.errors import ConflictError, DataError, UnknownItemError
from llmrec.records import Event, Item, User

__all__ = ["Store"]

_PAGE = 1000
# Up to this many ids are compared with one that is not known, to find what was meant.
_COMPARED = 20_000
_CONTENT = ("user_id", "item_id", "kind", "value", "text")


class Store:
    """Users, items, events and release pointers in one database; safe to share between threads.

    Attributes:
        shown: The lists that were recommended.
        turns: What was said in conversations.
        lookup: Users and items by what somebody types.
        aliases: Which release answers each task.
        release_log: What became of each release.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shown = ShownLists(engine)
        self.turns = Turns(engine)
        self.lookup = Lookup(engine)
        self.aliases = Aliases(engine)
        self.release_log = ReleaseLog(engine)

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database, making or upgrading its tables where needed.

        Raises:
            StoreError: It cannot be opened, is no database, or was written by a newer llmrec.
            MissingExtraError: It is a PostgreSQL database and the driver is not installed.
        """
        engine = make_engine(url)
        try:
            upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- users and items

    def user(self, user_id: str) -> User | None:
        """The user, or None where the id was never seen."""
        rows = self._rows(select(users).where(users.c.user_id == user_id)) if user_id.isprintable() else []
        return _user(rows[0]) if rows else None

    def users(self) -> Iterator[User]:
        """All users, ordered by id, read page by page."""
        page: Sequence[Row[Any]] = self._rows(select(users).order_by(users.c.user_id).limit(_PAGE))
        while page:
            yield from map(_user, page)
            rest = select(users).where(users.c.user_id > page[-1].user_id)
            page = self._rows(rest.order_by(users.c.user_id).limit(_PAGE))

    def item(self, item_id: str) -> Item:
        """The item.

        Raises:
            UnknownItemError: The id was never seen; the hint names ids that look like it.
        """
        return self.items_by_id([item_id])[item_id]

    def items(self) -> Iterator[Item]:
        """All items in the order in which they were first stored, read page by page."""
        last = -1
        while page := self._rows(select(items).where(items.c.position > last).order_by(items.c.position).limit(_PAGE)):
            yield from map(_item, page)
            last = page[-1].position

    def items_by_id(self, ids: Iterable[str]) -> dict[str, Item]:
        """The items with these ids, in the order given.

        Raises:
            UnknownItemError: Some ids were never seen; the message names the first few.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Item] = {}
        remaining = (item_id for item_id in wanted if item_id.isprintable())
        while chunk := list(islice(remaining, _PAGE)):
            rows = self._rows(select(items).where(items.c.item_id.in_(chunk)))
            found.update((row.item_id, _item(row)) for row in rows)
        unknown = [item_id for item_id in wanted if item_id not in found]
        if unknown:
            raise self._unknown_items(unknown)
        return {item_id: found[item_id] for item_id in wanted}

    def items_version(self) -> int:
        """A number that grows whenever an item is added or changed."""
        with reading(self.engine) as connection:
            return read_items_version(connection)

    # --- events

    def events(
        self, user_id: str, *, limit: int | None = None, before: int | None = None, behaviour: bool = False
    ) -> tuple[Event, ...]:
        """The newest events of a user, oldest first; events without a time come before all others.

        Args:
            user_id: Whose events.
            limit: At most this many; None for all.
            before: Only events that arrived before this sequence: the history as it was known then.
            behaviour: Only what the user did, not what they were shown.
        """
        if limit is not None and limit < 0:
            raise DataError(f"limit = {limit} is negative", hint="give a number of events, or None for all")
        if not user_id.isprintable():
            return ()
        query = select(events).where(events.c.user_id == user_id)
        if before is not None:
            query = query.where(events.c.sequence < before)
        if behaviour:
            query = query.where(_BEHAVIOUR)
        newest = query.order_by(events.c.time.desc().nulls_last(), events.c.sequence.desc()).limit(limit)
        return tuple(_event(row) for row in reversed(self._rows(newest)))

    def events_by_user(self, *, recommended: bool = False) -> Iterator[Event]:
        """All events, user after user in the order of their ids, each user's as `events` has them; page by page.

        Args:
            recommended: Only events that belong to a recommendation: what was shown, and what was done about it.
        """
        order = (events.c.user_id, events.c.time.asc().nulls_first(), events.c.sequence)
        query = select(events).order_by(*order).limit(_PAGE)
        if recommended:
            query = query.where(events.c.recommendation_id.is_not(None))
        page: Sequence[Row[Any]] = self._rows(query)
        while page:
            yield from map(_event, page)
            page = self._rows(query.where(_after(page[-1])))

    def events_to_learn_from(self) -> Iterator[Event]:
        """As `events_by_user`, without those of users who keep out of learning."""
        silent = {user.user_id for user in self.users() if not user.teaches}
        return (event for event in self.events_by_user() if event.user_id not in silent)

    def seen(self, user_id: str) -> frozenset[str]:
        """Ids of the items the user has done anything with; being shown one does not count."""
        if not user_id.isprintable():
            return frozenset()
        query = select(events.c.item_id).where(events.c.user_id == user_id, _ON_AN_ITEM).distinct()
        return frozenset(row[0] for row in self._rows(query))

    def hidden(self, user_id: str) -> frozenset[str]:
        """Ids of the items that the user hid and did not ask for again since, in the order of arrival."""
        if not user_id.isprintable():
            return frozenset()
        words = select(events.c.item_id, events.c.kind).where(
            events.c.user_id == user_id, events.c.item_id.is_not(None), events.c.kind.in_(_LAST_WORDS)
        )
        last = {row.item_id: row.kind for row in self._rows(words.order_by(events.c.sequence))}
        return frozenset(item_id for item_id, kind in last.items() if kind in Event.HIDING)

    def event_count(self, user_id: str, *, behaviour: bool = False) -> int:
        """How many events the user has; with `behaviour`, only those of what they did, not of what they were shown."""
        query = select(func.count()).select_from(events).where(events.c.user_id == user_id)
        if behaviour:
            query = query.where(_BEHAVIOUR)
        return int(self._rows(query)[0][0]) if user_id.isprintable() else 0

    def append(self, event: Event) -> Event:
        """Keep one event; it is on disk, with its sequence, when this returns.

        Sending an event again under the same event_id changes nothing and returns what is stored. A time that is
        missing becomes now, a missing event_id a random one.

        Raises:
            UnknownItemError: The item was never stored.
            ConflictError: The event_id belongs to another event.
            BusyError: Another process kept the database locked for too long.
        """
        return self.append_many([event])[0]

    def append_many(self, new: Iterable[Event], *, burst: float = 0.0) -> tuple[Event, ...]:
        """Keep several events in one transaction: all of them or, on any error, none.

        Args:
            new: The events.
            burst: An event without an id of its own repeats one with the same content that is so many seconds from it
                or fewer; that one is returned.
        """
        new, now = list(new), datetime.now(UTC)
        unnamed = [event.event_id is None for event in new]
        complete = [
            replace(event, timestamp=event.timestamp or now, event_id=event.event_id or uuid4().hex) for event in new
        ]
        with writing(self.engine) as connection:
            return tuple(
                (self._repeated(connection, event, burst) if burst and is_unnamed else None)
                or self._append(connection, event)
                for event, is_unnamed in zip(complete, unnamed, strict=True)
            )

    def users_with_history(self, minimum: int) -> list[str]:
        """Ids of the users with at least `minimum` events on items (impressions apart), in order."""
        query = select(events.c.user_id).where(_ON_AN_ITEM).group_by(events.c.user_id)
        return [row[0] for row in self._rows(query.having(func.count() >= minimum).order_by(events.c.user_id))]

    def counts(self) -> dict[str, int]:
        """How many users, items and events there are."""
        tables = {"users": users, "items": items, "events": events}
        with reading(self.engine) as connection:
            return {
                name: connection.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables.items()
            }

    def texts(self, sequences: Iterable[int]) -> dict[int, str]:
        """The texts of events by their sequences; those that were taken back are missing."""
        found: dict[int, str] = {}
        remaining = iter(sequences)
        while chunk := list(islice(remaining, _PAGE)):
            rows = self._rows(select(events.c.sequence, events.c.text).where(events.c.sequence.in_(chunk)))
            found.update((row.sequence, row.text) for row in rows if row.text)
        return found

    def last_sequence(self) -> int:
        """The sequence of the newest event, 0 where there is none."""
        return int(self._rows(select(func.coalesce(func.max(events.c.sequence), 0)))[0][0])

    def forget(self, user_id: str) -> dict[str, int]:
        """Delete a user, what they did and what was recommended to them; how many of each there were."""
        if not user_id.isprintable():
            return {"events": 0, "recommendations": 0, "turns": 0, "users": 0}
        with writing(self.engine) as connection:
            return forget(connection, user_id)

    def take_back(self, user_id: str, event_ids: Sequence[str], *, learnt: int = 0) -> int:
        """Delete some events of a user, as they wish.

        Args:
            user_id: Whose events.
            event_ids: Which; those of others stay.
            learnt: The newest event that a release may have learnt from: where an older one goes, releases made before
                are marked as after `forget`.
        """
        if not user_id.isprintable() or not event_ids:
            return 0
        with writing(self.engine) as connection:
            return take_back(connection, user_id, event_ids, learnt)

    def last_forgotten(self) -> datetime | None:
        """When a user was deleted last, or None."""
        with reading(self.engine) as connection:
            return last_forgotten(connection)

    # --- how

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with reading(self.engine) as connection:
            return connection.execute(query).all()

    def _append(self, connection: Connection, event: Event) -> Event:
        stored = connection.execute(select(events).where(events.c.event_id == event.event_id)).one_or_none()
        if stored is not None:
            return _same(event, _event(stored))
        if event.item_id is not None and not connection.scalar(
            select(func.count()).select_from(items).where(items.c.item_id == event.item_id)
        ):
            raise self._unknown_items([event.item_id])
        connection.execute(insert_or_ignore(connection, users).values(user_id=event.user_id, attributes={}))
        row = event_row(event)
        sequence = connection.scalar(events.insert().values(row).returning(events.c.sequence))
        return replace(event, sequence=sequence)

    def _repeated(self, connection: Connection, event: Event, burst: float) -> Event | None:
        """A stored event that this one says again."""
        assert event.timestamp is not None
        near = timedelta(seconds=burst)
        content = {name: getattr(event, name) for name in (*_CONTENT, "recommendation_id")}
        # Not IS NOT DISTINCT FROM, for which PostgreSQL takes no index.
        same = [
            events.c[name].is_(None) if value is None else events.c[name] == value for name, value in content.items()
        ]
        around = events.c.time.between(event.timestamp - near, event.timestamp + near)
        row = connection.execute(select(events).where(*same, around).limit(1)).one_or_none()
        return None if row is None else _event(row)

    def _unknown_items(self, unknown: list[str]) -> UnknownItemError:
        known = [row[0] for row in self._rows(select(items.c.item_id).limit(_COMPARED))]
        close = difflib.get_close_matches(unknown[0], known, n=3)
        shown = ", ".join(repr(item_id) for item_id in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        return UnknownItemError(
            f"there is no item {shown}{more}",
            hint=f"did you mean {', '.join(close)}?" if close else "import the item first, or check the id",
        )


_LAST_WORDS = sorted(Event.HIDING | Event.SHOWING)
_BEHAVIOUR = events.c.kind.not_in(sorted(Event.PASSIVE))
_ON_AN_ITEM = events.c.item_id.is_not(None) & _BEHAVIOUR


def _after(last: Row[Any]) -> ColumnElement[bool]:
    """Of all events by user, time and sequence, those after one; users are bounded apart, which an index can use."""
    if last.time is None:
        later = or_(events.c.time.is_not(None), events.c.sequence > last.sequence)
    else:
        later = or_(events.c.time > last.time, and_(events.c.time == last.time, events.c.sequence > last.sequence))
    return and_(events.c.user_id >= last.user_id, or_(events.c.user_id > last.user_id, later))


def event_row(event: Event) -> dict[str, Any]:
    """The columns of an event; the database gives it its sequence."""
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "kind": event.kind,
        "value": event.value,
        "text": event.text,
        "time": event.timestamp,
        "recommendation_id": event.recommendation_id,
    }


def _same(sent: Event, stored: Event) -> Event:
    different = [name for name in _CONTENT if getattr(sent, name) != getattr(stored, name)]
    if different:
        raise ConflictError(
            f"event_id = {sent.event_id!r} is taken by an event with another {different[0]}",
            hint="give each event an id of its own; send the same id only to repeat the same event",
        )
    return stored


def _user(row: Row[Any]) -> User:
    return User(row.user_id, row.attributes)


def _item(row: Row[Any]) -> Item:
    return Item(row.item_id, row.title, row.description, row.attributes)


def _event(row: Sequence[Any]) -> Event:
    # By place, not by name: a request reads hundreds of them.
    sequence, event_id, user_id, item_id, kind, value, text, time, recommendation_id = row
    return Event(user_id, item_id, kind, value, text, time, event_id, recommendation_id, sequence)
