"""Circuit breakers of providers: one that refuses everybody is left alone, and then tried with a single message.

A provider without a row is up. Its circuit is opened by an answer that says so (a key that is refused), stays open while
tries fail, and closes with the first message that is accepted or refused for what it is. Nothing here is per ledger.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.delivery import Channel
from storage import tables

PAUSE: Final = datetime.timedelta(minutes=5)
"""Between tries: an operator has to act, and a few calls an hour show that they did."""

_circuits = tables.circuits
_its = _circuits.c


class Circuit(msgspec.Struct, frozen=True):
    """A provider that is left alone until `retry_at`, because of what it answered (`detail`, without an address)."""

    channel: Channel
    provider: str
    opened_at: datetime.datetime
    retry_at: datetime.datetime
    detail: str


def opened(connection: Connection, providers: Mapping[Channel, Sequence[str]]) -> list[Circuit]:
    """Those of `providers`, the names in use, that are down, the longest first.

    One that is not in use any more nobody tries, and so it would stay down for ever.
    """
    found = connection.execute(select(_circuits).order_by(_its.opened_at, _its.channel, _its.provider))
    return [Circuit(**row) for row in found.mappings() if row["provider"] in providers.get(row["channel"], ())]


def usable(connection: Connection, providers: Mapping[Channel, Sequence[str]], *, now: datetime.datetime) -> set[Channel]:
    """The channels of which at least one provider may be asked now."""
    resting = {(one.channel, one.provider) for one in opened(connection, providers) if one.retry_at > now}
    return {channel for channel, names in providers.items() if not resting.issuperset((channel, name) for name in names)}


def trip(connection: Connection, channel: Channel, provider: str, detail: str, *, now: datetime.datetime) -> None:
    """The provider refuses everybody: nobody asks it again before a PAUSE is over."""
    values = {"retry_at": now + PAUSE, "detail": detail}
    row = {"channel": channel, "provider": provider, "opened_at": now, **values}
    opens = insert(_circuits).values(row)
    connection.execute(opens.on_conflict_do_update(index_elements=[_its.channel, _its.provider], set_=values))


def probe(connection: Connection, channel: Channel, provider: str, *, now: datetime.datetime) -> bool:
    """Take the right to try it with one message; False: it is not time, or somebody else is at it."""
    taken = (
        update(_circuits)
        .where(_its.channel == channel, _its.provider == provider, _its.retry_at <= now)
        .values(retry_at=now + PAUSE)
    )
    return connection.execute(taken).rowcount == 1


def give_back(connection: Connection, channel: Channel, provider: str, *, now: datetime.datetime) -> None:
    """Nothing came of a `probe`, for there was no message to try it with: the next one may."""
    taken = update(_circuits).where(_its.channel == channel, _its.provider == provider)
    connection.execute(taken.values(retry_at=now))


def close(connection: Connection, channel: Channel, provider: str) -> None:
    """The provider takes messages again."""
    connection.execute(delete(_circuits).where(_its.channel == channel, _its.provider == provider))


def retry_all(connection: Connection, *, now: datetime.datetime) -> None:
    """An operator has mended something: each provider that is down may be tried at once."""
    connection.execute(update(_circuits).values(retry_at=now))
