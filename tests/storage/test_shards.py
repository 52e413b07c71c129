"""Postgres can be sharded by ledger: keys begin with it; a statement is of one ledger, of given ones, or a known fan-out."""

import types
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from storage import balances, current, ledgers, loading
from tests.fixtures import statements
from tests.fixtures.statements import FAN_OUTS, SIDE_BY_SIDE
from tests.storage import shards
from tests.storage.shards import Reach

FUNCTIONS = {
    "erase_user": "ledger by ledger, each table by its key; users, whose row it deletes, are everywhere",
    "mark_resurrected": "users and erasures, which are everywhere",
    "projection_lag_seconds": "a number over all shards",
    "renew_statistics": "analyses tables, which Citus does on every shard",
}
"""What Postgres runs by itself, and whose rows it touches."""
FRAGMENTS = ("storage.reports._KNOWN",)
"""With which other statements begin."""


# --- the catalogue --------------------------------------------------------------------------------------------------


def test_every_unique_key_of_a_ledger_begins_with_the_ledger(database: Engine) -> None:
    """Without it Postgres could not say on one shard that a key is new."""
    query = text("""
        select class.relname as name, key.relname as key, attribute.attname as first
        from pg_index index
        join pg_class class on class.oid = index.indrelid join pg_class key on key.oid = index.indexrelid
        left join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum = index.indkey[0]
        where class.relnamespace = 'debitum'::regnamespace and index.indisunique
    """)
    with database.connect() as connection:
        keys = connection.execute(query).all()
    assert {key.name for key in keys} == set(shards.KEYS) | shards.FREE
    assert [(key.key, key.first) for key in keys if key.name in shards.KEYS and key.first != shards.KEYS[key.name]] == []


def test_every_ledger_column_is_of_one_type_and_never_null(database: Engine) -> None:
    """Tables whose distribution columns are of one type can lie together."""
    query = text("""
        select relname as name, attname as column, atttypid::regtype::text as type, attnotnull as given from pg_attribute
        join pg_class on pg_class.oid = attrelid where relnamespace = 'debitum'::regnamespace and relkind = 'r' and attnum > 0
    """)
    with database.connect() as connection:
        columns = {(row.name, row.column): (row.type, row.given) for row in connection.execute(query)}
    assert {columns[key] for key in shards.KEYS.items()} == {("uuid", True)}
    assert {name for name, column in columns if column == "ledger_id"} - set(shards.KEYS) == {"users"}


def test_no_foreign_key_leads_from_one_ledger_to_another(database: Engine) -> None:
    """From a ledger's row to the same ledger's, or to a table that is everywhere; none from there into a ledger."""
    query = text("""
        select conname as name, c.relname as from_table, f.relname as to_table,
               array(select attname from unnest(conkey) k join pg_attribute a on a.attrelid = c.oid and a.attnum = k) as columns,
               array(select attname from unnest(confkey) k join pg_attribute a on a.attrelid = f.oid and a.attnum = k) as others
        from pg_constraint join pg_class c on c.oid = conrelid join pg_class f on f.oid = confrelid
        where contype = 'f' and c.relnamespace = 'debitum'::regnamespace
    """)
    with database.connect() as connection:
        keys = connection.execute(query).all()
    into = [key for key in keys if key.to_table in shards.KEYS]
    assert [key.name for key in into] == ["delivery_attempts_ledger_id_fkey"]
    assert all((key.columns[0], key.others[0]) == (shards.KEYS[key.from_table], shards.KEYS[key.to_table]) for key in into)


def test_nothing_else_of_a_ledger_is_for_a_whole_database(database: Engine) -> None:
    """Sequences, triggers, exclusions and rules would number, see or refuse what is on one shard."""
    names = ", ".join(f"'debitum.{name}'::regclass" for name in shards.KEYS)
    query = text(f"""
        select 'sequence ' || relname from pg_class where relkind = 'S' and relnamespace = 'debitum'::regnamespace
        union all select 'trigger ' || tgname from pg_trigger where not tgisinternal and tgrelid in ({names})
        union all select 'exclusion ' || conname from pg_constraint where contype = 'x' and conrelid in ({names})
        union all select 'rule ' || rulename from pg_rewrite where ev_class in ({names})
        union all select 'view ' || relname from pg_class where relkind in ('v', 'm') and relnamespace = 'debitum'::regnamespace
    """)
    with database.connect() as connection:
        assert list(connection.scalars(query)) == []
        functions = connection.scalars(text("select proname from pg_proc where pronamespace = 'debitum'::regnamespace"))
        assert set(functions) == set(FUNCTIONS)


# --- the statements -------------------------------------------------------------------------------------------------


def _constants() -> Iterator[tuple[str, str]]:
    """The statements that storage keeps: each with its name."""
    for module in statements.modules():
        for name, value in vars(module).items():
            for number, each in enumerate(value.values() if isinstance(value, dict) else [value]):
                if (sql := statements.sql_of(each)) is not None:
                    yield f"{module.__name__}.{name}" + (f"[{number}]" if isinstance(value, dict) else ""), sql


