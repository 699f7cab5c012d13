"""The first tables. There is no way down: feedback cannot be recomputed, so one goes back by restoring a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.create_table(
        "items",
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_items"),
        sa.UniqueConstraint("position", name="uq_items_position"),
    )
    _create_events()
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.create_table(
        "aliases",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.PrimaryKeyConstraint("task", name="pk_aliases"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        # Named on the column, not as a constraint: only so does SQLite take AUTOINCREMENT.
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("item_id", _ID),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("text", sa.Text),
        sa.Column("time", sa.BigInteger),
        sa.Column("recommendation_id", sa.Text),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_events_user_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name="fk_events_item_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_history", "events", ["user_id", "time", "sequence"])
    op.create_index("ix_events_item", "events", ["item_id", "kind"])
