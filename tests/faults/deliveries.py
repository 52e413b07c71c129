"""Messages that are ready to be sent, and what has to be true of them in the end, by the providers and by the database."""

import datetime
import itertools
import uuid
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update

from domain import delivery
from domain.delivery import Channel
from notifications.message import EmailTarget, Message, fingerprint
from storage import due, engine, outbox_keys, roles, sealing, tables
from storage.encryption import KeyRing
from tests.faults.providers import Call, Provider, now
from tests.storage import rows

NOT_KNOWN: Final = (None, "unknown")
"""Outcomes of attempts that may have been accepted: the sender died over it, or its answer was lost."""
DEAD: Final = (delivery.EXHAUSTED, "permanent", "target_gone")


@contextmanager
def database(url: str) -> Iterator[Engine]:
    """An engine that leaves no connection behind."""
    made = engine.sync_engine(url, "debitum-faults")
    try:
        yield made
    finally:
        made.dispose()


def fill(url: str, keys: KeyRing, pairs: int) -> None:
    """`pairs` users with a device each, and for each user a mail and a push that have come due a minute ago."""
    with database(url) as filled:
        with filled.begin() as connection:
            for number in range(pairs):
                _user(connection, keys, number)
        with filled.begin() as connection:
            roles.enter(connection, roles.JOBS)
            page = due.enqueue_page(connection, "remind_at", now=now())
            while page.following is not None:
                page = due.enqueue_page(connection, "remind_at", now=now(), cursor=page.following)


def _user(connection: Connection, keys: KeyRing, number: int) -> None:
    at = now() - datetime.timedelta(minutes=1)
    ledger = rows.ledger(connection)
    ledger.reminder(at, message="Ask for the drill", channels=["email", "push"])
    sealed = keys.new_data_key(str(ledger.id))
    connection.execute(update(tables.ledgers).where(tables.ledgers.c.id == ledger.id).values(data_key=sealed))
    device_id, token = uuid.uuid4(), f"token-{number}"
    connection.execute(
        insert(tables.devices).values(
            user_id=ledger.user_id,
            id=device_id,
            name="a phone",
            created_at=at,
            last_seen_at=at,
            push_kind="token",
            push_value=sealing.store_push_target(keys.cipher(str(ledger.id), sealed), device_id, token),
            push_fingerprint=sealing.push_fingerprints(keys, "token", token)[0],
        )
    )


class Attempt(NamedTuple):
    """A call as the database knows it."""

    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    outcome: str | None


@dataclass
class Row:
    """A message as the database knows it, by the name that its provider knows it by."""

    channel: Channel
    state: str
    reason: str | None
    attempts: list[Attempt] = field(default_factory=list)


def read(url: str) -> dict[str, Row]:
    """Every message, without the pushes in whose place there is one for each device."""
    tried = tables.delivery_attempts.c
    found, names = dict[str, Row](), dict[uuid.UUID, str]()
    with database(url) as filled, filled.connect() as connection:
        for row in connection.execute(select(tables.outbox)):
            if row.reason != outbox_keys.FANNED_OUT:
                names[row.id] = row.dedupe_key if row.channel == "push" else _fingerprint(row.id)
                found[names[row.id]] = Row(row.channel, row.state, row.reason)
        for row in connection.execute(select(tables.delivery_attempts).order_by(tried.attempt)):
            found[names[row.outbox_id]].attempts.append(Attempt(row.started_at, row.finished_at, row.outcome))
    assert len(found) == len(names), "two messages go by one name"
    return found


def _fingerprint(outbox_id: uuid.UUID) -> str:
    target = EmailTarget("somebody@example.org")
    return fingerprint(Message(id=outbox_id, key="", kind="", to=target, subject="", text="", created_at=now()))


class Verdict(NamedTuple):
    """What was found: numbers of messages, of calls, of attempts.

    `duplicates`: calls that the providers accepted, beyond the first of each message. `duplicates_counted`: the same by the
    attempts of the database. Every accepted call lies in the time of one attempt, and the attempts that may have been
    accepted are those that were, plus those without an answer (`unanswered`), of which only the provider knows.
    """

    messages: int
    states: Counter[str]
    lost: list[str]
    duplicates: int
    duplicates_counted: int
    unanswered: int
    calls: int
    most_attempts: dict[str, int]


def judge(url: str, *providers: Provider) -> Verdict:
    """Compares the database with what the providers were asked. Raises AssertionError where a rule was broken."""
    return compare(read(url), [call for provider in providers for call in provider.desk.calls])


