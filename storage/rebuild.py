"""Recreates everything that follows from the log, beside what is there, and puts it in its place in one transaction.

Fresh tables grow in a schema of their own, under their own names, so that indexes, constraints and comments need no renaming:
the swap is `set schema`, twice a table. Facts are applied a page at a time, and each page loads only what it touches: the
first page and the tail at the end are the same work.

Names of tables are looked up outside of snapshots: a transaction that first reads a table after the swap reads the fresh one, by
a snapshot that may be older than its last rows, and would miss those. So all rows are committed before the swap, which then waits
until every transaction is over that began before that.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import OperationalError

from domain.facts import Fact
from domain.fold import Dispute, Ledger, fold
from storage import codec, projecting, roles, sealing, tables
from storage.encryption import Cipher, KeyRing

FRESH: Final = "debitum_rebuild"
"""The schema in which the fresh tables grow."""
PAGE_FACTS: Final = 1_000
CATCH_UP_PASSES: Final = 5
"""Passes over what was written meanwhile, before writers are asked to wait."""
LOCK_SECONDS: Final = 2
"""How long the swap waits for a lock, or for older transactions, and makes writers wait, before it lets them all go first."""
LOOK_SECONDS: Final = 0.02
"""Between two looks: a transaction that ends tells nobody."""
SWAP_ATTEMPTS: Final = 60
_LOCK_KEY: Final = "debitum rebuild"

Say = Callable[[str], object]


class RebuildRunsError(Exception):
    """Another rebuild is at work on this database."""


class RebuildBlockedError(Exception):
    """Some transaction holds the tables all the time; nothing has been changed."""


@dataclass
class Rebuilt:
    """How much was applied; `tail` of the facts came while the others were being applied."""

    ledgers: int = 0
    facts: int = 0
    tail: int = 0


def rebuild(connection: Connection, keys: KeyRing, say: Say = lambda line: None) -> Rebuilt:
    """Build fresh tables outside of all locks, then lock the heads, apply the tail and swap. `connection` may create schemas.

    Balances are forgotten, since the postings may have been what was wrong: the API sums postings until Dagster has been
    there. Raises RebuildRunsError, RebuildBlockedError; whatever is raised, nothing of the old has changed.
    """
    with _alone(connection):
        _make_fresh(connection)
        done, versions = Rebuilt(), dict[UUID, int]()
        for number in range(CATCH_UP_PASSES):
            applied = _catch_up(connection, versions, keys)
            if number and not applied:
                break
            done.facts, done.tail = done.facts + applied, done.tail + (applied if number else 0)
            say(f"applied {done.facts} facts of {len(versions)} ledgers")
        with connection.begin():
            _as_owner(connection)
            for name in projecting.PROJECTED:
                connection.execute(text(f"analyze {FRESH}.{name}"))
        tail = _swap(connection, versions, keys)
        done.ledgers, done.facts, done.tail = len(versions), done.facts + tail, done.tail + tail
        return done


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    with connection.begin():
        if not connection.scalar(text("select pg_try_advisory_lock(hashtext(:key))"), {"key": _LOCK_KEY}):
            raise RebuildRunsError("another rebuild is at work on this database")
    try:
        yield
    finally:
        connection.rollback()
        with connection.begin():
            connection.execute(text("select pg_advisory_unlock(hashtext(:key))"), {"key": _LOCK_KEY})


def _as_owner(connection: Connection) -> None:
    roles.enter(connection, roles.OWNER)


def _make_fresh(connection: Connection) -> None:
    """Empty tables with everything that a table has, in FRESH; what an earlier rebuild left there goes."""
    with connection.begin():
        connection.execute(text(f"drop schema if exists {FRESH} cascade"))
        connection.execute(text(f"create schema {FRESH} authorization {roles.OWNER}"))
        _as_owner(connection)
        copies = MetaData(schema=FRESH, naming_convention=tables.metadata.naming_convention)
        for name in projecting.PROJECTED:
            tables.metadata.tables[f"{tables.SCHEMA}.{name}"].to_metadata(copies, schema=FRESH)
        copies.create_all(connection, checkfirst=False)
        for statement in connection.scalars(text(_RIGHTS), {"names": list(projecting.PROJECTED)}).all():
            connection.execute(text(statement))


_RIGHTS = f"""
with named as (
    select c.oid, c.relname, c.relacl, c.relrowsecurity, c.relforcerowsecurity
    from pg_class c where c.relnamespace = 'debitum'::regnamespace and c.relname = any(:names)
), statements as (
    select 1 as turn, format('alter table {FRESH}.%I enable row level security', relname) as statement
    from named where relrowsecurity
    union all
    select 1, format('alter table {FRESH}.%I force row level security', relname) from named where relforcerowsecurity
    union all
    select 2, format('create policy %I on {FRESH}.%I as %s for %s to %s%s%s', p.policyname, p.tablename, p.permissive, p.cmd,
                     array_to_string(array(select quote_ident(r) from unnest(p.roles) r), ', '),
                     ' using (' || p.qual || ')', ' with check (' || p.with_check || ')')
    from pg_policies p where p.schemaname = 'debitum' and p.tablename = any(:names)
    union all
    select 3, format('grant %s on {FRESH}.%I to %I', string_agg(a.privilege_type, ', '), relname, pg_get_userbyid(a.grantee))
    from named cross join lateral aclexplode(relacl) a
    where pg_get_userbyid(a.grantee) <> '{roles.OWNER}' group by relname, a.grantee
    union all
    select 4, format('grant %s (%I) on {FRESH}.%I to %I', string_agg(a.privilege_type, ', '), t.attname, relname,
                     pg_get_userbyid(a.grantee))
    from named join pg_attribute t on t.attrelid = named.oid cross join lateral aclexplode(t.attacl) a
    group by t.attname, relname, a.grantee
)
select statement from statements order by turn, statement
"""  # noqa: S608  # names of ours


# --- applying -------------------------------------------------------------------------------------------------------


def _catch_up(connection: Connection, versions: dict[UUID, int], keys: KeyRing) -> int:
    """Apply what is behind `versions` in every ledger, and move them on; the number of facts."""
    with connection.begin():
        _as_owner(connection)
        heads = connection.execute(text("select id, version from debitum.ledgers order by id")).all()
    applied = 0
    for ledger_id, version in heads:
        behind = versions.get(ledger_id, 0)
        while behind < version:
            upto = min(behind + PAGE_FACTS, version)
            with connection.begin():
                _as_owner(connection)
                _apply(_driver(connection), ledger_id, behind, upto, keys)
            applied, behind = applied + upto - behind, upto
        versions[ledger_id] = version
    return applied


def _driver(connection: Connection) -> psycopg.Connection[TupleRow]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _apply(driver: psycopg.Connection[TupleRow], ledger_id: UUID, after: int, upto: int, keys: KeyRing) -> None:
    """Fold the facts after … upto on what the fresh tables hold, and write what they leave."""
    head = driver.execute("select data_key from debitum.ledgers where id = %s", (ledger_id,)).fetchone()
    if head is None:  # erased meanwhile
        return
    cipher = keys.cipher(str(ledger_id), head[0])
    rows = driver.execute(_FACTS, (ledger_id, after, upto)).fetchall()
    page = [msgspec.json.decode(sealing.fact_text(cipher, *row), type=Fact) for row in rows]
    ledger = Ledger(str(ledger_id), version=after)
    if after:
        _load(driver, ledger, page, cipher)
    steps = []
    for fact in page:
        step = fold(ledger, fact)
        ledger.take(step)
        steps.append((fact, step))
    for name, found in projecting.rows(cipher, ledger, steps).items():
        if found:
            driver.execute(_WRITES[name], {name: msgspec.json.encode(found).decode()})


_FACTS: Final = "select event_id, fact, sealed from debitum.events where ledger_id = %s and seq > %s and seq <= %s order by seq"
_WRITES: Final = {
    name: (projecting.insert if name == "postings" else projecting.upsert)(name, FRESH) for name in projecting.PROJECTED
}


def _load(driver: psycopg.Connection[TupleRow], ledger: Ledger, page: list[Fact], cipher: Cipher) -> None:
    keys = {change.key for fact in page for change in fact.changes}
    for name in projecting.ENTITIES:
        kind = name.removesuffix("s")
        ids = [UUID(key[1]) for key in keys if key[0] == kind]
        for row in _rows(driver, name, "id = any(%(ids)s)", {"ledger": UUID(ledger.id), "ids": ids}) if ids else ():
            entity = codec.entity(kind, row, cipher)  # type: ignore[arg-type]  # the name of a table without its s
            ledger.entities[entity.key] = entity
    named = [UUID(one) for fact in page for one in (fact.settles, fact.undoes) if one is not None]
    if named:
        which = "event_id = any(%(ids)s) or resolved_by = any(%(ids)s)"
        for row in _rows(driver, "conflicts", f"({which})", {"ledger": UUID(ledger.id), "ids": named}):
            dispute = msgspec.convert(row, Dispute)
            ledger.conflicts[dispute.event_id] = dispute


def _rows(driver: psycopg.Connection[TupleRow], name: str, which: str, bound: dict[str, Any]) -> list[dict[str, Any]]:
    query = f"select row_to_json(t)::text from {FRESH}.{name} t where ledger_id = %(ledger)s and {which}"  # noqa: S608
    return [msgspec.json.decode(row[0]) for row in driver.execute(sql.SQL(query), bound).fetchall()]


# --- swapping -------------------------------------------------------------------------------------------------------


class _InUseError(Exception):
    """Transactions that began earlier do not end."""


def _swap(connection: Connection, versions: dict[UUID, int], keys: KeyRing) -> int:
    """The number of facts that came last."""
    tail = 0
    for _ in range(SWAP_ATTEMPTS):
        try:
            with connection.begin(), connection.engine.connect() as beside:
                # The heads first, as every writer does: whoever writes is either done or has not begun.
                _as_owner(connection)
                connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
                connection.execute(text("lock table debitum.ledgers in exclusive mode"))
                tail += _finish(beside, versions, keys)
                _wait_for_older_transactions(connection)
                _exchange(connection)
                return tail
        except _InUseError:
            pass
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
                raise
        connection.rollback()
        tail += _catch_up(connection, versions, keys)
    raise RebuildBlockedError("the tables are in use all the time: nothing was changed; try again at a quieter hour")


def _finish(beside: Connection, versions: dict[UUID, int], keys: KeyRing) -> int:
    """Commit what is left to be applied, while nobody writes."""
    applied = _catch_up(beside, versions, keys)
    with beside.begin():
        _as_owner(beside)
        left = set(beside.scalars(text("select id from debitum.ledgers")))
        if gone := list(versions.keys() - left):  # erased meanwhile: it must not come back
            for name in projecting.PROJECTED:
                beside.execute(text(f"delete from {FRESH}.{name} where ledger_id = any(:gone)"), {"gone": gone})  # noqa: S608  # names of ours
    return applied


def _wait_for_older_transactions(connection: Connection) -> None:
    """Until every transaction has ended that runs now, but for those that wait for us. Raises _InUseError."""
    older, deadline = set(connection.scalars(text(_RUNNING))), time.monotonic() + LOCK_SECONDS
    while older:
        if time.monotonic() > deadline:
            raise _InUseError
        time.sleep(LOOK_SECONDS)
        older &= set(connection.scalars(text(_RUNNING)))


_RUNNING: Final = """
    select held.virtualtransaction
    from pg_locks held join pg_stat_activity its on its.pid = held.pid
    where held.locktype = 'virtualxid' and held.granted and held.pid <> pg_backend_pid()
      and its.datname = current_database() and its.backend_type is distinct from 'autovacuum worker'
      and not pg_backend_pid() = any(pg_blocking_pids(held.pid))
"""


def _exchange(connection: Connection) -> None:
    """Put the fresh tables into the place of the others."""
    for name in projecting.PROJECTED:
        connection.execute(text(f"drop table debitum.{name}"))
        connection.execute(text(f"alter table {FRESH}.{name} set schema debitum"))
    connection.execute(text("delete from debitum.balances"))
    connection.execute(text("delete from debitum.projection_marks"))
    connection.execute(text(_HEADS))
    connection.execute(text(f"drop schema {FRESH}"))


_HEADS = """
    update debitum.ledgers ledger set dirty = true, turnover = posted.turnover
    from (
        select head.id, coalesce(sums.turnover, 0) as turnover
        from debitum.ledgers head
        left join (
            select ledger_id, sum(abs(amount)) as turnover from debitum.postings group by ledger_id
        ) sums on sums.ledger_id = head.id
        where head.version > 0
    ) posted
    where posted.id = ledger.id
"""
