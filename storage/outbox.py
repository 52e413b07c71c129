"""The outbox: what must be sent, each once by its key, leased to one sender at a time and finished under a fence.

    pending ──claim──▶ leased ──finish──▶ sent | dead | pending again, later
                          │ ├──fan_out───▶ sent, and one pending row a device
                          │ ├──suppress──▶ suppressed ──enqueue of the same key──▶ pending
                          │ ├──release───▶ pending
                          ├──postpone──▶ pending, later
                          └──its lease ran out: recover──▶ pending | dead

A push that was fanned out follows its devices: where it reached none, it is suppressed too (storage.outbox_keys).

Nothing here waits for a provider: every function is a few statements in the caller's transaction, which ends before a
message goes out. A message is lost by nobody; it can go out twice only where a sender died, or a reply was lost, between
the provider's acceptance and `finish`. Such an attempt keeps the outcome null or has `unknown`, and is counted.
"""

import datetime
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from domain import delivery
from domain.delivery import Channel, Outcome
from storage import arrays, outbox_keys, tables
from storage.outbox_keys import FANNED_OUT, Key, by_key, is_named

State = Literal["pending", "leased", "sent", "dead", "suppressed"]

ACCOUNT_KINDS: Final = ("verify", "reset", "welcome")
"""Mails that somebody sits and waits for: claimed before everything else, and written to unverified addresses too."""
LEASE_SECONDS: Final = 120
"""Far more than one call may take (10 s), and short enough that a dead sender's messages are not late by much."""
CLAIM_LIMIT: Final = 10
"""Messages a claim: a second or two of work, so that a sender that dies holds up little for the length of a lease."""
RECOVER_LIMIT: Final = 1000
"""Lapsed rows a call of `recover`; the next call takes the others."""

# Written out and not bound: a plan that is good for any state uses no index that is there for one.
PENDING: Final[ColumnElement[str]] = literal_column("'pending'")
LEASED: Final[ColumnElement[str]] = literal_column("'leased'")
_is_account = tables.outbox.c.kind.in_(bindparam("account_kinds", ACCOUNT_KINDS, expanding=True, literal_execute=True))

_outbox = tables.outbox
_attempts = tables.delivery_attempts


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """Something to send, not before `next_at`. `kind` is a template; `payload` holds ids, dates and occurrences only."""

    ledger_id: UUID
    dedupe_key: str
    kind: str
    channel: Channel
    payload: dict[str, str | int]
    next_at: datetime.datetime


