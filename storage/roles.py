"""The four roles, and the one statement by which a transaction takes one of them, and UTC.

Nobody logs in as these roles. Whoever may connect takes one for the length of a transaction: that works behind a
pooler in transaction mode (start-up options do not), and it needs no password of its own.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import arrays

# Defined in storage.names, so that the supervisor can read them without SQLAlchemy.
from storage.names import API as API
from storage.names import JOBS as JOBS
from storage.names import OWNER as OWNER
from storage.names import REPORT as REPORT
from storage.names import ROLES

ALL: Final = ROLES

asker: ContextVar[str] = ContextVar("asker", default="")
"""For whom a transaction is: the id of a request. pg_stat_activity shows it behind the connection's own application_name."""

ENTER: Final = (
    "select set_config('role', %(role)s, true), set_config('app.ledgers', %(ledgers)s, true), set_config('timezone', 'UTC', true)"
    ", set_config('application_name', split_part(current_setting('application_name'), ' ', 1) || %(asker)s, true)"
)
"""For psycopg; all four settings end with the transaction. A comment in the SQL would name the asker as well, and have every
request prepare statements of its own."""
LOCK_TIMEOUT: Final = ", set_config('lock_timeout', '1s', true)"
"""Behind ENTER or ENTER_BY_KEYS, for who would rather raise than wait longer for somebody else's lock."""
ENTER_BY_KEYS: Final = (
    f"{ENTER}, set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),"
    " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
    " set_config('plan_cache_mode', 'force_generic_plan', true)"
)
"""The same, for prepared statements that find every row by a key, and are planned once. A plan that was made while a table was
small is kept when it is large, and then one that read the table whole had seemed just as good."""
_ENTER = text(re.sub(r"%\((\w+)\)s", r":\1", ENTER))


def parameters(role: str, ledgers: Iterable[UUID | str] = ()) -> dict[str, str]:
    """The bound values of ENTER: `ledgers` are the ones that row-level security lets the api role see."""
    whose = asker.get()
    return {"role": role, "ledgers": arrays.of(ledgers), "asker": whose and f" {whose}"}


def enter(connection: Connection, role: str, ledgers: Iterable[UUID | str] = ()) -> None:
    """Take `role` until the transaction of `connection` ends."""
    connection.execute(_ENTER, parameters(role, ledgers))


@contextmanager
def transaction(database: Engine, role: str) -> Iterator[Connection]:
    """A transaction as `role` on a connection of `database`: commits when the block ends, rolls back when it raises."""
    with database.begin() as connection:
        enter(connection, role)
        yield connection


async def enter_async(connection: AsyncConnection, role: str, ledgers: Iterable[UUID | str] = ()) -> None:
    """Take `role` until the transaction of `connection` ends."""
    await connection.execute(_ENTER, parameters(role, ledgers))
