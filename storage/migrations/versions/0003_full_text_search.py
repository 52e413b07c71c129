"""Stub: filled in or removed before it lands."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves."""
