"""Asks what a claim of messages costs while somebody holds an old snapshot, so that no dead row can be vacuumed."""

import contextlib
import datetime
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text

from bench import harness
from domain.delivery import Channel, Outcome
from pipelines.defs.dispatch import delivery
from storage import engine, outbox, ready, urls
from storage.engine import Begin
from storage.outbox import Claimed, Outgoing


class Plan(NamedTuple):
    """How much is measured, of each side."""

    before: int
    """Messages that are enqueued, claimed and finished as fast as it goes, before the clock runs."""
    seconds: float
    """Of messages at the pace in which they come."""


SHORT = Plan(before=5_000, seconds=12)
"""The table is as old as after a hundred seconds when it begins."""
LONG = Plan(before=0, seconds=600)
MESSAGES_A_SECOND, TICKS_A_SECOND = 50, 10
CHANNELS: tuple[Channel, ...] = ("email", "push")
"""Half of the messages each."""
ACCOUNT_SHARE, FAILING_SHARE = 0.04, 0.03
"""Of the mails; of all messages, at their first call."""
RETRY_JITTER = 0.02
"""Of two minutes: so soon comes again what failed."""
CHUNK = 500
"""Messages that are enqueued together beforehand."""
IDLE_LOOKS = 2
"""Of a lane that has nothing to do while others of its run work: from the beginning, which is the dearest claim there is."""
REST_SECONDS = (0.2, 1.0)
"""Of a lane that has found nothing more."""
RUN_SECONDS = 60.0
"""After which connections are made anew, as a run of the dispatcher does it: a plan lives as long as its connection."""
OLD_LEASE_SECONDS = 10
"""Of messages beforehand: leases, too, have run out for the most part when the clock starts, as they have after ten minutes."""
OLD_CLAIM_LIMIT = 50
LEFT_SECONDS = 60.0
"""In which what is left in the end must be gone."""
CLAIM_GOAL_MS = 50.0

_LEFT = text("select count(*) from debitum.outbox where state in ('pending', 'leased')")
_STATES = text("""
    select o.state, o.attempts - coalesce((o.payload ->> 'fails')::int, 0) as sent_with, count(*)
    from debitum.outbox o group by 1, 2
""")
_ATTEMPTS = text("select outcome, count(*), count(distinct outbox_id) from debitum.delivery_attempts group by 1")
_MAKE_BARE = (
    "create table bare (channel text primary key, turn integer default 0)",
    "grant select, update on bare to public",
    *(f"insert into bare (channel) values ('{channel}')" for channel in CHANNELS),
)
_BARE = text("update public.bare set turn = turn + 1 where channel = :channel")
_SIZES = text("""
    select n_live_tup as live_rows, n_dead_tup as dead_rows, pg_relation_size(relid) as table_bytes,
           pg_relation_size('debitum.outbox_ready_idx') as ready_index_bytes, pg_indexes_size(relid) as index_bytes
    from pg_stat_user_tables where relid = 'debitum.outbox'::regclass
""")


class Timed(NamedTuple):
    """A transaction: when it began (seconds, by a monotonic clock), and how long it took (ms)."""

    at: float
    took: float