def test_every_statement_that_storage_keeps_can_be_judged() -> None:
    """What functions build is judged when it is sent, by whichever test does (tests/fixtures/statements.py)."""
    found = {name: shards.verdicts(sql) for name, sql in _constants() if name not in FRAGMENTS}
    assert len(found) > 80
    crossing = {name for name, each in found.items() if any(verdict.crosses for verdict in each)}
    assert crossing == {"storage.vitals.VITALS", "storage.backup.dumping._MOMENT", "storage.backup.restoring._RESTORED"}


def test_the_write_path_and_the_reads_of_many_are_of_given_ledgers() -> None:
    for sql in (
        ledgers._LOCK,
        ledgers._write_of(tuple(ledgers._WRITES)),
        loading._load_of(frozenset({"event", "transaction", "reminder", "contact"})),
        loading._load_of(frozenset({"transaction"})),
        current.CONTACTS,
        current.TRANSACTIONS,
        balances.CURRENT_OF_MANY,
    ):
        [verdict] = shards.verdicts(sql)
        assert (verdict.reach, verdict.crosses) == (Reach.GIVEN, False)


@pytest.mark.parametrize(
    ("sql", "reach", "crosses"),
    [
        ("select from debitum.users where id = %s", Reach.NONE, False),
        ("select from debitum.events where ledger_id = %(l)s::uuid and seq > 1", Reach.ONE, False),
        ("select from debitum.events where seq = 1", Reach.ALL, False),
        ("select from debitum.events where ledger_id = %s or seq = 1", Reach.ALL, False),
        ("select from debitum.events where not ledger_id = %s", Reach.ALL, False),
        ("select from debitum.events where ledger_id > %s", Reach.ALL, False),
        ("select from debitum.events where ledger_id = any(%s)", Reach.GIVEN, False),
        (
            "select from debitum.events where (ledger_id, seq) in (select * from unnest(%s::uuid[], %s::bigint[]))",
            Reach.GIVEN,
            False,
        ),
        ("select from debitum.events e join debitum.postings p using (ledger_id, seq) where e.ledger_id = %s", Reach.ONE, False),
        ("select from debitum.events e join debitum.postings p using (seq) where e.ledger_id = %s", Reach.ALL, True),
        ("select from debitum.events e, debitum.postings p where e.ledger_id = %s and p.ledger_id = %s", Reach.ONE, True),
        (
            "select from debitum.events e, debitum.postings p where e.ledger_id = any(%(l)s) and p.ledger_id = any(%(l)s)",
            Reach.GIVEN,
            True,
        ),
        ("select from debitum.events e left join debitum.postings p on p.ledger_id = e.ledger_id", Reach.ALL, False),
        ("select from debitum.events where seq = (select max(seq) from debitum.postings)", Reach.ALL, True),
        (
            "with e as (select ledger_id l from debitum.events) select from e join debitum.postings p on p.ledger_id = l",
            Reach.ALL,
            False,
        ),
        ("with e as (select seq from debitum.events) select from e join debitum.postings p using (seq)", Reach.ALL, True),
        (
            "select from debitum.events e cross join lateral (select from debitum.postings p where p.seq = e.seq) x",
            Reach.ALL,
            True,
        ),
        (
            "insert into debitum.balances (ledger_id, amount) select ledger_id, 1 from debitum.postings where ledger_id = %s",
            Reach.ONE,
            False,
        ),
        (
            "insert into debitum.balances (ledger_id, amount) select contact_id, 1 from debitum.postings where ledger_id = %s",
            Reach.ALL,
            True,
        ),
        ("insert into debitum.balances (ledger_id, amount) values (%s, 1)", Reach.ONE, False),
        (
            "update debitum.ledgers l set dirty = true from debitum.postings p where l.id = %s and p.ledger_id = l.id",
            Reach.ONE,
            False,
        ),
        ("delete from debitum.outbox where not exists (select from debitum.ledgers where id = ledger_id)", Reach.ALL, False),
        ("delete from debitum.events; select from debitum.users", Reach.ALL, False),
        ("select from debitum.ledgers join debitum.users on users.ledger_id = ledgers.id where users.id = %s", Reach.ALL, False),
        ("lock table debitum.ledgers", Reach.ALL, False),
        ("select %s from debitum_rebuild.contacts where '100%%' = name", Reach.ALL, False),
    ],
)
def test_how_a_statement_is_judged(sql: str, reach: Reach, crosses: bool) -> None:
    found = shards.verdicts(sql)
    assert (max(verdict.reach for verdict in found), any(verdict.crosses for verdict in found)) == (reach, crosses)


def test_a_statement_that_nobody_has_listed_is_found() -> None:
    assert statements.fault("select from debitum.events where seq = 1", "storage.events.new") is not None
    assert statements.fault("select from debitum.events where ledger_id = %s", "storage.events.new") is None
    assert statements.fault("select from debitum.ledgers where dirty", "storage.balances.any_dirty") is None
    joins = "select from debitum.events join debitum.postings using (seq)"
    assert statements.fault(joins, "storage.balances.any_dirty") is not None


def test_whatever_is_listed_is_there() -> None:
    """A fan-out that is gone would excuse the next one of its name."""
    modules = {module.__name__: module for module in statements.modules()}
    for sender, reason in (FAN_OUTS | SIDE_BY_SIDE).items():
        module, _, name = sender.rpartition(".")
        assert isinstance(vars(modules[module]).get(name), types.FunctionType), sender
        assert len(reason) > 10
