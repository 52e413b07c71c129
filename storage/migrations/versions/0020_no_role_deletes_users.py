"""A user goes by erase_user alone: whoever could delete one deleted the head of their ledger with it, and left its log behind."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before deletes devices, and of these tables nothing."""
    op.execute("revoke delete on debitum.users, debitum.sessions, debitum.refresh_tokens from debitum_api")
    op.execute("revoke delete on debitum.one_time_tokens, debitum.invites from debitum_api")
