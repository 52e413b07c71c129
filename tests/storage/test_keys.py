"""What many requests ask and write at once: every row by its key, whatever the planner believes, and few round trips."""

import tempfile
import uuid
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text

from storage import ledgers, roles, sessions, urls
from storage.ledgers import Push, Receipt
from tests.factories import DEFAULTS, command, contact, lent
from tests.storage import plans, rows
from tests.storage.test_ledgers import KEYS, new_id, new_ledger

MANY = 300
"""Few enough for a planner to read all of them rather than to look some up."""


def looked_at(connection: Connection, statement: str, parameters: dict[str, Any], table: str, ledger: uuid.UUID) -> int:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(roles.ENTER_BY_KEYS, roles.parameters(roles.API, [ledger]))
    return plans.looked_at(connection, statement, parameters, table)


def test_a_head_is_written_without_reading_the_others(database: Engine) -> None:
    with database.begin() as connection:
        ids = [rows.ledger(connection).id for _ in range(MANY)]
        connection.execute(text("analyze debitum.ledgers"))
        heads = f'[{{"id":"{ids[7]}","version":1,"hash":"\\\\x00","recorded_at":"2026-11-29T10:00:00Z","turnover":"5"}}]'
        assert looked_at(connection, ledgers._WRITES["heads"], {"heads": heads}, "ledgers", ids[7]) <= 2  # read, and written


def test_a_session_is_looked_up_without_reading_the_others(database: Engine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        make = (
            "with devices as (insert into debitum.devices (user_id, id, name, created_at, last_seen_at)"
            " select :user, gen_random_uuid(), '', now(), now() from generate_series(1, :many) returning user_id, id)"
            " insert into debitum.sessions (id, user_id, device_id, created_at, last_used_at, expires_at)"
            " select gen_random_uuid(), user_id, id, now(), now(), now() + interval '1 day' from devices returning id"
        )
        ids = connection.scalars(text(make), {"user": ledger.user_id, "many": MANY}).all()
        connection.execute(text("analyze debitum.sessions"))
        # A plan for any parameters, as the reader has it: it does not know that two are asked for, and of when.
        prepared = sessions._CALLERS.replace("%(sessions)s", "$1").replace("%(now)s", "$2")
        connection.exec_driver_sql(f"prepare callers (uuid[], timestamptz) as {prepared}")
        asked = f"execute callers ('{{{ids[3]},{ids[5]}}}', now())"
        assert looked_at(connection, asked, {}, "sessions", ledger.id) == 2


async def test_a_batch_waits_for_postgres_once_before_it_decides(database: Engine, database_url: str) -> None:
    ledger_id, ana = new_ledger(database), new_id()
    connection = await urls.async_connection(database_url, "debitum-api-writer")
    try:
        _, [receipt] = await _flushes(connection, Push(ledger_id, [contact(ana)], DEFAULTS))
        assert isinstance(receipt, Receipt)
        seen = [command("transaction", "CREATED", new_id(), lent(new_id(), ana, 1).event_data, base_seq=1) for _ in range(3)]
        pushes = [Push(ledger_id, [one], DEFAULTS, base_hash=receipt.hash) for one in seen]
        flushes, answers = await _flushes(connection, *pushes)
        assert [answer.version for answer in answers] == [2, 3, 4]
        assert flushes == 1
    finally:
        await connection.close()


async def _flushes(connection: ledgers.Connection, *pushes: Push) -> tuple[int, list[Any]]:
    """How often the client says that it waits for answers while the pushes are decided and written (libpq's own trace)."""
    with tempfile.TemporaryFile() as trace:
        async with connection.pipeline(), connection.transaction():
            connection.pgconn.trace(trace.fileno())
            answers = await ledgers.commit(connection, pushes, KEYS)
            connection.pgconn.untrace()
        trace.seek(0)
        return trace.read().count(b"\tFlush"), answers
