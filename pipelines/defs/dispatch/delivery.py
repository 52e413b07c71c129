"""Drains the outbox through the providers of one kind: claim, commit, call, finish, and never a lock while one thinks."""

import contextvars
import datetime
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import structs
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from domain.delivery import Channel as ChannelKind
from domain.delivery import Outcome
from domain.reminders import CHANNELS
from notifications import channel as channels
from notifications.links import Links
from pipelines.defs.dispatch import messages
from storage import circuits, engine, outbox, ready, recipients, roles
from storage.encryption import KeyRing
from storage.engine import Begin

LOOK_SECONDS: Final = 0.5
"""Between two looks of a lane that has nothing to do while others are at work."""

_log = structlog.get_logger(__name__)

Clock = Callable[[], datetime.datetime]
APPLICATION_NAME = "debitum-dispatch"
"""What pg_stat_activity shows."""


@contextmanager
def transactions(url: str) -> Iterator[Begin]:
    """Transactions as the jobs role on connections that are kept until the end of the block.

    A message takes two of them; with a connection for each, that would be two thirds of the time.
    """
    with engine.temporary(url, APPLICATION_NAME) as database:
        yield partial(roles.transaction, database, roles.JOBS)


class Tally(msgspec.Struct):
    """What became of the messages.

    `fanned_out`: pushes that became one for each device; `postponed`: whose readers want quiet; `failed`: will be tried again;
    `unknown`: calls whose answer nobody saw; `lost`: rows that somebody else had taken over.
    """

    sent: int = 0
    fanned_out: int = 0
    postponed: int = 0
    failed: int = 0
    dead: int = 0
    suppressed: int = 0
    unknown: int = 0
    channel_down: int = 0
    lost: int = 0


class Start(NamedTuple):
    """Where a run begins: since when messages of each kind are ready, and how many calls of dead senders nobody knows about."""

    since: dict[ChannelKind, datetime.datetime]
    unknown: int


def prepare(begin: Begin, *, now: datetime.datetime) -> Start:
    """Take back what dead senders held, and look once for all lanes where to begin."""
    unknown = 0
    while True:
        with begin() as connection:
            recovered = outbox.recover(connection, now=now)
        unknown += recovered.unknown
        if recovered.rows < outbox.RECOVER_LIMIT:
            break
    with begin() as connection:
        # Where nothing is ready yet, what may become so in a moment begins now.
        since = {kind: ready.earliest(connection, kind) or now for kind in CHANNELS}
    return Start(since, unknown)


class Way(NamedTuple):
    """The provider that a message goes to; `probing`: to see whether it takes messages again."""

    channel: channels.Channel
    probing: bool = False


class Crew:
    """Counts the lanes of one run that are at work. One that finds nothing to do looks again until none has anything to do.

    There is one run at a time: if lanes ended while one of another provider hangs, what comes due for them meanwhile would wait
    for the end of the run.
    """

    def __init__(self, lanes: int) -> None:
        self._at_work = lanes
        self._done = threading.Event()
        self._dismissed = threading.Event()
        self._alone = threading.Lock()

    def is_done(self) -> bool:
        """Whether the caller, who found nothing to do, may end; if not, this returns after a pause, and it looks again."""
        self.leave()
        if self._done.wait(LOOK_SECONDS):
            return True
        with self._alone:
            self._at_work += 1
            return self._done.is_set()

    def dismiss(self) -> None:
        """Whoever is at work ends with the call that is under way."""
        self._dismissed.set()

    def is_dismissed(self) -> bool:
        """Whether nobody wants anything to be sent any more."""
        return self._dismissed.is_set()

    def leave(self) -> None:
        """The caller has nothing to do, or has failed."""
        with self._alone:
            self._at_work -= 1
            if self._at_work == 0:
                self._done.set()


