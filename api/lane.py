"""A queue before commit: whatever arrives while a batch is in flight is the next batch (natural group commit)."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
import structlog
from msgspec import Struct, structs

from api import held, problems
from api.metrics import Metrics
from domain import errors, ids
from storage import current, ledgers, roles, urls
from storage.encryption import KeyRing
from storage.feed import Head
from storage.ledgers import Push, Receipt

BATCH_COMMANDS = 500
"""Commands a transaction: enough to share a flush, few enough to keep the others' wait short."""
RECONNECT_SECONDS = 0.2
LOGGED_REQUESTS = 20
"""Of a batch that many share."""
_log = structlog.get_logger(__name__)

Moved = Callable[[Iterable[Head]], None]
"""Told of the heads that a commit has moved."""


class Waiting(Struct, frozen=True):
    """A push, who waits for its answer, and of which request it is: a lane's task has none of its own."""

    push: Push
    answer: "asyncio.Future[Receipt]"
    request_id: str
    """Empty: of none."""


class Lane:
    """One writing connection of this process and what waits for it; a batch takes `seconds` at most."""

    def __init__(
        self, database_url: str, keys: KeyRing, busy: held.Held, *, seconds: float, moved: Moved, metrics: Metrics
    ) -> None:
        self._database_url = database_url
        self._keys = keys
        self._held = busy
        self._moved = moved
        self._metrics = metrics
        self._seconds = seconds
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._ledgers: Counter[str] = Counter()
        """By id, how many pushes wait or are being written."""
        self._connection: ledgers.Connection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Pushes in the queue."""
        return self._queue.qsize()

    @property
    def pushes(self) -> int:
        """That wait or are being written."""
        return self._ledgers.total()

    def has(self, ledger_id: str) -> bool:
        """Whether something of this ledger waits or is being written."""
        return ledger_id in self._ledgers

    def start(self) -> None:
        """Begin to take pushes."""
        self._task = asyncio.create_task(self._run(), name="lane")

    async def stop(self) -> None:
        """Finish what is queued, then close the connection."""
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._disconnect()

    def put(self, waiting: Waiting) -> None:
        """Into the queue; it is left out of its batch where nobody waits for its answer any more."""
        self._ledgers[waiting.push.ledger_id] += 1
        self._queue.put_nowait(waiting)

    def _done(self, waiting: Waiting) -> None:
        self._queue.task_done()
        self._ledgers[waiting.push.ledger_id] -= 1
        if not self._ledgers[waiting.push.ledger_id]:
            del self._ledgers[waiting.push.ledger_id]

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            commands = len(batch[0].push.items)
            while not self._queue.empty() and commands < BATCH_COMMANDS:
                batch.append(self._queue.get_nowait())
                commands += len(batch[-1].push.items)
            wanted = [one for one in batch if not one.answer.done()]  # the others have given up waiting
            try:
                if wanted:
                    await self._process(wanted)
            finally:
                for one in batch:
                    self._done(one)

    async def _process(self, batch: Sequence[Waiting]) -> None:
        """Commit a batch; where it fails for a reason of its content, or for a ledger that is held, each push by itself."""
        batch = self._without_held(batch)
        if not batch:
            return
        _name_requests(batch)
        began = time.perf_counter()
        try:
            answers = await self._commit([one.push for one in batch])
        except ledgers.LockNotAvailable as error:
            if len(batch) == 1:
                _log.warning("write_unavailable", error=type(error).__name__, pushes=1)
                self._held.hold(batch[0].push.ledger_id, held.SECONDS)
            for single in batch:
                await self._process([single])
        except (psycopg.OperationalError, ConnectionError, TimeoutError) as error:
            self._metrics.commit("unavailable", time.perf_counter() - began)
            await self._disconnect()
            _log.warning("write_unavailable", error=type(error).__name__, pushes=len(batch))
            await asyncio.sleep(0 if self._queue.empty() else RECONNECT_SECONDS)
            for one in batch:
                _settle(one.answer, problems.Unavailable("the database does not answer"))
        except Exception as error:  # whatever it is, it is of one of them: alone, each of the others is stored
            self._metrics.commit("failed", time.perf_counter() - began)
            _log.exception("write_failed", pushes=len(batch))
            if len(batch) == 1:
                _settle(batch[0].answer, error)
                return
            for single in batch:
                await self._process([single])
        else:
            self._metrics.commit("stored", time.perf_counter() - began)
            self._moved(_heads([one.push for one in batch], answers))
            for one, answer in zip(batch, answers, strict=True):
                if not one.push.dry_run:
                    self._metrics.decided(answer)
                _settle(one.answer, answer)

    def _without_held(self, batch: Sequence[Waiting]) -> Sequence[Waiting]:
        """Those whose ledgers are not held; the others are answered here."""
        free = []
        for one in batch:
            if one.push.ledger_id in self._held:
                _settle(one.answer, held.refusal())
            else:
                free.append(one)
        return free

    async def _commit(self, pushes: Sequence[Push]) -> list[Receipt | errors.DomainError]:
        async with asyncio.timeout(self._seconds):
            if self._connection is None or self._connection.closed:
                self._connection = await urls.async_connection(self._database_url, "debitum-api-writer")
            try:
                answers, asked = await self._write(self._connection, pushes)
            except Exception:  # whatever it is, what comes next on this connection must not find its transaction
                await self._connection.rollback()
                raise
            found = await asked.read()
        return [_shown(push, answer, found) for push, answer in zip(pushes, answers, strict=True)]

    async def _write(
        self, connection: ledgers.Connection, pushes: Sequence[Push]
    ) -> tuple[list[Receipt | errors.DomainError], current.Answer]:
        """Two round trips: to the heads and what the decisions need, and to the end of the commit.

        psycopg's own transactions wait for what was written before they send `commit`. Where a statement fails, Postgres passes
        over the rest of the pipeline, `commit` included.
        """
        async with _pipeline(connection):
            await connection.execute("begin")
            answers = await ledgers.commit(connection, pushes, self._keys)
            asked = await current.ask(connection, [_place(push) for push in pushes if push.shows])
            await connection.execute("commit")
        return answers, asked

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already: nothing more can be lost by closing it
                await connection.close()


@contextlib.asynccontextmanager
async def _pipeline(connection: ledgers.Connection) -> AsyncGenerator[None]:
    """psycopg's, which at its end would warn of what Postgres has passed over behind a failure that is known already."""
    async with connection.pipeline() as pipeline:
        try:
            yield
        except psycopg.Error:
            while not await _is_read(pipeline):
                pass
            raise


