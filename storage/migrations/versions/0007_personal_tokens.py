"""Personal tokens: what a user gives to a program that is no device."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it does not know the table."""
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="null: never"),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="to the minute"),
        sa.CheckConstraint("scope in ('read', 'write')", name=op.f("personal_tokens_scope_check")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["debitum.users.id"], name=op.f("personal_tokens_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("personal_tokens_pkey")),
        sa.UniqueConstraint("hash", name=op.f("personal_tokens_hash_key")),
        schema="debitum",
    )
    op.create_index(op.f("personal_tokens_user_id_idx"), "personal_tokens", ["user_id"], unique=False, schema="debitum")
    op.execute("grant select, insert, update, delete on debitum.personal_tokens to debitum_api")
