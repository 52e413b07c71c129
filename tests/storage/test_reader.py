"""One connection for many: what it may see, that it comes back, and that it lets go."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import Engine, text

from storage.reader import Reader
from tests.storage import rows

WHO = "select current_user, current_setting('app.ledgers'), current_setting('timezone')"


@pytest_asyncio.fixture
async def reader(database_url: str) -> AsyncIterator[Reader]:
    made = Reader(database_url)
    yield made
    await made.close()


async def test_it_asks_as_the_api_role_and_each_time_anew(reader: Reader, database: Engine) -> None:
    with database.begin() as connection:
        ours, theirs = rows.ledger(connection).id, rows.ledger(connection).id
    seen = "select id from debitum.ledgers order by id"
    assert await reader.rows(seen, {}, [ours]) == [(ours,)]
    assert await reader.rows(seen, {}, [theirs]) == [(theirs,)]
    assert await reader.rows(seen, {}) == []
    assert await reader.rows(WHO, {}, [ours]) == [("debitum_api", f"{{{ours}}}", "UTC")]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await reader.rows("delete from debitum.events", {})
    assert await reader.rows("select 1", {}) == [(1,)], "a statement that fails costs nobody else anything"


async def test_a_connection_that_ended_meanwhile_is_replaced(reader: Reader, database: Engine) -> None:
    [(pid,)] = await reader.rows("select pg_backend_pid()", {})
    with database.begin() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    [(other,)] = await reader.rows("select pg_backend_pid()", {})
    assert other != pid


async def test_what_fails_by_itself_is_not_tried_again(reader: Reader) -> None:
    two = await asyncio.gather(*(reader.rows("select pg_backend_pid() from pg_sleep(0.2)", {}) for _ in range(2)))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        await reader.rows("select repeat('x', 1024 * 1024 * 1024)", {})
    assert await reader.rows("select pg_backend_pid()", {}) in two, "one of them has ended, and the other goes on"


async def test_who_no_longer_waits_does_not_keep_postgres_waiting(reader: Reader, database: Engine) -> None:
    key = uuid.uuid4().int % 2**31
    waits = text(
        "select count(*) from pg_stat_activity where application_name = 'debitum-api-reader' and wait_event = 'advisory'"
    )
    with database.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": key})
        asked = asyncio.create_task(reader.rows("select pg_advisory_xact_lock(%(key)s)", {"key": key}))
        until = time.monotonic() + 10
        with database.connect() as other:
            while not other.scalar(waits):
                assert time.monotonic() < until
                other.rollback()  # or it would see the same activity again
                await asyncio.sleep(0.01)
            assert reader.busy == 1
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled()
            assert reader.busy == 0
            other.rollback()
            assert other.scalar(waits) == 0
    assert await reader.rows("select 1", {}) == [(1,)]
