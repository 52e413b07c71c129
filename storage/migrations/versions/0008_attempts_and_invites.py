"""Wrong passwords, which make the next try wait; and invitations, which let somebody register."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it knows neither table."""
    op.create_table(
        "login_attempts",
        sa.Column(
            "key", sa.LargeBinary(), nullable=False, comment="keyed hash of what somebody signs in as, or of where from"
        ),
        sa.Column("failures", sa.Integer(), nullable=False, comment="wrong passwords in a row"),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("failures > 0", name=op.f("login_attempts_failures_is_positive_check")),
        sa.PrimaryKeyConstraint("key", name=op.f("login_attempts_pkey")),
        schema="debitum",
    )
    op.create_index(op.f("login_attempts_last_at_idx"), "login_attempts", ["last_at"], unique=False, schema="debitum")
    op.create_table(
        "invites",
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("email", sa.Text(), nullable=True, comment="who may use it, lower-cased; null: whoever has it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("email = lower(email)", name=op.f("invites_email_is_lower_case_check")),
        sa.PrimaryKeyConstraint("hash", name=op.f("invites_pkey")),
        schema="debitum",
    )
    op.create_index(op.f("invites_expires_at_idx"), "invites", ["expires_at"], unique=False, schema="debitum")
    op.execute("grant select, insert, update, delete on debitum.login_attempts, debitum.invites to debitum_api")
    op.execute("grant select, delete on debitum.login_attempts, debitum.invites, debitum.personal_tokens to debitum_jobs")
