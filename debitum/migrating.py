"""The migration of a start, in a process of its own: it loads what it needs while Postgres starts, and is gone afterwards."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from debitum import leash, plans
from debitum.database import DatabaseError
from debitum.settings import Settings


class Migration:
    """A process that waits until it is told on which database it is to work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, environment: Mapping[str, str]) -> None:
        """Bring the database of the parts' `environment` to this version; it says itself what it does. Raises DatabaseError."""
        _, reason = await self._process.communicate(json.dumps(dict(environment)).encode())
        if self._process.returncode == plans.MIGRATION_REFUSED:
            raise DatabaseError(reason.decode().strip())
        sys.stderr.buffer.write(reason)
        if self._process.returncode != 0:
            raise DatabaseError(f"the migration ended with exit code {self._process.returncode}")


@asynccontextmanager
async def at_hand(settings: Settings) -> AsyncIterator[Migration]:
    """While the block runs. A process that was not told anything ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *leash.tied(*plans.migration(settings)),
        env=plans.known(settings),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal does not cut it short
    )
    try:
        yield Migration(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
