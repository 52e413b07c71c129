"""A contact's transactions by age, so that what is open of one of them is asked without a look at the older ones."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before finds a contact's transactions along the new index as well."""
    op.create_index(
        "transactions_of_contact_idx",
        "transactions",
        ["contact_id", "ledger_id", sa.literal_column("(case when due_date is null then transaction_date else due_date end)")],
        unique=False,
        schema="debitum",
    )
    op.drop_index("transactions_contact_id_idx", table_name="transactions", schema="debitum")
