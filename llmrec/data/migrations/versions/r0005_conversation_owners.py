"""Turns: whose a conversation is, found without reading all."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_turns_owner", "turns", ["conversation_id"])