async def _is_read(pipeline: psycopg.AsyncPipeline) -> bool:
    """Whether all results of the pipeline are read; each call reads some of those that are left."""
    try:
        await pipeline.sync()
    except psycopg.errors.PipelineAborted:
        return False
    return True


def _place(push: Push) -> current.Place:
    assert push.shows is not None
    return (ids.parse(push.ledger_id), push.shows)


def _shown(push: Push, answer: Receipt | errors.DomainError, found: Mapping[current.Place, current.Transaction]) -> Any:
    """The answer, with what the push wants to see."""
    if push.shows is None or not isinstance(answer, Receipt):
        return answer
    return structs.replace(answer, shown=found.get(_place(push)))


def _name_requests(batch: Sequence[Waiting]) -> None:
    """What is logged while a batch is under way bears the id of its request, or the ids of the first of several.

    Postgres is told the first, and how many others there are.
    """
    structlog.contextvars.clear_contextvars()
    found = list(dict.fromkeys(one.request_id for one in batch if one.request_id))
    roles.asker.set("".join(found[:1]) + (f" +{len(found) - 1}" if len(found) > 1 else ""))
    if len(found) == 1:
        structlog.contextvars.bind_contextvars(request_id=found[0])
    elif found:
        structlog.contextvars.bind_contextvars(request_ids=found[:LOGGED_REQUESTS])


def _heads(pushes: Sequence[Push], answers: Sequence[Receipt | errors.DomainError]) -> list[Head]:
    """Where each ledger stands after the batch: the last answer says it; a dry run moves nothing."""
    stored = zip(pushes, answers, strict=True)
    found = {push.ledger_id: answer for push, answer in stored if isinstance(answer, Receipt) and not push.dry_run}
    return [head(ledger_id, answer) for ledger_id, answer in found.items()]


def head(ledger_id: str, receipt: Receipt) -> Head:
    """Where a ledger stands after what has this receipt."""
    return Head(ledger_id, receipt.version, None if receipt.hash is None else receipt.hash.hex())


def _settle(waiting: "asyncio.Future[Receipt]", answer: Any) -> None:
    if waiting.done():  # the client went away; what was committed stays
        return
    if isinstance(answer, BaseException):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