class Known(msgspec.Struct, frozen=True):
    """What became of a key that is in the outbox."""

    state: State
    reason: str | None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A row that its holder may send while nobody else has raised `fence`. `attempts`: calls so far."""

    ledger_id: UUID
    id: UUID
    dedupe_key: str
    kind: str
    channel: Channel
    payload: dict[str, Any]
    attempts: int
    fence: int
    next_at: datetime.datetime
    created_at: datetime.datetime

    @property
    def device_id(self) -> UUID | None:
        """The device that this push is for; None: whichever devices there are."""
        found = self.payload.get("device_id")
        return None if found is None else UUID(found)

    @property
    def cause(self) -> str:
        """The key of what is to be said, whichever device it is said to."""
        return self.dedupe_key if self.device_id is None else self.dedupe_key.removesuffix(f":{self.device_id}")

    @property
    def wholes(self) -> list[Key]:
        """The push to all devices in whose place this one stands; none: it stands for itself."""
        return [] if self.device_id is None else [(self.ledger_id, self.cause)]


class Recovered(msgspec.Struct, frozen=True):
    """Rows whose lease ran out: how many, and of how many a call had begun whose outcome nobody knows."""

    rows: int
    unknown: int


def enqueue(connection: Connection, messages: Iterable[Outgoing], *, now: datetime.datetime) -> set[Key]:
    """Put `messages` in, in whichever role; returns the keys that will be sent because of this call.

    A key that is there already is left alone, but for a suppressed one, which is revived.
    """
    found = {(message.ledger_id, message.dedupe_key): message for message in messages}
    if not found:
        return set()
    rows = msgspec.json.encode(list(found.values())).decode()
    return {(row.ledger_id, row.dedupe_key) for row in connection.execute(_ENQUEUE, {"rows": rows, "now": now})}


def _enqueue() -> ReturningInsert[UUID, str]:
    given = arrays.given(*(_outbox.c[name] for name in Outgoing.__struct_fields__))
    rows = select(func.gen_random_uuid(), bindparam("now", type_=_outbox.c.created_at.type), given).order_by(*by_key(given))
    statement = insert(_outbox).from_select(["id", "created_at", *Outgoing.__struct_fields__], rows)
    revived = statement.on_conflict_do_update(
        index_elements=[_outbox.c.ledger_id, _outbox.c.dedupe_key],
        set_={
            "state": "pending",
            "next_at": statement.excluded.next_at,
            "payload": statement.excluded.payload,
            "attempts": 0,
            "fence": _outbox.c.fence + 1,
            "finished_at": None,
            "reason": None,
        },
        where=_outbox.c.state == "suppressed",
    )
    return revived.returning(_outbox.c.ledger_id, _outbox.c.dedupe_key)


_ENQUEUE: Final = _enqueue()


def known(connection: Connection, keys: Collection[Key]) -> dict[Key, Known]:
    """What is in the outbox of the keys asked for."""
    if not keys:
        return {}
    found = connection.execute(_KNOWN, outbox_keys.as_rows(keys))
    return {(row.ledger_id, row.dedupe_key): Known(row.state, row.reason) for row in found}


def _known() -> Select[Any]:
    wanted = arrays.given(_outbox.c.ledger_id, _outbox.c.dedupe_key)
    return select(_outbox.c.ledger_id, _outbox.c.dedupe_key, _outbox.c.state, _outbox.c.reason).join(wanted, is_named(wanted))


_KNOWN: Final = _known()


def recover(connection: Connection, *, now: datetime.datetime) -> Recovered:
    """Take back what dead senders held: rows past their lease are pending again, or dead where no attempt is left."""
    has_lapsed = and_(_outbox.c.state == LEASED, _outbox.c.lease_until <= now)
    is_spent = _outbox.c.attempts >= case(delivery.MAX_ATTEMPTS, value=_outbox.c.channel)
    ends_device = and_(is_spent, _outbox.c.payload.has_key("device_id"))
    mine = tuple_(_outbox.c.ledger_id, _outbox.c.id)
    columns = [_outbox.c[name] for name in Claimed.__struct_fields__]
    oldest = select(*columns).order_by(_outbox.c.lease_until).limit(RECOVER_LIMIT)
    # Their wholes are locked before them, so they are looked for twice.
    ending = [Claimed(**row) for row in connection.execute(oldest.where(has_lapsed, ends_device)).mappings()]
    wholes = {whole for row in ending for whole in row.wholes}
    outbox_keys.hold(connection, wholes)
    is_held = or_(not_(ends_device), mine.in_([(row.ledger_id, row.id) for row in ending]))
    lapsed = connection.execute(oldest.where(has_lapsed, is_held).with_for_update(skip_locked=True))
    keys = [(row.ledger_id, row.id) for row in lapsed]
    if not keys:
        return Recovered(rows=0, unknown=0)
    unanswered = and_(_attempts.c.outcome.is_(None), _attempts.c.finished_at.is_(None))
    # Its outcome stays null, for nobody knows it; finished_at says that nobody waits for it any more.
    given_up = connection.execute(
        update(_attempts)
        .where(tuple_(_attempts.c.ledger_id, _attempts.c.outbox_id).in_(keys), unanswered)
        .values(finished_at=now)
    )
    connection.execute(
        update(_outbox)
        .where(mine.in_(keys))
        .values(
            state=case((is_spent, "dead"), else_="pending"),
            finished_at=case((is_spent, now)),
            reason=case((is_spent, delivery.EXHAUSTED)),
            lease_until=None,
        )
    )
    outbox_keys.settle(connection, wholes)
    return Recovered(rows=len(keys), unknown=given_up.rowcount)


def claim(
    connection: Connection,
    channel: Channel,
    *,
    now: datetime.datetime,
    limit: int = CLAIM_LIMIT,
    lease_seconds: int = LEASE_SECONDS,
    since: datetime.datetime | None = None,
) -> list[Claimed]:
    """Lease up to `limit` ready rows of `channel`: mails about accounts first, then the longest ready. Commit before sending.

    Mails about accounts are claimed whatever `since` is; of the others only those whose next_at is not before it.
    """
    # Two statements, each a walk along an index of what is ready and not a sort of it.
    claimed = _claim_where(connection, channel, [_is_account], now, limit, lease_seconds)
    if len(claimed) < limit:
        others = [not_(_is_account)] if since is None else [not_(_is_account), _outbox.c.next_at >= since]
        claimed += _claim_where(connection, channel, others, now, limit - len(claimed), lease_seconds)
    return claimed


def _claim_where(
    connection: Connection,
    channel: Channel,
    which: Sequence[ColumnElement[bool]],
    now: datetime.datetime,
    limit: int,
    lease_seconds: int,
) -> list[Claimed]:
    ready = (
        select(_outbox.c.ledger_id, _outbox.c.id)
        .where(_outbox.c.state == PENDING, _outbox.c.next_at <= now, _outbox.c.channel == channel, *which)
        .order_by(_outbox.c.channel, _outbox.c.next_at, _outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("ready")
    )
    statement = (
        update(_outbox)
        .where(_outbox.c.ledger_id == ready.c.ledger_id, _outbox.c.id == ready.c.id)
        .values(state="leased", lease_until=now + datetime.timedelta(seconds=lease_seconds), fence=_outbox.c.fence + 1)
        .returning(*(_outbox.c[name] for name in Claimed.__struct_fields__))
    )
    claimed = [Claimed(**row) for row in connection.execute(statement).mappings()]
    return sorted(claimed, key=lambda row: (row.next_at, row.id))


def start(
    connection: Connection, claimed: Claimed, provider: str, *, now: datetime.datetime, lease_seconds: int = LEASE_SECONDS
) -> int | None:
    """Write down that a call begins, and renew the lease; commit before the call. Returns the attempt's number.

    None: the lease ran out and the row is not the caller's any more, so that it must not be sent.
    """
    mine = connection.execute(
        update(_outbox)
        .where(*_held_by(claimed), _outbox.c.state == "leased")
        .values(attempts=_outbox.c.attempts + 1, lease_until=now + datetime.timedelta(seconds=lease_seconds))
    )
    if mine.rowcount == 0:
        return None
    earlier = select(func.coalesce(func.max(_attempts.c.attempt), 0) + 1).where(
        _attempts.c.ledger_id == claimed.ledger_id, _attempts.c.outbox_id == claimed.id
    )
    number: int = connection.execute(
        insert(_attempts)
        .values(
            ledger_id=claimed.ledger_id,
            outbox_id=claimed.id,
            attempt=earlier.scalar_subquery(),
            provider=provider,
            started_at=now,
        )
        .returning(_attempts.c.attempt)
    ).scalar_one()
    return number


def finish(
    connection: Connection,
    claimed: Claimed,
    attempt: int,
    outcome: Outcome,
    detail: str,
    *,
    now: datetime.datetime,
    retry_at: datetime.datetime | None = None,
    jitter: Callable[[], float] = random.random,
) -> State | None:
    """Write down what became of a call, and what follows: the row's new state, never due before `retry_at`.

    None: somebody else holds the row by now; the attempt is recorded, the row is left as it is. `channel_down` says nothing
    about the message and does not count against it: it waits behind the others for a provider that takes mails again
    (storage.circuits), not for a time of its own. `jitter` gives 0 … 1.
    """
    calls = claimed.attempts + (outcome != "channel_down")
    after = delivery.verdict(claimed.channel, outcome, calls)
    values: dict[str, Any] = {"state": after.state, "attempts": calls, "lease_until": None, "reason": after.reason}
    if after.state == "pending":
        is_down = outcome == "channel_down"
        values["next_at"] = now if is_down else delivery.next_at(calls, jitter(), now=now, retry_at=retry_at)
    else:
        values["finished_at"] = now
    wholes = [] if after.state == "pending" else claimed.wholes
    outbox_keys.hold(connection, wholes)
    # Also a row that was taken back and that nobody has claimed since: its fence has not moved.
    is_open = _outbox.c.state.in_(("leased", "pending"))
    mine = connection.execute(update(_outbox).where(*_held_by(claimed), is_open).values(values))
    is_late = outcome == "sent" and not mine.rowcount
    if is_late:
        mine = connection.execute(update(_outbox).where(*_held_by(claimed), _outbox.c.state == "dead").values(values))
    # After the row, as `recover` does.
    connection.execute(
        update(_attempts)
        .where(
            _attempts.c.ledger_id == claimed.ledger_id,
            _attempts.c.outbox_id == claimed.id,
            _attempts.c.attempt == attempt,
        )
        .values(finished_at=now, outcome=outcome, detail=detail)
    )
    if mine.rowcount and (after.state == "dead" or is_late):
        outbox_keys.settle(connection, wholes)
    return after.state if mine.rowcount else None


def fan_out(connection: Connection, claimed: Claimed, device_ids: Collection[UUID], *, now: datetime.datetime) -> bool:
    """Put a row for each device in the place of a push to all of them. False: it is not the caller's any more."""
    mine = connection.execute(
        update(_outbox)
        .where(*_held_by(claimed), _outbox.c.state == "leased")
        .values(state="sent", lease_until=None, finished_at=now, reason=FANNED_OUT)
    )
    if mine.rowcount == 0:
        return False
    enqueue(connection, [_to_device(claimed, device_id, now) for device_id in device_ids], now=now)
    return True