class Lane:
    """Does to one channel what the dispatcher does, but that nobody is called: what fails is written in the message."""

    def __init__(self, url: str, channel: Channel) -> None:
        self._url = url
        self.channel: Channel = channel
        self.claims: list[Timed] = []
        self.looks: list[Timed] = []
        """Of the sensor, whether anything is ready."""
        self.starts: list[Timed] = []
        """Of runs, before they claim."""
        self.bare: list[Timed] = []
        """Of a transaction that replaces one row by its key, after each claim."""
        self.sent: Counter[str] = Counter()
        """By key."""

    def work(self, stopping: threading.Event) -> None:
        """Claim and send until `stopping`."""
        dice = random.Random(self.channel)
        while not stopping.is_set():
            over = time.monotonic() + RUN_SECONDS
            with delivery.transactions(self._url) as begin:
                while time.monotonic() < over and not stopping.wait(dice.uniform(*REST_SECONDS)):
                    self._turn(begin)

    def _turn(self, begin: Begin) -> None:
        with _timed(self.looks), begin() as connection:
            is_ready = ready.anything(connection, now=_now(), channels=[self.channel])
        if is_ready:
            since = self._begin(begin)
            self._send_all(begin, since)
            for _ in range(IDLE_LOOKS):
                time.sleep(delivery.LOOK_SECONDS)
                self._send_all(begin, None)

    def _send_all(self, begin: Begin, since: datetime.datetime | None) -> None:
        while claimed := self._claim(begin, outbox.LEASE_SECONDS, outbox.CLAIM_LIMIT, since):
            since = max((row.next_at for row in claimed if row.kind not in outbox.ACCOUNT_KINDS), default=since)
            for row in claimed:
                self._send(begin, [row], outbox.LEASE_SECONDS)

    def drain(self) -> None:
        """Send what is ready as fast as it goes: a transaction a claim, not a message."""
        with delivery.transactions(self._url) as begin:
            while claimed := self._claim(begin, OLD_LEASE_SECONDS, OLD_CLAIM_LIMIT, None):
                self._send(begin, claimed, OLD_LEASE_SECONDS)

    def _begin(self, begin: Begin) -> datetime.datetime:
        """What a run does once, before its lanes claim: it walks over all that was sent since the snapshot."""
        with _timed(self.starts), begin() as connection:
            now = _now()
            assert not outbox.recover(connection, now=now).rows
            return ready.earliest(connection, self.channel) or now

    def _claim(self, begin: Begin, lease_seconds: int, limit: int, since: datetime.datetime | None) -> list[Claimed]:
        with _timed(self.claims), begin() as connection:
            claimed = outbox.claim(connection, self.channel, now=_now(), limit=limit, lease_seconds=lease_seconds, since=since)
        with _timed(self.bare), begin() as connection:
            connection.execute(_BARE, {"channel": self.channel})
        return claimed

    def _send(self, begin: Begin, group: Sequence[Claimed], lease_seconds: int) -> None:
        with begin() as connection:
            attempts = [outbox.start(connection, row, "bench", now=_now(), lease_seconds=lease_seconds) for row in group]
        with begin() as connection:
            for row, attempt in zip(group, attempts, strict=True):
                assert attempt is not None
                fails = row.attempts < row.payload.get("fails", 0)
                outcome: Outcome = "transient" if fails else "sent"
                outbox.finish(connection, row, attempt, outcome, "", now=_now(), jitter=lambda: RETRY_JITTER)
                self.sent[row.dedupe_key] += not fails


