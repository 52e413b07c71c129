"""Where the few events lie that are too large for a page of many."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before takes no notice."""
    op.create_index(
        "events_large_idx",
        "events",
        ["ledger_id", "seq"],
        unique=False,
        schema="debitum",
        postgresql_where=sa.text("coalesce(octet_length(fact), octet_length(sealed)) > 65536"),
    )
