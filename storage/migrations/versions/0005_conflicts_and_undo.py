"""An UNDO finds the conflicts that the undone event had settled."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves."""
    op.execute("create index conflicts_resolved_by_idx on debitum.conflicts (resolved_by) where resolved_by is not null")
