"""What is ready in the outbox, and what became of what was: looked at, and not taken."""

import datetime
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, and_, exists, func, or_, select

from domain.delivery import EXHAUSTED, Channel
from storage import tables
from storage.outbox import LEASED, PENDING

_outbox = tables.outbox


class Backlog(msgspec.Struct, frozen=True):
    """What waits: rows ready to be sent, and since when the oldest of them is (aware; None: nothing is ready)."""

    ready: int
    oldest: datetime.datetime | None


class Ended(msgspec.Struct, frozen=True):
    """How many messages a provider has taken, and how many were given up: refused, or tried as often as may be."""

    sent: int
    given_up: int


def earliest(connection: Connection, channel: Channel) -> datetime.datetime | None:
    """Since when the first message of `channel` is ready, or will be; None: there is none.

    It takes long while somebody holds an old snapshot, for the index still names all that was sent since. Whoever claims
    often asks once, and passes the answer to outbox.claim.
    """
    found: datetime.datetime | None = connection.execute(
        select(_outbox.c.next_at)
        .where(_outbox.c.state == PENDING, _outbox.c.channel == channel)
        .order_by(_outbox.c.channel, _outbox.c.next_at, _outbox.c.id)
        .limit(1)
    ).scalar()
    return found


def anything(connection: Connection, *, now: datetime.datetime, channels: Collection[Channel]) -> bool:
    """Whether there is anything to do on `channels`: a row to send, or one to take back from a dead sender."""
    its = _outbox.c
    to_send = [exists().where(its.state == PENDING, its.next_at <= now, its.channel == channel) for channel in channels]
    to_take_back = exists().where(_outbox.c.state == LEASED, _outbox.c.lease_until <= now, _outbox.c.channel.in_(channels))
    ready: bool = connection.execute(select(or_(*to_send, to_take_back))).scalar_one()
    return ready


def backlog(connection: Connection, *, now: datetime.datetime) -> Backlog:
    """What should have been on its way at `now`, also where a sender died over it."""
    overdue = or_(
        and_(_outbox.c.state == PENDING, _outbox.c.next_at <= now),
        and_(_outbox.c.state == LEASED, _outbox.c.lease_until <= now),
    )
    row = connection.execute(select(func.count(), func.min(_outbox.c.next_at)).where(overdue)).one()
    return Backlog(ready=row[0], oldest=row[1])


def ended(connection: Connection, *, since: datetime.datetime) -> Ended:
    """What became of messages after `since`; a push to a user is as many as they have devices. One that is gone is no failure."""
    its = _outbox.c
    sent = func.count().filter(its.state == "sent", its.reason.is_(None))
    given_up = func.count().filter(its.state == "dead", its.reason.in_((EXHAUSTED, "permanent")))
    row = connection.execute(select(sent, given_up).where(its.finished_at > since)).one()
    return Ended(*row)
