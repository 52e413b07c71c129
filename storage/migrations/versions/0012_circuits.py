"""Providers that are down: left alone for a while, and seen by operators."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before does not know the table, and goes on without it."""
    op.create_table(
        "circuits",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=False, comment="nobody asks it before"),
        sa.Column("detail", sa.Text(), nullable=False, comment="what it answered"),
        sa.CheckConstraint("channel in ('email', 'push')", name=op.f("circuits_channel_check")),
        sa.PrimaryKeyConstraint("channel", "provider", name=op.f("circuits_pkey")),
        schema="debitum",
    )
    op.execute("grant select, insert, update, delete on debitum.circuits to debitum_jobs")
