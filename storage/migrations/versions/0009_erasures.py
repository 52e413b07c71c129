"""Erasures: that a user's data is gone, without saying whose."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it does not know the table."""
    op.execute("set local search_path = debitum")
