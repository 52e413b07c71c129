"""What writes: lanes for what devices push, and a connection of its own for each ledger that is taken over."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from typing import Final

import psycopg

from api import held, problems
from api.lane import Lane, Moved, Waiting, head
from api.metrics import Metrics
from storage import ledgers, roles, stretches, urls
from storage.encryption import KeyRing
from storage.ledgers import Push, Receipt

LANES: Final = 3
"""One for short pushes, the others for long ones: while Postgres stores one, another is decided."""


class Writer:
    """The lanes of this process, in which at most `limit` pushes wait; a batch takes `seconds` at most."""

    def __init__(self, database_url: str, keys: KeyRing, *, limit: int, seconds: float, moved: Moved, metrics: Metrics) -> None:
        self._database_url = database_url
        self._keys = keys
        self._limit = limit
        self._moved = moved
        self._metrics = metrics
        self._held = held.Held()
        self._lanes = [Lane(database_url, keys, self._held, seconds=seconds, moved=moved, metrics=metrics) for _ in range(LANES)]

    @property
    def waiting(self) -> int:
        """Pushes in the queues."""
        return sum(lane.waiting for lane in self._lanes)

    def start(self) -> None:
        """Begin to take pushes."""
        for lane in self._lanes:
            lane.start()

    async def stop(self) -> None:
        """Finish what is queued, then close the connections."""
        for lane in self._lanes:
            await lane.stop()

    async def submit(self, push: Push) -> Receipt:
        """Decide and store `push`; returns after the commit that holds its events.

        Raises errors.Reset and LedgerGone, or problems.Unavailable when the queues are full or Postgres does not answer:
        then nothing is known, and the same ids may be sent again. Cancelled, a push that still waits is left out of its
        batch; of one that is being written the answer is lost.
        """
        if self.waiting >= self._limit:
            raise problems.Unavailable("too many changes are waiting")
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._lane_for(push).put(Waiting(push, answer, roles.asker.get()))
        return await answer

    def _lane_for(self, push: Push) -> Lane:
        """The lane that has its ledger already, whose lock any other would wait for; else one for its length."""
        for lane in self._lanes:
            if lane.has(push.ledger_id):
                return lane
        short, *long = self._lanes
        return short if len(push.items) < stretches.STEP else min(long, key=lambda lane: lane.pushes)

    async def take_over(self, ledger_id: str, pushes: Iterable[Push]) -> int:
        """Store `pushes` of one ledger in one transaction, on a connection of its own; returns the ledger's version.

        It holds the ledger until its end: meanwhile changes of that ledger, and only these, are refused. Raises what the
        first push is refused for, and problems.Unavailable: then nothing is stored.
        """
        if ledger_id in self._held:
            raise held.refusal()
        last, decided = Receipt([], 0, None), Counter[str]()
        self._held.hold(ledger_id, math.inf)
        try:
            async with (
                await urls.async_connection(self._database_url, "debitum-api-import") as connection,
                connection.transaction(),
                contextlib.aclosing(_ahead(pushes)) as made,
            ):
                async for push in made:
                    [answer] = await ledgers.commit(connection, [push], self._keys)
                    if not isinstance(answer, Receipt):
                        raise answer
                    last = answer
                    decided.update(outcome.status for outcome in answer.outcomes)
        except ledgers.LockNotAvailable as error:
            raise held.refusal() from error
        except (psycopg.OperationalError, ConnectionError) as error:
            raise problems.Unavailable("the database does not answer") from error
        finally:
            self._held.release(ledger_id)
        self._metrics.took_over(decided)
        self._moved([head(ledger_id, last)])
        return last.version


async def _ahead(pushes: Iterable[Push]) -> AsyncGenerator[Push, None]:
    """Each of `pushes`, which is made in a thread while the one before is stored."""
    making = iter(pushes)
    following = asyncio.create_task(asyncio.to_thread(next, making, None))
    try:
        while (push := await following) is not None:
            following = asyncio.create_task(asyncio.to_thread(next, making, None))
            yield push
    finally:
        following.cancel()