def compare(found: Mapping[str, Row], calls: Sequence[Call]) -> Verdict:
    """The same of what was read, and of all calls."""
    of = defaultdict[str, list[Call]](list)
    for call in sorted(calls, key=lambda call: call.at):
        of[call.message].append(call)
    assert set(of) <= set(found), "a call for a message that is not in the outbox"
    lost, counted = [], 0
    for name, row in found.items():
        _check_calls(row, of[name])
        taken = _taken(row, of[name])
        counted += max(taken - 1, 0)
        if not _is_over(row) or (row.state == "sent" and not any(call.accepted for call in of[name])):
            lost.append(f"{row} {of[name]}")
    accepted = Counter(call.message for call in calls if call.accepted)
    return Verdict(
        messages=len(found),
        states=Counter(row.reason or row.state for row in found.values()),
        lost=lost,
        duplicates=accepted.total() - len(accepted),
        duplicates_counted=counted,
        unanswered=sum(attempt.outcome in NOT_KNOWN for row in found.values() for attempt in row.attempts),
        calls=len(calls),
        most_attempts={kind: _most(found.values(), kind) for kind in ("email", "push")},
    )


def _is_over(row: Row) -> bool:
    return row.state == "sent" or (row.state == "dead" and row.reason in DEAD)


def _check_calls(row: Row, calls: Sequence[Call]) -> None:
    """No more of them than are allowed, and none before the time that the one before was answered with."""
    assert len(row.attempts) <= delivery.MAX_ATTEMPTS[row.channel], f"{len(row.attempts)} attempts: {row}"
    for one, following in itertools.pairwise(calls):
        early = (one.not_before - following.at).total_seconds() if one.not_before is not None else 0
        assert early <= 0, f"{early:.3f} s before the provider wanted to be asked again: {one}, {following}"


def _taken(row: Row, calls: Sequence[Call]) -> int:
    """Attempts that the database knows to be accepted, or whose end only the provider knows, and which it accepted.

    A call belongs to the last attempt that was written down before it.
    """
    starts = [attempt.started_at for attempt in row.attempts]
    by_attempt = defaultdict[int, list[Call]](list)
    for call in calls:
        by_attempt[bisect_right(starts, call.at) - 1].append(call)
    assert -1 not in by_attempt, f"a call before its attempt was written down: {row} {calls}"
    assert all(len(some) == 1 for some in by_attempt.values()), f"two calls in one attempt: {row} {calls}"
    accepted = {number for number, some in by_attempt.items() if some[0].accepted}
    for number, attempt in enumerate(row.attempts):
        if row.state in ("sent", "dead"):
            assert attempt.finished_at is not None, f"over, and an attempt is not: {row}"
        assert attempt.outcome != "sent" or number in accepted, f"sent, says the database alone: {row} {calls}"
    return sum(
        attempt.outcome == "sent" or (attempt.outcome in NOT_KNOWN and number in accepted)
        for number, attempt in enumerate(row.attempts)
    )


def _most(found: Iterable[Row], channel: str) -> int:
    return max((len(row.attempts) for row in found if row.channel == channel), default=0)


class Schedule:
    """When the mails and pushes that `fill` made are ready: later, or one pair after the other."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._left: list[uuid.UUID] = []

    def postpone_all(self) -> None:
        """Until `let`."""
        its = tables.outbox.c
        with database(self._url) as filled, filled.begin() as connection:
            connection.execute(update(tables.outbox).values(next_at=now() + datetime.timedelta(days=1)))
            self._left = list(connection.scalars(select(its.ledger_id).distinct()))

    def let(self, count: int, *, every_seconds: float) -> dict[str, datetime.datetime]:
        """The mails of the next `count` users are ready, their pushes one after the other; when, by the key of the push."""
        ready, its = dict[str, datetime.datetime](), tables.outbox.c
        begins = now() + datetime.timedelta(seconds=0.5)
        with database(self._url) as filled, filled.begin() as connection:
            for number in range(count):
                at, of_user = begins + datetime.timedelta(seconds=number * every_seconds), its.ledger_id == self._left.pop()
                connection.execute(update(tables.outbox).where(of_user, its.channel == "email").values(next_at=begins))
                push = update(tables.outbox).where(of_user, its.channel == "push").values(next_at=at)
                ready[connection.execute(push.returning(its.dedupe_key)).scalar_one()] = at
        return ready
