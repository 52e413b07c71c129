"""Every unique key of a ledger's tables begins with the ledger: who owns it is unique in users, which say which ledger is theirs."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before makes a ledger and its owner in one transaction, where users are unique."""
    op.create_index("ledgers_owner_id_idx", "ledgers", ["owner_id"], unique=False, schema="debitum")
    op.drop_constraint("ledgers_owner_id_key", "ledgers", schema="debitum", type_="unique")
