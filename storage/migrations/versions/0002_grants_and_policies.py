"""Who may do what: grants per role, and row-level security on every table whose rows belong to one ledger."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDENTITY = "users, devices, sessions, refresh_tokens, one_time_tokens"
PROJECTIONS = "contacts, transactions, reminders, conflicts"
GRANTS = {
    "debitum_api": [
        ("select, insert, update, delete", IDENTITY),
        ("select, insert, update", f"ledgers, rejections, {PROJECTIONS}"),
        ("select, insert", "events, postings"),
        ("select, insert, update", "outbox"),
        ("select", "balances, projection_marks, delivery_attempts"),
    ],
    "debitum_jobs": [
        ("select", f"users, ledgers, events, postings, rejections, {PROJECTIONS}"),
        ("update (dirty)", "ledgers"),
        ("delete", "rejections, sessions, refresh_tokens, one_time_tokens"),
        ("select", "devices, sessions, refresh_tokens, one_time_tokens"),
        ("insert, update", "one_time_tokens"),
        ("update (push_kind, push_value)", "devices"),
        ("select, insert, update, delete", "balances, projection_marks, outbox, delivery_attempts"),
    ],
    "debitum_report": [
        ("select", f"events, postings, rejections, {PROJECTIONS}, balances, projection_marks, outbox, delivery_attempts"),
        ("select (id, owner_id, version, recorded_at, dirty, created_at)", "ledgers"),
        ("select (id, time_zone, locale, default_currency, created_at, deleting_at)", "users"),
    ],
}
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
NAMED_LEDGERS = "(select coalesce(nullif(current_setting('app.ledgers', true), ''), '{}'))::uuid[]"
"""After a transaction that set it locally the setting is '' and not null: hence nullif."""
# A policy must not look like something that an index can answer: see docs/decisions/0007.


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves."""
    op.execute("set local search_path = debitum")
    for role, grants in GRANTS.items():
        for privileges, tables in grants:
            op.execute(f"grant {privileges} on {tables} to {role}")
    op.execute("grant select on alembic_version to debitum_api, debitum_jobs, debitum_report")
    for table, column in PER_LEDGER.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        named = f"{NAMED_LEDGERS} @> array[{column}]"
        op.execute(f"create policy {table}_api on {table} to debitum_api using ({named}) with check ({named})")
        op.execute(
            f"create policy {table}_all on {table} to debitum_owner, debitum_jobs, debitum_report using (true) with check (true)"
        )
    op.execute(
        """
        create function projection_lag_seconds() returns double precision
        language sql stable security definer set search_path = debitum, pg_temp
        return (select extract(epoch from clock_timestamp() - min(recorded_at))::double precision from ledgers where dirty)
        """
    )
    op.execute("comment on function projection_lag_seconds() is 'One number over all ledgers, for a role that sees none of them.'")
    op.execute("revoke execute on function projection_lag_seconds() from public")
    op.execute("grant execute on function projection_lag_seconds() to debitum_api, debitum_jobs, debitum_report")
