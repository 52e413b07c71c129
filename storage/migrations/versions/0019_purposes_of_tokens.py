"""One-time tokens are for what something writes: links that unsubscribe are signed by the ledger, invitations have a table."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before writes no other purpose."""
    name = op.f("one_time_tokens_purpose_check")
    op.drop_constraint(name, "one_time_tokens", type_="check", schema="debitum")
    op.create_check_constraint(name, "one_time_tokens", "purpose in ('verify', 'reset')", schema="debitum")
