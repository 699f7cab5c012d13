"""Turns: whether the user liked the reply, and what it explained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("thumb", sa.Boolean, nullable=True))
    op.add_column("turns", sa.Column("explained", sa.Text, nullable=True))