def _to_device(claimed: Claimed, device_id: UUID, now: datetime.datetime) -> Outgoing:
    return Outgoing(
        ledger_id=claimed.ledger_id,
        dedupe_key=f"{claimed.dedupe_key}:{device_id}",
        kind=claimed.kind,
        channel=claimed.channel,
        payload=claimed.payload | {"device_id": str(device_id)},
        next_at=now,
    )


def suppress(connection: Connection, claimed: Claimed, reason: str, *, now: datetime.datetime) -> bool:
    """Do not send it, because of `reason`; the same key may revive it. False: it is not the caller's any more."""
    outbox_keys.hold(connection, claimed.wholes)
    mine = connection.execute(
        update(_outbox)
        .where(*_held_by(claimed), _outbox.c.state == "leased")
        .values(state="suppressed", lease_until=None, finished_at=now, reason=reason)
    )
    if mine.rowcount:
        outbox_keys.settle(connection, claimed.wholes)
    return mine.rowcount == 1


def postpone(connection: Connection, claimed: Claimed, at: datetime.datetime) -> bool:
    """Do not send it before `at`. False: it is not the caller's any more."""
    later = update(_outbox).where(*_held_by(claimed), _outbox.c.state == "leased")
    return connection.execute(later.values(state="pending", lease_until=None, next_at=at)).rowcount == 1


def release(connection: Connection, claimed: Sequence[Claimed]) -> int:
    """Give back rows that no call was made for; returns how many still were the caller's."""
    if not claimed:
        return 0
    mine = tuple_(_outbox.c.ledger_id, _outbox.c.id, _outbox.c.fence)
    given_back = connection.execute(
        update(_outbox)
        .where(mine.in_([(row.ledger_id, row.id, row.fence) for row in claimed]), _outbox.c.state == "leased")
        .values(state="pending", lease_until=None)
    )
    return given_back.rowcount


def _held_by(claimed: Claimed) -> tuple[ColumnElement[bool], ...]:
    return (_outbox.c.ledger_id == claimed.ledger_id, _outbox.c.id == claimed.id, _outbox.c.fence == claimed.fence)
