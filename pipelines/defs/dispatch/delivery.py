"""Drains the outbox through one channel: claim, commit, call, finish, and never a lock while a provider thinks."""

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from notifications import channel as channels
from pipelines.defs.dispatch import messages
from storage import engine, outbox, recipients, roles
from storage.encryption import KeyRing
from storage.engine import Begin

CHANNEL_PAUSE = datetime.timedelta(minutes=5)
"""How long a channel that is down is left alone; an operator has to act, and a few calls an hour show that they did."""

_log = structlog.get_logger(__name__)

Clock = Callable[[], datetime.datetime]
APPLICATION_NAME = "debitum-dispatch"
"""What pg_stat_activity shows."""


@contextmanager
def transactions(url: str) -> Iterator[Begin]:
    """Transactions as the jobs role on connections that are kept until the end of the block.

    A message takes two of them; with a connection for each, that would be two thirds of the time.
    """
    pool = engine.sync_engine(url, APPLICATION_NAME)

    @contextmanager
    def begin() -> Iterator[Connection]:
        with pool.begin() as connection:
            roles.enter(connection, roles.JOBS)
            yield connection

    try:
        yield begin
    finally:
        pool.dispose()


class Tally(msgspec.Struct):
    """What became of the messages.

    `fanned_out`: pushes that became one for each device; `failed`: will be tried again; `unknown`: calls whose answer nobody
    saw; `lost`: rows that somebody else had taken over.
    """

    sent: int = 0
    fanned_out: int = 0
    failed: int = 0
    dead: int = 0
    suppressed: int = 0
    unknown: int = 0
    channel_down: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Lane:
    """One channel at work. Lanes share nothing, so that a provider that hangs holds up its own messages only."""

    begin: Begin
    channel: channels.Channel
    public_url: str
    clock: Clock
    keys: KeyRing | None = None
    """What opens push targets; only files do without."""

    def drain(self, budget: datetime.timedelta) -> Tally:
        """Send until nothing is ready, the channel is down, or `budget` is over."""
        tally = Tally()
        deadline = self.clock() + budget
        while self.clock() < deadline:
            with self.begin() as connection:
                now = self.clock()
                tally.unknown += outbox.recover(connection, now=now).unknown
                claimed = outbox.claim(connection, self.channel.kind, now=now)
            left = self._send_all(claimed, deadline, tally)
            if left or not claimed or tally.channel_down:
                self._stop(left, is_down=tally.channel_down > 0)
                break
        return tally

    def _stop(self, left: list[outbox.Claimed], *, is_down: bool) -> None:
        """Give back what was not sent; of a channel that is down everything waits, or the next run would try it at once."""
        now = self.clock()
        with self.begin() as connection:
            outbox.release(connection, left)
            if is_down:
                outbox.postpone(connection, self.channel.kind, until=now + CHANNEL_PAUSE, now=now)

    def _send_all(self, claimed: list[outbox.Claimed], deadline: datetime.datetime, tally: Tally) -> list[outbox.Claimed]:
        """Those of `claimed` for which there was no time."""
        for number, row in enumerate(claimed):
            if tally.channel_down or self.clock() >= deadline:
                return claimed[number:]
            self._send(row, tally)
        return []

    def _send(self, row: outbox.Claimed, tally: Tally) -> None:
        now = self.clock()
        with self.begin() as connection:
            notice = self._notice(connection, row, now)
            if isinstance(notice, recipients.Suppressed):
                is_mine = outbox.suppress(connection, row, notice.reason, now=now)
                tally.suppressed += is_mine
                tally.lost += not is_mine
                return
            if isinstance(notice, recipients.Several):
                is_mine = outbox.fan_out(connection, row, notice.device_ids, now=now)
                tally.fanned_out += is_mine
                tally.lost += not is_mine
                return
            attempt = outbox.start(connection, row, self.channel.name, now=now)
        if attempt is None:
            tally.lost += 1
            return
        if isinstance(notice, channels.Transient):
            self._finish(row, attempt, notice, tally, None)
        else:
            self._finish(row, attempt, self._call(row, notice, now), tally, notice.user)

    def _notice(
        self, connection: Connection, row: outbox.Claimed, now: datetime.datetime
    ) -> recipients.Notice | recipients.Several | recipients.Suppressed | channels.Transient:
        try:
            return recipients.load(connection, row, local=self.channel.local, keys=self.keys, now=now)
        except SQLAlchemyError:
            raise
        except Exception as error:
            # A row that we cannot read must neither stop the others nor come back for ever: it costs it an attempt.
            return self._broken(row, error)

    def _call(self, row: outbox.Claimed, notice: recipients.Notice, now: datetime.datetime) -> channels.Outcome:
        try:
            message = messages.compose(row, notice, public_url=self.public_url, now=now)
        except Exception as error:
            return self._broken(row, error)
        return self.channel.send(message, now=now)

    def _broken(self, row: outbox.Claimed, error: Exception) -> channels.Transient:
        _log.error("message_unwritable", outbox_id=str(row.id), kind=row.kind, exc_info=error)
        return channels.Transient(f"could not be written: {type(error).__name__}")

    def _finish(
        self, row: outbox.Claimed, attempt: int, outcome: channels.Outcome, tally: Tally, user: recipients.User | None
    ) -> None:
        now = self.clock()
        is_down = isinstance(outcome, channels.ChannelDown)
        retry_at = outcome.retry_at if isinstance(outcome, channels.Transient) else None
        with self.begin() as connection:
            if isinstance(outcome, channels.TargetGone) and user is not None and user.device is not None:
                recipients.forget_target(connection, user.id, user.device)
            state = outbox.finish(
                connection,
                row,
                attempt,
                outcome.code,
                outcome.detail,
                now=now,
                retry_at=now + CHANNEL_PAUSE if is_down else retry_at,
            )
        self._count(row, outcome, state, tally)

    def _count(self, row: outbox.Claimed, outcome: channels.Outcome, state: outbox.State | None, tally: Tally) -> None:
        tally.unknown += isinstance(outcome, channels.Unknown)
        tally.channel_down += isinstance(outcome, channels.ChannelDown)
        tally.lost += state is None
        tally.sent += state == "sent"
        tally.dead += state == "dead"
        tally.failed += state == "pending" and not isinstance(outcome, channels.ChannelDown)
        if state != "sent":
            provider = self.channel.name
            _log.warning("message_not_sent", outbox_id=str(row.id), provider=provider, outcome=outcome.code, state=state)
