"""A rebuild gives the rows that were there, byte for byte, in tables that are like migrated ones, and nobody sees it happen."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Connection, Engine, text

from storage import balances, engine, ledgers, projecting, rebuild, roles, urls, verify
from storage.ledgers import Push
from tests.factories import DEFAULTS, Chaos, contact, lent
from tests.storage.test_ledgers import KEYS, commit, connection, new_id, new_ledger, send  # noqa: F401  # the fixture


async def histories(database: Engine, writer: ledgers.Connection, count: int = 3, length: int = 60) -> list[str]:
    ids = [new_ledger(database) for _ in range(count)]
    for seed, ledger_id in enumerate(ids):
        chaos, version = Chaos(seed), 0
        while version < length:
            [receipt] = await commit(writer, Push(ledger_id, [chaos.next(version) for _ in range(4)], DEFAULTS))
            chaos.hear(receipt.outcomes)
            version = receipt.version
    return ids


def dump(database: Engine) -> dict[str, list[str]]:
    with database.begin() as reading:
        return {
            name: list(reading.scalars(text(f"select row_to_json(t)::text from debitum.{name} t order by 1")))
            for name in projecting.PROJECTED
        }


def findings(database: Engine) -> list[verify.Finding]:
    snapshots = database.execution_options(isolation_level="REPEATABLE READ")
    found = []
    with snapshots.begin() as reading:
        ids = list(reading.scalars(text("select id from debitum.ledgers order by id")))
    for ledger_id in ids:
        with snapshots.begin() as reading:
            found += list(verify.verify(reading, ledger_id, KEYS))
    return found


CATALOGUE = """
    select 'column', c.relname, a.attnum::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), a.attacl::text, a.attstattarget::text,
           a.attstorage::text
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'debitum'::regnamespace and c.relkind in ('r', 'v')
    union all
    select 'table', c.relname, c.relkind::text, pg_get_userbyid(c.relowner), c.reloptions::text, c.relrowsecurity::text,
           c.relforcerowsecurity::text, obj_description(c.oid),
           array_to_string(array(select x::text from unnest(c.relacl) x order by 1), ' '), null, null
    from pg_class c where c.relnamespace = 'debitum'::regnamespace
    union all
    select 'index', indexname, indexdef, null, null, null, null, null, null, null, null
    from pg_indexes where schemaname = 'debitum'
    union all
    select 'constraint', conname, conrelid::regclass::text, pg_get_constraintdef(oid), convalidated::text,
           null, null, null, null, null, null
    from pg_constraint where connamespace = 'debitum'::regnamespace
    union all
    select 'policy', policyname, tablename, permissive, array(select unnest(roles) order by 1)::text, cmd, qual,
           with_check, null, null, null
    from pg_policies where schemaname = 'debitum'
    union all
    select 'trigger', tgname, tgrelid::regclass::text, pg_get_triggerdef(oid), null, null, null, null, null, null, null
    from pg_trigger where not tgisinternal
    union all
    select 'schema', nspname, null, null, null, null, null, null, null, null, null from pg_namespace where nspname like 'debitum%'
    order by 1, 2, 3, 4
