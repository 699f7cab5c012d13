"""What was recommended: which list, by which release, as of which event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "recommendations",
        sa.Column("recommendation_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("items", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("recommendation_id", name="pk_recommendations"),
    )
    op.create_index("ix_recommendations_user", "recommendations", ["user_id", "time"])
