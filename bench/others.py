"""The history of other people: whole ledgers that nobody measures, made by Postgres itself, so that the tables are large."""

import json
import random
from typing import Final

import psycopg

from bench import filling
from bench.search import VOCABULARY
from domain import words
from storage import urls

CONTACTS: Final = 4
"""Of each ledger: its first facts. The others are debts of one after the other."""
FACTS: Final = 100
"""Of each ledger."""
TEXTS: Final = 1_000
"""Different descriptions."""
BULK: Final = ("events", "transactions", "postings", "contacts", "balances")
"""Their keys and indexes are made in the end, as the schema has them."""


def fill(url: str, events: int) -> None:
    """`events` facts of people with FACTS each, with all that follows from them, up to covered balances and sessions.

    Rows lie in the order in which they would have been recorded, ledger after ledger in turn, and ids are random. A fact reads
    as the real one of such a debt does, but nobody has the keys of these ledgers, and their hashes are no chain.
    """
    bound = {"ledgers": events // FACTS, "facts": FACTS, "contacts": CONTACTS, "texts": json.dumps(_texts())}
    with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute("set maintenance_work_mem = '512MB'")
        connection.execute(_PEOPLE, bound)
        anew = [line for table in BULK for line in _strip(connection, table)]
        for statement in (_TEXTS, _CONTACTS, _DEBTS, _EVENTS_OF_CONTACTS, _EVENTS_OF_DEBTS, _POSTINGS, _BALANCES, _HEADS, _MARKS):
            connection.execute(statement, bound)
        connection.execute("drop table said")
        for line in anew:
            connection.execute(line)  # SQL that Postgres gave us
        filling.settle(connection)


def _texts() -> list[dict[str, object]]:
    dice = random.Random(1)
    said = [" ".join(dice.choices(VOCABULARY, k=dice.randint(2, 6))) for _ in range(TEXTS)]
    return [{"n": number, "description": one, "words": words.vector({"B": one})} for number, one in enumerate(said)]


def _strip(connection: psycopg.Connection[tuple[object, ...]], table: str) -> list[bytes]:
    """Drop the keys and indexes of a table; the statements that make them anew."""
    rows = connection.execute(_INDEXES, {"table": f"debitum.{table}"}).fetchall()
    for drop, _ in rows:
        connection.execute(str(drop).encode())
    return [str(make).encode() for _, make in rows]


_INDEXES: Final = """
    select case when conname is null then format('drop index %%s', indexrelid::regclass)
                else format('alter table %%s drop constraint %%I', indrelid::regclass, conname) end,
           case when conname is null then pg_get_indexdef(indexrelid)
                else format('alter table %%s add constraint %%I %%s', indrelid::regclass, conname, pg_get_constraintdef(oid)) end
    from pg_index left join pg_constraint on conindid = indexrelid and contype in ('p', 'u')
    where indrelid = %(table)s::regclass
"""
_PEOPLE: Final = """
    with made as (
        insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                                   created_at)
        select md5('other user ' || n)::uuid, md5('other ' || n)::uuid, n || '@other.example.org', '', 'UTC', 'en', 'EUR', '{}',
               now()
        from generate_series(0, %(ledgers)s - 1) n
        returning id, ledger_id
    ), device as (
        insert into debitum.devices (user_id, id, name, created_at, last_seen_at) select id, id, 'bench', now(), now() from made
    ), session as (
        insert into debitum.sessions (id, user_id, device_id, created_at, last_used_at, expires_at)
        select id, id, id, now(), now(), now() + interval '30 days' from made
    )
    insert into debitum.ledgers (id, owner_id, data_key, created_at)
    select ledger_id, id, sha256(uuid_send(id)) || sha256(uuid_send(id)), now() from made
"""
_TEXTS: Final = """
    create temporary table said as
    select n, description, words::tsvector from json_to_recordset(%(texts)s) as texts(n int, description text, words text)
"""
_CONTACTS: Final = """
    insert into debitum.contacts (ledger_id, id, created_seq, created_at, changed_seq, updated_at, marks, name, words)
    select md5('other ' || ledger)::uuid, md5('other contact ' || ledger || ' ' || seq)::uuid, seq, now(), seq, now(), '{}',
           'Contact ' || seq, to_tsvector('simple', 'Contact ' || seq)
    from generate_series(1, %(contacts)s) seq, generate_series(0, %(ledgers)s - 1) ledger
"""
_DEBTS: Final = """
    insert into debitum.transactions (ledger_id, id, created_seq, created_device, created_at, changed_seq, updated_at, marks,
                                      contact_id, type, direction, amount, currency, description, transaction_date, due_date,
                                      due_changed_at, words)
    select md5('other ' || ledger)::uuid, gen_random_uuid(), seq, md5('other user ' || ledger)::uuid, now(), seq, now(), '{}',
           md5('other contact ' || ledger || ' ' || 1 + seq %% %(contacts)s)::uuid, 'money',
           case seq %% 3 when 0 then 'owed' else 'lent' end, 1 + (ledger * 31 + seq * 97) %% 9973, 'EUR', description,
           date '2026-01-01' + seq, date '2026-02-01' + seq, now(), words
    from generate_series(%(contacts)s + 1, %(facts)s) seq, generate_series(0, %(ledgers)s - 1) ledger
    join said on said.n = ledger %% 1000
"""
_EVENTS: Final = """
    insert into debitum.events (ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, device_id, status,
                                recorded_at, fingerprint, hash, fact)
    select ledger_id, created_seq, event_id, '{kind}', id, 'CREATED', {device}, 'accepted', created_at,
           sha256(uuid_send(event_id)), sha256(uuid_send(id)),
           format('{{"aggregate_id":"%%s","aggregate_type":"{kind}","base_seq":%%s,"changes":[{{"aggregate_id":"%%s",'
                  '"aggregate_type":"{kind}","fields":{{{fields}}},"op":"create"}}],{device_id}"event_data":{{{data}}},'
                  '"event_type":"CREATED","id":"%%s","recorded_at":%%s,"seq":%%s,"status":"accepted","timestamp":%%s}}',
                  id, created_seq - 1, id, {values}, event_id, to_json(created_at), created_seq, to_json(created_at))
    from (select *, gen_random_uuid() as event_id from debitum.{table}) made
"""
_EVENTS_OF_CONTACTS: Final = _EVENTS.format(
    kind="contact",
    table="contacts",
    device="null",
    device_id="",
    fields='"name":[null,"%%s"]',
    data='"name":"%%s"',
    values="name, name",
)
_EVENTS_OF_DEBTS: Final = _EVENTS.format(
    kind="transaction",
    table="transactions",
    device="created_device",
    device_id='"device_id":"%%s",',
    fields='"amount":[null,%%s],"contact_id":[null,"%%s"],"currency":[null,"EUR"],"description":[null,"%%s"],'
    '"direction":[null,"%%s"],"due_date":[null,"%%s"],"transaction_date":[null,"%%s"],"type":[null,"money"]',
    data='"amount":%%s,"contact_id":"%%s","currency":"EUR","description":"%%s","direction":"%%s","due_date":"%%s",'
    '"transaction_date":"%%s"',
    values="amount, contact_id, description, direction, due_date, transaction_date, created_device,"
    " amount, contact_id, description, direction, due_date, transaction_date",
)
_POSTINGS: Final = """
    insert into debitum.postings (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
    select ledger_id, created_seq, 0, contact_id, id, currency, case direction when 'lent' then amount else -amount end,
           transaction_date, created_at
    from debitum.transactions
"""
_BALANCES: Final = """
    insert into debitum.balances (ledger_id, contact_id, currency, amount)
    select ledger_id, contact_id, currency, sum(amount)::bigint from debitum.postings group by 1, 2, 3 having sum(amount) <> 0
"""
_HEADS: Final = """
    update debitum.ledgers
    set version = %(facts)s, recorded_at = now(), head_hash = sha256(uuid_send(id)), turnover = summed.turnover
    from (select ledger_id, sum(abs(amount)) as turnover from debitum.postings group by 1) summed where ledger_id = ledgers.id
"""
_MARKS: Final = """
    insert into debitum.projection_marks (ledger_id, covered_seq, materialized_at) select id, version, now() from debitum.ledgers
"""
