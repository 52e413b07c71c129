"""A push target is found by its value: it moves to the device that names it last."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it writes no push targets."""
    op.create_index(
        "devices_push_value_idx",
        "devices",
        ["push_value"],
        schema="debitum",
        postgresql_where=sa.text("push_value is not null"),
    )
