"""An UNDO finds the conflicts that the undone event had settled; policies cost a third and are estimated right."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PER_LEDGER = {
    "ledgers": "id",
    "events": "ledger_id",
    "rejections": "ledger_id",
    "contacts": "ledger_id",
    "transactions": "ledger_id",
    "reminders": "ledger_id",
    "postings": "ledger_id",
    "conflicts": "ledger_id",
    "balances": "ledger_id",
    "projection_marks": "ledger_id",
    "outbox": "ledger_id",
    "delivery_attempts": "ledger_id",
}
NAMED_LEDGERS = "(select coalesce(nullif(current_setting('app.ledgers', true), ''), '{}')::uuid[])"
"""The cast stands inside: outside it was done for every row."""


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves."""
    op.execute("create index conflicts_resolved_by_idx on debitum.conflicts (resolved_by) where resolved_by is not null")
    for table, column in PER_LEDGER.items():
        named = f"array_position({NAMED_LEDGERS}, {column}) is not null"
        op.execute(f"alter policy {table}_api on debitum.{table} using ({named}) with check ({named})")