@dataclass(frozen=True)
class Lane:
    """One sender of one kind of message. Lanes share nothing, so that a provider that hangs holds up its own messages only.

    `ways` are the providers of the kind. A first attempt goes to the first of them, a second to the next, for where one
    fails another may not; one whose circuit is open (storage.circuits) is left out.
    """

    begin: Begin
    ways: tuple[channels.Channel, ...]
    links: Links
    clock: Clock
    keys: KeyRing | None = None
    """What opens push targets; only files do without."""
    jitter: Callable[[], float] = random.random
    """0 … 1, of the wait before another attempt."""

    @property
    def kind(self) -> ChannelKind:
        """Which of the two ways to a person it serves."""
        return self.ways[0].kind

    def drain(self, budget: datetime.timedelta, *, since: datetime.datetime | None = None, crew: Crew | None = None) -> Tally:
        """Send until nothing is ready for anybody of the `crew`, no provider is up, or `budget` is over.

        `since` is where to begin (storage.ready.earliest). What becomes ready before it meanwhile is found by whoever has
        nothing else to do.
        """
        tally, begins, crew = Tally(), since, crew or Crew(1)
        deadline = self.clock() + budget

        def is_over() -> bool:
            return crew.is_dismissed() or self.clock() >= deadline

        while not is_over():
            with self.begin() as connection:
                claimed = self._claim(connection, self.clock(), begins)
            if not claimed:
                if crew.is_done():
                    break
                begins = None
                continue
            # Nothing is ready before the last of them, unless it is given back.
            begins = max((row.next_at for row, _ in claimed if row.kind not in outbox.ACCOUNT_KINDS), default=begins)
            if left := self._send_all(claimed, is_over, tally):
                begins = since
                with self.begin() as connection:
                    outbox.release(connection, left)
        return tally

    def _claim(
        self, connection: Connection, now: datetime.datetime, since: datetime.datetime | None
    ) -> list[tuple[outbox.Claimed, Way]]:
        """The next messages, and by which provider each goes; of one that is to be tried again there is only one."""
        open_ = {one.provider: one for one in circuits.opened(connection, {self.kind: [way.name for way in self.ways]})}
        up = [way for way in self.ways if way.name not in open_]
        rested = [way for way in self.ways if way.name in open_ and open_[way.name].retry_at <= now]
        if not up and not rested:
            return []
        claimed = outbox.claim(connection, self.kind, now=now, limit=outbox.CLAIM_LIMIT if up else 1, since=since)
        probed = [way for way in rested[:1] if claimed and circuits.probe(connection, self.kind, way.name, now=now)]
        first = [(claimed[0], Way(probed[0], probing=True))] if probed else []
        if not up:
            outbox.release(connection, claimed[len(first) :])
            return first
        return first + [(row, Way(up[row.attempts % len(up)])) for row in claimed[len(first) :]]

    def _send_all(
        self, claimed: list[tuple[outbox.Claimed, Way]], is_over: Callable[[], bool], tally: Tally
    ) -> list[outbox.Claimed]:
        """Send them; returns those for which there was no time, or whose provider may just have gone down."""
        for number, (row, way) in enumerate(claimed):
            if is_over() or self._send(row, way, tally) == "channel_down":
                return [row for row, _ in claimed[number:]]
        return []

    def _send(self, row: outbox.Claimed, way: Way, tally: Tally) -> Outcome | None:
        """What became of the call; None: there was none."""
        now = self.clock()
        with self.begin() as connection:
            notice = self._notice(connection, row, way, now)
            if isinstance(notice, recipients.Suppressed | recipients.Several | recipients.Later):
                self._put_away(connection, row, notice, tally, now)
                if way.probing:
                    circuits.give_back(connection, self.kind, way.channel.name, now=now)
                return None
            attempt = outbox.start(connection, row, way.channel.name, now=now)
        if attempt is None:
            tally.lost += 1
            return None
        if isinstance(notice, channels.Transient):
            return self._finish(row, way, attempt, notice, tally, None)
        return self._finish(row, way, attempt, self._call(row, way, notice, now), tally, notice.user)

    def _put_away(
        self,
        connection: Connection,
        row: outbox.Claimed,
        notice: recipients.Suppressed | recipients.Several | recipients.Later,
        tally: Tally,
        now: datetime.datetime,
    ) -> None:
        match notice:
            case recipients.Suppressed(reason=reason):
                is_mine = outbox.suppress(connection, row, reason, now=now)
                tally.suppressed += is_mine
            case recipients.Several(device_ids=device_ids):
                is_mine = outbox.fan_out(connection, row, device_ids, now=now)
                tally.fanned_out += is_mine
            case recipients.Later(at=at):
                is_mine = outbox.postpone(connection, row, at)
                tally.postponed += is_mine
        tally.lost += not is_mine

    def _notice(
        self, connection: Connection, row: outbox.Claimed, way: Way, now: datetime.datetime
    ) -> recipients.Notice | recipients.Several | recipients.Suppressed | recipients.Later | channels.Transient:
        try:
            return recipients.load(connection, row, local=way.channel.local, keys=self.keys, now=now)
        except SQLAlchemyError:
            raise
        except Exception as error:
            # A row that we cannot read must neither stop the others nor come back for ever: it costs it an attempt.
            return self._broken(row, error)

    def _call(self, row: outbox.Claimed, way: Way, notice: recipients.Notice, now: datetime.datetime) -> channels.Outcome:
        try:
            message = messages.compose(row, notice, links=self.links, now=now)
        except Exception as error:
            return self._broken(row, error)
        outcome = way.channel.send(message, now=now)
        if isinstance(outcome, channels.Transient) and outcome.retry_at is not None:
            # The channel counts from before the call, the provider from its answer: too late is right, too early is not.
            return structs.replace(outcome, retry_at=outcome.retry_at + (self.clock() - now))
        return outcome

    def _broken(self, row: outbox.Claimed, error: Exception) -> channels.Transient:
        _log.error("message_unwritable", outbox_id=str(row.id), kind=row.kind, exc_info=error)
        return channels.Transient(f"could not be written: {type(error).__name__}")

    def _finish(
        self,
        row: outbox.Claimed,
        way: Way,
        attempt: int,
        outcome: channels.Outcome,
        tally: Tally,
        user: recipients.User | None,
    ) -> Outcome:
        now = self.clock()
        retry_at = outcome.retry_at if isinstance(outcome, channels.Transient) else None
        with self.begin() as connection:
            if isinstance(outcome, channels.TargetGone) and user is not None and user.device is not None:
                recipients.forget_target(connection, user.id, user.device)
            if isinstance(outcome, channels.ChannelDown):
                circuits.trip(connection, self.kind, way.channel.name, outcome.detail, now=now)
            elif way.probing and isinstance(outcome, channels.Sent | channels.Permanent | channels.TargetGone):
                circuits.close(connection, self.kind, way.channel.name)
            state = outbox.finish(
                connection, row, attempt, outcome.code, outcome.detail, now=now, retry_at=retry_at, jitter=self.jitter
            )
        self._count(row, way, outcome, state, tally)
        return outcome.code

    def _count(self, row: outbox.Claimed, way: Way, outcome: channels.Outcome, state: outbox.State | None, tally: Tally) -> None:
        is_down = isinstance(outcome, channels.ChannelDown)
        tally.unknown += isinstance(outcome, channels.Unknown)
        tally.channel_down += is_down
        tally.lost += state is None
        tally.sent += state == "sent"
        tally.dead += state == "dead"
        tally.failed += state == "pending" and not is_down
        if state != "sent":
            provider = way.channel.name
            _log.warning("message_not_sent", outbox_id=str(row.id), provider=provider, outcome=outcome.code, state=state)


def drain_all(lanes: Sequence[Lane], budget: datetime.timedelta, start: Start) -> list[tuple[ChannelKind, Tally]]:
    """All side by side, each in a thread of its own, until nothing is ready, `budget` is over or the caller is interrupted."""
    crew = Crew(len(lanes))
    with ThreadPoolExecutor(len(lanes)) as threads:
        running = [(lane.kind, threads.submit(_drained, lane, budget, start, crew, contextvars.copy_context())) for lane in lanes]
        try:
            return [(kind, future.result()) for kind, future in running]
        except Exception:  # a lane's, which is no matter of the others
            raise
        except BaseException:  # an operator has stopped the run, perhaps for what it sends
            crew.dismiss()
            raise


def _drained(lane: Lane, budget: datetime.timedelta, start: Start, crew: Crew, context: contextvars.Context) -> Tally:
    try:
        return context.run(lane.drain, budget, since=start.since[lane.kind], crew=crew)
    except BaseException:
        crew.leave()  # or the others would look for messages until the time is over
        raise