"""


def catalogue(database: Engine) -> list[Any]:
    with database.begin() as reading:
        return [tuple(row) for row in reading.execute(text(CATALOGUE))]


def run(database: Engine, say: rebuild.Say = lambda line: None) -> rebuild.Rebuilt:
    with database.connect() as fresh:
        return rebuild.rebuild(fresh, KEYS, say)


async def test_the_rows_are_the_same_and_the_catalogue_is_a_migrated_ones(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    ids = await histories(database, connection)
    migrated, before = catalogue(database), dump(database)
    assert all(before.values())
    for _ in range(2):
        done = run(database)
        assert (done.ledgers, done.tail) == (len(ids), 0)
        assert dump(database) == before
        assert catalogue(database) == migrated
    assert findings(database) == []


async def test_what_was_wrong_is_right_again_and_so_are_the_balances(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    await histories(database, connection)
    before = dump(database)

    def jobs() -> Any:
        return database.begin()

    balances.materialise(jobs)
    with database.begin() as planting:
        planting.execute(text("update debitum.postings set amount = amount + 1 where line = 0"))
        planting.execute(text("update debitum.contacts set name = 'nobody', marks = '{}'"))
        planting.execute(text("delete from debitum.transactions where deleted_seq is not null"))
        planting.execute(text("update debitum.conflicts set resolved_by = gen_random_uuid()"))
        planting.execute(text("update debitum.ledgers set turnover = turnover + 5"))
    assert findings(database)
    run(database)
    assert dump(database) == before
    assert findings(database) == []
    balances.materialise(jobs)
    assert findings(database) == []
    assert list(balances.differences(jobs)) == []


async def test_readers_never_see_less_and_writers_lose_nothing(
    database: Engine,
    database_url: str,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    """The writer keeps its connection, and with it the statements that it prepared for the tables that are gone."""
    ledger_id, ana = new_ledger(database), new_id()
    await send(connection, ledger_id, contact(ana), *(lent(new_id(), ana, 1) for _ in range(1_500)))
    stop, seen, errors = threading.Event(), [], list[Exception]()

    def read() -> None:
        own = engine.sync_engine(database_url, "debitum-test")
        while not stop.is_set():
            with own.begin() as reading:
                seen.append(reading.scalar(text("select count(*) from debitum.transactions")))
        own.dispose()

    async def write() -> int:
        written = 0
        while not stop.is_set():
            await send(connection, ledger_id, lent(new_id(), ana, 1))
            written += 1
        return written

    def rebuild_twice() -> None:
        try:
            for _ in range(2):
                run(database)
                time.sleep(0.05)
        except Exception as error:
            errors.append(error)
        finally:
            stop.set()

    threads = [threading.Thread(target=read), threading.Thread(target=rebuild_twice)]
    for thread in threads:
        thread.start()
    written = await write()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert errors == []
    assert written > 5
    assert seen == sorted(seen)
    assert min(seen) >= 1_500
    assert findings(database) == []
    assert len(dump(database)["transactions"]) == 1_500 + written


async def test_who_began_before_the_swap_sees_all_that_was_there_however_late_it_looks(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    """By its snapshot there is nothing in the fresh tables, of which it knows at once, for names are no matter of snapshots."""
    await histories(database, connection, count=1)
    before = {name: len(rows) for name, rows in dump(database).items()}
    with database.execution_options(isolation_level="REPEATABLE READ").begin() as reading:
        reading.execute(text("select 1"))  # takes the snapshot
        rebuilding = asyncio.create_task(asyncio.to_thread(run, database))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(rebuilding), 1)
        seen = {name: reading.scalar(text(f"select count(*) from debitum.{name}")) for name in before}
    assert seen == before
    await rebuilding
    assert findings(database) == []


async def test_facts_that_come_meanwhile_are_applied_at_the_end(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    """Five rounds of catching up are given up for a writer that never rests: the rest is applied under the lock."""
    [ledger_id] = await histories(database, connection, count=1)
    owner, chaos = database.execution_options(), Chaos(99)
    late = [chaos.next(0) for _ in range(8)]

    def disturb(_: str) -> None:
        asyncio.run(_send_apart(owner.url.render_as_string(hide_password=False), ledger_id, [late.pop()] if late else []))

    done = await asyncio.to_thread(run, database, disturb)
    assert done.tail > 0
    assert findings(database) == []


async def _send_apart(url: str, ledger_id: str, items: list[Any]) -> None:
    own = await urls.async_connection(url, "debitum-test")
    await commit(own, Push(ledger_id, [*items, contact(new_id())], DEFAULTS))
    await own.close()


async def test_a_ledger_that_is_erased_meanwhile_does_not_come_back(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    gone, stays = await histories(database, connection, count=2, length=20)

    def erase(_: str) -> None:
        with database.begin() as erasing:
            for name in ("ledgers", "events", *projecting.PROJECTED):
                column = "id" if name == "ledgers" else "ledger_id"
                erasing.execute(text(f"delete from debitum.{name} where {column} = :gone"), {"gone": gone})

    run(database, erase)
    assert {msgspec.json.decode(row)["ledger_id"] for rows in dump(database).values() for row in rows} == {stays}
    assert findings(database) == []


@pytest.fixture
def busy(database: Engine) -> Iterator[Connection]:
    with database.connect() as holder:
        yield holder
        holder.rollback()


async def test_one_at_a_time_and_what_a_killed_one_left_is_cleared_away(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
    busy: Connection,
) -> None:
    await histories(database, connection, count=1, length=20)
    before = dump(database)
    with busy.begin():
        busy.execute(text("select pg_advisory_lock(hashtext('debitum rebuild'))"))
    with pytest.raises(rebuild.RebuildRunsError):
        run(database)
    with busy.begin():
        busy.execute(text("select pg_advisory_unlock_all()"))
        busy.execute(text("create schema debitum_rebuild"))
        busy.execute(text("create table debitum_rebuild.contacts (half int)"))
    run(database)
    assert dump(database) == before


async def test_a_table_that_is_never_free_stops_the_rebuild_and_nothing_else(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
    busy: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rebuild, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(rebuild, "SWAP_ATTEMPTS", 2)
    await histories(database, connection, count=1, length=20)
    before = dump(database)
    busy.execute(text("select from debitum.contacts"))
    with pytest.raises(rebuild.RebuildBlockedError):
        run(database)
    assert dump(database) == before
    busy.rollback()
    run(database)
    assert dump(database) == before


PLANTED = {
    "an altered fact": (
        "update debitum.events set fact = replace(fact, 'EUR', 'USD') where ledger_id = :ledger and seq = 3",
        "hash",
    ),
    "a lost fact": ("delete from debitum.events where ledger_id = :ledger and seq = 2", "is missing"),
    "columns": ("update debitum.events set aggregate_id = gen_random_uuid() where ledger_id = :ledger and seq = 3", "columns"),
    "the head's hash": ("update debitum.ledgers set head_hash = '\\x00' where id = :ledger", "another hash"),
    "the head's version": ("update debitum.ledgers set version = version + 1 where id = :ledger", "the log ends"),
    "turnover": ("update debitum.ledgers set turnover = 1 where id = :ledger", "turnover"),
    "a field": ("update debitum.contacts set name = 'Bo' where ledger_id = :ledger", "contacts"),
    "a mark": ("update debitum.transactions set marks = '{\"MONEY\": [9, null]}' where ledger_id = :ledger", "marks"),
    "a word": ("update debitum.contacts set words = 'x' where ledger_id = :ledger", "words"),
    "a missing row": ("delete from debitum.transactions where ledger_id = :ledger", "is missing"),
    "a deletion": (
        "update debitum.contacts set deleted_seq = 1, deleted_at = created_at where ledger_id = :ledger",
        "deleted_seq",
    ),
    "a surplus row": (
        "insert into debitum.contacts select (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid()))).*"
        " from debitum.contacts c where ledger_id = :ledger",
        "not in the log",
    ),
    "a posting's amount": ("update debitum.postings set amount = 6 where ledger_id = :ledger", "postings line 0"),
    "a missing posting": ("delete from debitum.postings where ledger_id = :ledger", "postings line 0"),
    "a balance": ("update debitum.balances set amount = 6 where ledger_id = :ledger", "balances"),
}


async def test_every_kind_of_corruption_is_named(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    """Each in a ledger of its own, of which it is the first thing that is found."""
    spoiled = {}
    for planted in PLANTED:
        spoiled[planted], ana = new_ledger(database), new_id()
        await send(connection, spoiled[planted], contact(ana), contact(new_id()), lent(new_id(), ana, 5))
    balances.materialise(lambda: database.begin())
    assert findings(database) == []
    with database.begin() as planting:
        for planted, (statement, _) in PLANTED.items():
            assert planting.execute(text(statement), {"ledger": spoiled[planted]}).rowcount > 0, planted
    found = findings(database)
    first = {str(finding.ledger_id): finding.what for finding in reversed(found)}
    assert set(first) == set(spoiled.values())
    for planted, (_, expected) in PLANTED.items():
        assert expected in first[spoiled[planted]], planted
    assert not any("Bo" in finding.line() for finding in found)


async def test_a_conflict_that_nobody_settled_is_named(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    await histories(database, connection, count=1)
    with database.begin() as planting:
        planting.execute(text("update debitum.conflicts set resolved_by = gen_random_uuid()"))
    assert "conflicts" in findings(database)[0].what


async def test_verification_runs_as_the_jobs_role(
    database: Engine,
    connection: ledgers.Connection,  # noqa: F811
) -> None:
    [ledger_id] = await histories(database, connection, count=1, length=10)
    snapshots = database.execution_options(isolation_level="REPEATABLE READ")
    with snapshots.begin() as reading:
        roles.enter(reading, roles.JOBS)
        assert list(verify.verify(reading, UUID(ledger_id), KEYS)) == []
