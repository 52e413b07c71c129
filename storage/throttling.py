"""Wrong passwords in a row, by the keyed hash of an account's address or of a network's: never by the address itself."""

import datetime

from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import addresses, throttling
from storage import tables
from storage.encryption import KeyRing

_PURPOSE = "login attempts"
_attempts = tables.login_attempts.c


def account_key(keys: KeyRing, email: str) -> bytes:
    """The key of whoever signs in as `email`, whether there is such an account or not."""
    return _key(keys, f"account {addresses.canonical(email)}")


def address_key(keys: KeyRing, address: str) -> bytes:
    """The key of a network address."""
    return _key(keys, f"address {address}")


def _key(keys: KeyRing, text: str) -> bytes:
    return keys.fingerprints(_PURPOSE, text)[0]


async def count(connection: AsyncConnection, key: bytes, rule: throttling.Rule, *, now: datetime.datetime) -> float:
    """Count a guess as wrong before anybody has looked at it; 0, or the seconds to wait, and then it is not counted.

    One statement under the row's lock: of guesses that come at once each sees those before it.
    """
    bound = {
        "key": key,
        "now": now,
        "delays": [float(seconds) for seconds in rule.delays_seconds],
        "most": float(rule.most_seconds),
        "forgotten": now - throttling.FORGOTTEN_AFTER,
    }
    while (await connection.execute(_COUNT, bound)).first() is None:
        row = (await connection.execute(_READ, {"key": key})).first()
        if row is not None:  # else it was cleared between the two
            return max(rule.wait_seconds(row.failures, row.last_at, now), 1.0)
    return 0.0


async def clear(connection: AsyncConnection, key: bytes) -> None:
    """The password was right, or is a new one: what was counted is forgotten."""
    await connection.execute(delete(tables.login_attempts).where(_attempts.key == key))


async def take_back(connection: AsyncConnection, key: bytes) -> None:
    """Uncount one guess, which turned out to be none."""
    await connection.execute(delete(tables.login_attempts).where(_attempts.key == key, _attempts.failures == 1))
    fewer = update(tables.login_attempts).where(_attempts.key == key, _attempts.failures > 1)
    await connection.execute(fewer.values(failures=_attempts.failures - 1))


_COUNT = text("""
    insert into debitum.login_attempts as known (key, failures, last_at) values (:key, 1, :now)
    on conflict (key) do update set
        failures = case when known.last_at <= :forgotten then 1 else known.failures + 1 end, last_at = :now
    where (cast(:delays as float8[]))[least(known.failures, cardinality(cast(:delays as float8[])))] = 0
       or known.last_at
          + make_interval(secs => (cast(:delays as float8[]))[least(known.failures, cardinality(cast(:delays as float8[])))])
          <= :now
       or known.last_at > cast(:now as timestamptz) + make_interval(secs => :most)
    returning failures
""")
"""throttling.Rule as a condition: the delay of the failures so far is none, or over, or reckoned from a clock that was wrong."""

_READ = text("select failures, last_at from debitum.login_attempts where key = :key")
