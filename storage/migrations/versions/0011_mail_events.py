"""Addresses that mails come back from: what the provider said, and what became of the address."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it knows neither table nor columns."""
    op.add_column("users", sa.Column("mail_problem", sa.Text(), nullable=True), schema="debitum")
    op.add_column("users", sa.Column("mail_problem_at", sa.DateTime(timezone=True), nullable=True), schema="debitum")
    op.create_check_constraint(
        op.f("users_mail_problem_check"), "users", "mail_problem in ('bounced', 'complained')", schema="debitum"
    )
    op.create_check_constraint(
        op.f("users_mail_problem_is_whole_check"), "users", "(mail_problem is null) = (mail_problem_at is null)", schema="debitum"
    )
    op.create_table(
        "mail_events",
        sa.Column("id", sa.Text(), nullable=False, comment="the provider's: it tells the same often"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('bounced', 'complained')", name=op.f("mail_events_kind_check")),
        sa.ForeignKeyConstraint(["user_id"], ["debitum.users.id"], name=op.f("mail_events_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("mail_events_pkey")),
        schema="debitum",
    )
    op.create_index(op.f("mail_events_user_id_idx"), "mail_events", ["user_id"], unique=False, schema="debitum")
    op.create_index(op.f("mail_events_at_idx"), "mail_events", ["at"], unique=False, schema="debitum")
    op.execute("grant select, insert on debitum.mail_events to debitum_api")
    op.execute("grant select, delete on debitum.mail_events to debitum_jobs")
