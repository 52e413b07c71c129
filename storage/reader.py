"""Connections for reads that are one statement and one round trip: of many requests at once, or of one that wants much."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import psycopg

from storage import roles, urls

Rows = list[tuple[Any, ...]]
CONNECTIONS: Final = 3
"""At most: one process keeps no more of Postgres busy."""

_INTERVENTIONS: Final = "57P"
"""Begins the codes with which Postgres ends a session (57014, a cancelled statement, is not among them)."""

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Reader:
    """Opens connections when they are needed, keeps them, and throws one away when anything went wrong with it."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._busy = 0

    @property
    def busy(self) -> int:
        """Connections that are asked something now."""
        return self._busy

    async def rows(self, statement: str, parameters: Mapping[str, Any], ledgers: Iterable[UUID | str] = ()) -> Rows:
        """What `statement` selects as the api role that sees `ledgers`. Raises psycopg.Error.

        Where the caller is cancelled, Postgres lets go of the statement.
        """
        entering = roles.parameters(roles.API, ledgers)
        async with self._free:
            while self._idle:
                try:
                    return await self._rows(self._idle.pop(), statement, parameters, entering)
                except psycopg.OperationalError as error:
                    if not _says_goodbye(error):
                        raise
            connection = await urls.async_connection(self._database_url, "debitum-api-reader")
            return await self._rows(connection, statement, parameters, entering)

    async def _rows(
        self, connection: _Connection, statement: str, parameters: Mapping[str, Any], entering: Mapping[str, str]
    ) -> Rows:
        self._busy += 1
        try:
            # Without a sync between them both are one transaction, at whose end the role is given back.
            async with connection.pipeline():
                await connection.execute(roles.ENTER_BY_KEYS, entering)
                cursor = await connection.execute(statement, parameters)
                rows = await cursor.fetchall()
        except BaseException:
            await _close(connection)
            raise
        finally:
            self._busy -= 1
        self._idle.append(connection)
        return rows

    async def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            await _close(self._idle.pop())


def _says_goodbye(error: psycopg.OperationalError) -> bool:
    """Whether the error is that the connection has ended while it was idle, and not about the statement."""
    return error.sqlstate is None or error.sqlstate.startswith(_INTERVENTIONS)


async def _close(connection: _Connection) -> None:
    with contextlib.suppress(Exception):  # it is broken already: nothing can be lost by closing it
        await connection.close()