@contextlib.contextmanager
def _timed(times: list[Timed]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(Timed(began, (time.perf_counter() - began) * 1_000))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Side(NamedTuple):
    """What was found with, or without, a snapshot."""

    claims: list[Timed]
    looks: list[Timed]
    starts: list[Timed]
    bare: list[Timed]
    notes: dict[str, Any]


def side(plan: Plan, *, pinned: bool) -> Side:
    """A database of its own, aged and then measured at the pace of the messages."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(harness.database())
        if pinned:
            stack.enter_context(snapshot(url))
        with psycopg.connect(urls.libpq_url(url)) as connection:
            for statement in _MAKE_BARE:
                connection.execute(statement)
        begin = stack.enter_context(delivery.transactions(url))
        threads = stack.enter_context(ThreadPoolExecutor(len(CHANNELS)))
        dice, lanes = random.Random(1), [Lane(url, channel) for channel in CHANNELS]
        age(begin, lanes, threads, plan.before, dice)
        for lane in lanes:
            lane.claims.clear()
            lane.bare.clear()
        enqueued = plan.before + run(begin, lanes, threads, plan.seconds, dice)
        notes = check(url, lanes, enqueued)
    found = {name: [one for lane in lanes for one in getattr(lane, name)] for name in ("claims", "looks", "starts", "bare")}
    return Side(**found, notes=notes)


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Somebody who reads in a transaction and then leaves it open: what is deleted or replaced later stays on disk."""
    with psycopg.connect(urls.libpq_url(url)) as connection:
        connection.execute("set idle_in_transaction_session_timeout = 0")
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        count = "select count(*) from debitum.outbox"
        assert connection.execute(count).fetchone() == (0,)
        yield
        assert connection.execute(count).fetchone() == (0,), "the snapshot was still held"


def age(begin: Begin, lanes: Sequence[Lane], threads: ThreadPoolExecutor, count: int, dice: random.Random) -> None:
    """Send `count` messages as fast as it goes, which leaves as many versions of their rows as any other pace."""
    for done in range(0, count, CHUNK):
        _enqueue(begin, min(CHUNK, count - done), dice)
        for working in [threads.submit(lane.drain) for lane in lanes]:
            working.result()


def run(begin: Begin, lanes: Sequence[Lane], threads: ThreadPoolExecutor, seconds: float, dice: random.Random) -> int:
    """Messages at their pace, and lanes that send them until all are sent; how many."""
    stopping = threading.Event()
    working = [threads.submit(lane.work, stopping) for lane in lanes]
    try:
        began, ticks = time.monotonic(), int(seconds * TICKS_A_SECOND)
        for tick in range(ticks):
            time.sleep(max(0.0, began + tick / TICKS_A_SECOND - time.monotonic()))
            _enqueue(begin, MESSAGES_A_SECOND // TICKS_A_SECOND, dice)
        _wait_until_sent(begin)
    finally:
        stopping.set()
    for one in working:
        one.result()
    return ticks * (MESSAGES_A_SECOND // TICKS_A_SECOND)


def _wait_until_sent(begin: Begin) -> None:
    deadline = time.monotonic() + LEFT_SECONDS
    while True:
        with begin() as connection:
            left = connection.execute(_LEFT).scalar_one()
        if not left:
            return
        assert time.monotonic() < deadline, f"{left} messages are left"
        time.sleep(REST_SECONDS[-1])


def _enqueue(begin: Begin, count: int, dice: random.Random) -> None:
    now = _now()
    messages = [_message(dice, now) for _ in range(count)]
    with begin() as connection:
        assert len(outbox.enqueue(connection, messages, now=now)) == count


def _message(dice: random.Random, now: datetime.datetime) -> Outgoing:
    channel = dice.choice(CHANNELS)
    kind = "verify" if channel == "email" and dice.random() < ACCOUNT_SHARE else "reminder"
    payload: dict[str, str | int] = {"reminder_id": str(uuid.uuid4()), "occurrence": now.isoformat()}
    if dice.random() < FAILING_SHARE:
        payload["fails"] = 1
    key = f"{kind}:{uuid.uuid4()}"
    return Outgoing(ledger_id=uuid.uuid4(), dedupe_key=key, kind=kind, channel=channel, payload=payload, next_at=now)


def check(url: str, lanes: Sequence[Lane], enqueued: int) -> dict[str, Any]:
    """Each message was sent once, with as many calls as it takes; what is to note about the table."""
    sent = sum((lane.sent for lane in lanes), Counter[str]())
    assert len(sent) == enqueued == sent.total()
    with engine.sync_engine(url, "debitum-bench").connect() as connection:
        assert [tuple(row) for row in connection.execute(_STATES)] == [("sent", 1, enqueued)]
        attempts = {outcome: (calls, messages) for outcome, calls, messages in connection.execute(_ATTEMPTS)}
        assert attempts["sent"] == (enqueued, enqueued)
        sizes = dict(connection.execute(_SIZES).mappings().one())
    return {"messages": enqueued, "failed_calls": attempts.get("transient", (0, 0))[0], **sizes}


def rows(found: Side, suffix: str, goal: float | None) -> list[harness.Row]:
    """p99 of the claims, of those of the last tenth of the run, and of looks for work; each beside the least and the most."""
    begin, end = found.claims[0].at, max(one.at for one in found.claims)
    late = [one for one in found.claims if one.at >= end - (end - begin) / 10]
    kinds = {
        "outbox_claim": found.claims,
        "outbox_claim_last_tenth": late,
        "outbox_look": found.looks,
        "outbox_start": found.starts,
        "outbox_bare_update": found.bare,
    }
    limits = {} if goal is None else {"outbox_claim": goal, "outbox_claim_last_tenth": goal}
    return [_row(name + suffix, [one.took for one in times], limits.get(name)) for name, times in kinds.items()]


def _row(name: str, times: Sequence[float], goal: float | None) -> harness.Row:
    return harness.Row(name, harness.percentile(times, 0.99), min(times), max(times), "ms p99", "less", goal=goal)


def main() -> None:
    """Run it; with --long ten minutes a side at the pace of the messages, and nothing beforehand."""
    plan = LONG if "--long" in sys.argv[1:] else SHORT
    sides = {"snapshot": side(plan, pinned=True)} | ({"no_snapshot": side(plan, pinned=False)} if plan is LONG else {})
    limits = {"snapshot": ("", CLAIM_GOAL_MS), "no_snapshot": ("_no_snapshot", None)}
    harness.report(
        "outbox_long" if plan is LONG else "outbox",
        [row for name, found in sides.items() for row in rows(found, *limits[name])],
        plan=plan._asdict(),
        claims={name: len(found.claims) for name, found in sides.items()},
        **{name: found.notes for name, found in sides.items()},
    )


if __name__ == "__main__":
    main()
