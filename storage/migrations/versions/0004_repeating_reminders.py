"""Repeating reminders: on which days a rule may happen, and until when, so that an index finds the candidates of a day."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it knows no rules, and both stay null."""
    op.add_column(
        "reminders",
        sa.Column(
            "repeat_days",
            sa.ARRAY(sa.SmallInteger()),
            comment="marks of the days on which it may happen again (domain/recurrence.py)",
        ),
        schema="debitum",
    )
    op.add_column(
        "reminders",
        sa.Column("repeat_until", sa.Date(), comment="it happens on no later day, in whatever zone; null: there is no end"),
        schema="debitum",
    )
    op.create_check_constraint(
        op.f("reminders_repeat_days_iff_repeat_check"), "reminders", "(repeat is null) = (repeat_days is null)", schema="debitum"
    )
    op.create_check_constraint(
        op.f("reminders_repeat_until_only_of_repeating_check"),
        "reminders",
        "repeat_until is null or repeat is not null",
        schema="debitum",
    )
    op.create_index(
        "reminders_repeat_days_idx",
        "reminders",
        ["repeat_days"],
        schema="debitum",
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_seq is null and done_at is null and repeat_days is not null"),
    )
