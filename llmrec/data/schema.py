"""The tables, alike on SQLite and PostgreSQL.

A change here needs a new revision in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

from llmrec.records import AttributeValue

__all__ = [
    "Attributes",
    "Id",
    "Moment",
    "aliases",
    "events",
    "items",
    "meta",
    "metadata",
    "recommendations",
    "release_log",
    "turns",
    "users",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware time as UTC microseconds: exact, comparable, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002, D102
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else _EPOCH + value * _MICROSECOND


class Attributes(TypeDecorator[Mapping[str, AttributeValue]]):
    """Attributes as JSON text: in the order given, and comparable, which PostgreSQL's own json type is not."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, AttributeValue] | None, dialect: Dialect) -> str:  # noqa: ARG002, D102
        return json.dumps(dict(value or {}), ensure_ascii=False, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any]:  # noqa: ARG002, D102
        pairs = json.loads(value or "{}").items()
        return {name: tuple(part) if isinstance(part, list) else part for name, part in pairs}


# PostgreSQL would sort ids by the server's locale; this way both databases, and Python, agree on the order.
Id = Text().with_variant(Text(collation="C"), "postgresql")
_Sequence = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("attributes", Attributes, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Id, primary_key=True),
    # The order of arrival, never reused: rows of an index built earlier keep their meaning.
    Column("position", Integer, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("attributes", Attributes, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("event_id", Id, nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("users.user_id"), nullable=False),
    Column("item_id", Id, ForeignKey("items.item_id")),
    Column("kind", Text, nullable=False),
    Column("value", Double),
    Column("text", Text),
    Column("time", Moment),
    Column("recommendation_id", Text),
    Index("ix_events_history", "user_id", "time", "sequence"),
    Index("ix_events_item", "item_id", "kind"),
    sqlite_autoincrement=True,
)

recommendations = Table(
    "recommendations",
    metadata,
    Column("recommendation_id", Id, primary_key=True),
    # No foreign key: a recommendation for somebody nobody knows yet makes no user.
    Column("user_id", Id, nullable=False),
    Column("release", Text, nullable=False),
    Column("prompt", Text),
    Column("time", Moment, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("items", Text, nullable=False),
    Index("ix_recommendations_user", "user_id", "time"),
)

turns = Table(
    "turns",
    metadata,
    Column("turn", _Sequence, primary_key=True, autoincrement=True),
    Column("user_id", Id, ForeignKey("users.user_id"), nullable=False),
    Column("conversation_id", Id, nullable=False),
    Column("time", Moment, nullable=False),
    Column("said", Text, nullable=False),
    Column("answered", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("state", Text, nullable=False),
    # Whether the user liked the reply, and what it explained.
    Column("thumb", Boolean),
    Column("explained", Text),
    Index("ix_turns_conversation", "user_id", "conversation_id", "turn"),
    Index("ix_turns_owner", "conversation_id"),
    sqlite_autoincrement=True,
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("task", Text, primary_key=True),
    Column("release", Text, nullable=False),
    Column("previous", Text),
)

release_log = Table(
    "release_log",
    metadata,
    Column("number", _Sequence, primary_key=True, autoincrement=True),
    Column("time", Moment, nullable=False),
    Column("task", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_autoincrement=True,
)
