"""Erasures: that a user's data is gone, without saying whose; and the functions that erase, since no role may."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before must go on working on what this leaves: it does not know the table."""
    op.execute("set local search_path = debitum")
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ledger_digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the 16 bytes of the ledger's id"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="from when on it could be erased"),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "removed",
            postgresql.JSONB(),
            nullable=False,
            comment="{table: rows}, and how many files and snapshot_files the run that ended it removed and re-wrote",
        ),
        sa.CheckConstraint("octet_length(ledger_digest) = 32", name=op.f("erasures_digest_is_sha256_check")),
        sa.CheckConstraint("due_at <= erased_at", name=op.f("erasures_erased_when_due_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("erasures_pkey")),
        schema="debitum",
    )
    op.create_index(op.f("erasures_ledger_digest_idx"), "erasures", ["ledger_digest"], unique=False, schema="debitum")
    op.execute("grant select on debitum.erasures to debitum_jobs, debitum_report")
    for signature, comment, create in FUNCTIONS:
        op.execute(create)
        op.execute(f"comment on function {signature} is '{comment}'")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to debitum_jobs")


# The head first, as every writer does: a write in flight is over and erased with the rest, or finds no ledger. Each statement
# has its own snapshot, so that what a lock was waited for is seen. The tables are named at run time: a rebuild replaces them.
ERASE_USER = """
create function erase_user(who uuid, calls_seen bigint, files bigint, snapshot_files bigint) returns jsonb
language plpgsql volatile security definer set search_path = debitum, pg_temp as $$
declare
    ledger uuid;
    address text;
    due timestamptz;
    named text;
    found_rows bigint;
    removed jsonb := jsonb_build_object('files', files, 'snapshot_files', snapshot_files);
begin
    select u.ledger_id into ledger from users u where u.id = who;
    perform from ledgers l where l.id = ledger for update;
    select u.email, u.deleting_at into address, due
    from users u where u.id = who and u.deleting_at <= clock_timestamp() for update;
    if not found then
        return null;
    end if;

    -- A rebuild grows copies of the tables in a schema of its own: none may be at it, and none may have left it there.
    if not pg_try_advisory_xact_lock_shared(hashtext('debitum rebuild')) then
        raise exception 'a rebuild is at work' using errcode = 'object_in_use';
    end if;
    drop schema if exists debitum_rebuild cascade;

    -- A message that is handed over now, or was since the files were looked through, may be a file that nobody removed.
    perform from outbox o where o.ledger_id = ledger for update;
    if exists (select from outbox o where o.ledger_id = ledger and o.lease_until > clock_timestamp())
       or (select count(*) from delivery_attempts a where a.ledger_id = ledger) <> calls_seen then
        raise exception 'a message is on its way' using errcode = 'object_in_use';
    end if;

    -- The marks before the balances: whoever is adding to the balances holds the mark.
    foreach named in array array[
        'projection_marks', 'balances', 'delivery_attempts', 'outbox', 'postings', 'conflicts', 'reminders', 'transactions',
        'contacts', 'rejections', 'events'
    ] loop
        execute format('delete from debitum.%I where ledger_id = $1', named) using ledger;
        get diagnostics found_rows = row_count;
        removed := removed || jsonb_build_object(named, found_rows);
    end loop;

    delete from refresh_tokens r using sessions s where s.id = r.session_id and s.user_id = who;
    get diagnostics found_rows = row_count;
    removed := removed || jsonb_build_object('refresh_tokens', found_rows);
    foreach named in array array['sessions', 'devices', 'personal_tokens', 'one_time_tokens'] loop
        execute format('delete from debitum.%I where user_id = $1', named) using who;
        get diagnostics found_rows = row_count;
        removed := removed || jsonb_build_object(named, found_rows);
    end loop;
    delete from invites i where i.email = address;
    get diagnostics found_rows = row_count;
    removed := removed || jsonb_build_object('invites', found_rows);
    delete from ledgers l where l.id = ledger;
    get diagnostics found_rows = row_count;
    removed := removed || jsonb_build_object('ledgers', found_rows);
    delete from users u where u.id = who;
    removed := removed || jsonb_build_object('users', 1);

    insert into erasures (id, ledger_digest, due_at, erased_at, removed)
    values (gen_random_uuid(), sha256(uuid_send(ledger)), due, clock_timestamp(), removed);
    return removed;
end
$$
"""

MARK_RESURRECTED = """
create function mark_resurrected() returns setof uuid
language sql volatile security definer set search_path = debitum, pg_temp as $$
    update users u set deleting_at = clock_timestamp()
    where (u.deleting_at is null or u.deleting_at > clock_timestamp())
      and exists (select from erasures e where e.ledger_digest = sha256(uuid_send(u.ledger_id)))
    returning u.ledger_id
$$
"""

# ANALYZE of a table without rows leaves what it knew; from PostgreSQL 18 on that can be cleared.
RENEW_STATISTICS = """
create function renew_statistics(named text) returns void
language plpgsql volatile security definer set search_path = debitum, pg_temp as $$
begin
    if current_setting('server_version_num')::int >= 180000 then
        execute $clear$
            select pg_clear_attribute_stats('debitum', c.relname::text, a.attname::text, false)
            from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where c.relnamespace = 'debitum'::regnamespace and c.relkind = 'r' and c.relname = $1
        $clear$ using named;
    end if;
    execute format('analyze debitum.%I', named);
end
$$
"""

FUNCTIONS = [
    (
        "erase_user(uuid, bigint, bigint, bigint)",
        "Removes every row of a user whose time has come, and records it; null where it has not, or the user is gone.",
        ERASE_USER,
    ),
    (
        "mark_resurrected()",
        "Users that were erased and came back with a restored backup are due at once; their ledgers.",
        MARK_RESURRECTED,
    ),
    (
        "renew_statistics(text)",
        "The planner keeps samples of values of a table: this takes new ones, of the rows that are there.",
        RENEW_STATISTICS,
    ),
]
"""The jobs role may erase who is due, and nobody else: it has no DELETE on the log, and no UPDATE on users."""
