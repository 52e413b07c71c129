"""Stub: filled in or removed before it lands."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves."""
