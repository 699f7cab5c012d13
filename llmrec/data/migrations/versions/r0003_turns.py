"""Conversations: what was said, what was answered, and what holds since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "turns",
        # Named on the column, not as a constraint: only so does SQLite take AUTOINCREMENT.
        sa.Column("turn", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("conversation_id", _ID, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("answered", sa.Text, nullable=False),
        sa.Column("actions", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_turns_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_turns_conversation", "turns", ["user_id", "conversation_id", "turn"])
