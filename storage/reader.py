"""A connection for statements that answer many requests at once: one round trip each, and nothing of SQLAlchemy's."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import psycopg

from storage import engine, roles

Rows = list[tuple[Any, ...]]


class Reader:
    """Connects when it is first asked, and anew after anything that went wrong. One statement at a time."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._free = asyncio.Lock()

    async def rows(self, statement: str, parameters: Mapping[str, Any], ledgers: Iterable[UUID | str] = ()) -> Rows:
        """What `statement` selects as the api role that sees `ledgers`. Raises psycopg.Error; cancelled, Postgres lets go."""
        entering = roles.parameters(roles.API, ledgers)
        async with self._free:
            if self._connection is not None:
                with contextlib.suppress(psycopg.OperationalError):  # it was idle, and may have ended long ago
                    return await self._rows(self._connection, statement, parameters, entering)
            self._connection = await engine.async_connection(self._database_url, "debitum-api-reader")
            return await self._rows(self._connection, statement, parameters, entering)

    async def _rows(
        self,
        connection: psycopg.AsyncConnection[tuple[Any, ...]],
        statement: str,
        parameters: Mapping[str, Any],
        entering: Mapping[str, str],
    ) -> Rows:
        try:
            # Without a sync between them both are one transaction, at whose end the role is given back.
            async with connection.pipeline():
                await connection.execute(roles.ENTER_BY_KEYS, entering)
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchall()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already: nothing can be lost by closing it
                await connection.close()
