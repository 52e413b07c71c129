"""Changing the key: what the key ring seals is sealed anew by its current key, a page a transaction, while everything runs.

What the ledgers' own data keys seal stays as it is: re-wrapping 60 bytes a ledger is all that a rotation has to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, LargeBinary, Uuid, bindparam, text

from storage import roles, sealing
from storage.encryption import KeyRing, KeyRingError

PAGE_ROWS: Final = 500
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True)
class Rotated:
    """How many data keys were sealed anew, and how many push targets can be found by the current key now."""

    data_keys: int
    push_targets: int


@dataclass(frozen=True)
class InUse:
    """A key that seals data keys: of how many `ledgers`, and whether the ring opens one of them, or lacks it."""

    key_id: str
    ledgers: int
    state: Literal["opens", "missing", "another"]


def in_use(connection: Connection, keys: KeyRing) -> list[InUse]:
    """The keys that seal something, by id; one ledger of each is opened. In the role of the owner or the jobs."""
    used = connection.execute(_BY_KEY).all()
    sealed = {row.id: row.data_key for row in connection.execute(_DATA_KEYS, {"ids": [row.one for row in used]})}
    return [InUse(row.key_id, row.ledgers, _state(keys, row.key_id, row.one, sealed[row.one])) for row in used]


def _state(keys: KeyRing, key_id: str, ledger_id: UUID, sealed: bytes) -> Literal["opens", "missing", "another"]:
    if key_id not in keys.keys:
        return "missing"
    try:
        keys.open_data_key(str(ledger_id), sealed)
    except KeyRingError:
        return "another"
    return "opens"


def rotate(engine: Engine, keys: KeyRing) -> Rotated:
    """Seal anew by the current key whatever another one sealed. Safe to kill at any point, and to run twice.

    Every server must have the current key in its ring before: what is sealed anew can be opened by nothing else.
    Raises KeyRingError where a data key was sealed by a key that is not in the ring.
    """
    data_keys = _by_page(engine, _NEXT_LEDGERS, lambda connection, ids: _renew_data_keys(connection, keys, ids))
    return Rotated(data_keys, _by_page(engine, _NEXT_USERS, lambda connection, ids: _renew_targets(connection, keys, ids)))


def _by_page(engine: Engine, next_page: Any, renew: Callable[[Connection, list[UUID]], int]) -> int:
    """Let `renew` have all ids in order, PAGE_ROWS in a transaction of the owner's; the sum of what it says."""
    after, renewed = _FIRST, 0
    while True:
        with roles.transaction(engine, roles.OWNER) as connection:
            page = list(connection.scalars(next_page, {"after": after, "limit": PAGE_ROWS}))
            if not page:
                return renewed
            renewed += renew(connection, page)
        after = page[-1]


def _renew_data_keys(connection: Connection, keys: KeyRing, ledger_ids: list[UUID]) -> int:
    rows = connection.execute(_STALE, {"ids": ledger_ids, "current": keys.current}).all()
    renewed = [{"id": row.id, "before": row.data_key, "after": keys.renew_data_key(str(row.id), row.data_key)} for row in rows]
    return sum(connection.execute(_RENEW, one).rowcount for one in renewed)


def _renew_targets(connection: Connection, keys: KeyRing, user_ids: list[UUID]) -> int:
    renewed = 0
    for row in connection.execute(_TARGETS, {"ids": user_ids}).all():
        value = sealing.push_target(keys.cipher(str(row.ledger_id), row.data_key), row.id, row.push_value)
        found = sealing.push_fingerprints(keys, row.push_kind, value)[0]
        place = {"user": row.user_id, "device": row.id, "value": row.push_value, "found": found}
        renewed += connection.execute(_RENEW_TARGET, place).rowcount
    return renewed


_SEALED_BY = "convert_from(substring(data_key from 2 for get_byte(data_key, 0)), 'UTF8')"

_BY_KEY = text(f"""
    select {_SEALED_BY} as key_id, count(*) as ledgers, min(id::text)::uuid as one from debitum.ledgers group by 1 order by 1
""").columns(one=Uuid)  # noqa: S608  # an expression of ours

_DATA_KEYS = text("select id, data_key from debitum.ledgers where id = any(:ids)").columns(id=Uuid)

_NEXT_LEDGERS = text("select id from debitum.ledgers where id > :after order by id limit :limit").columns(id=Uuid)

_NEXT_USERS = text("""
    select distinct user_id from debitum.devices
    where push_value is not null and user_id > :after order by user_id limit :limit
""").columns(user_id=Uuid)

_STALE = text(f"""
    select id, data_key from debitum.ledgers where id = any(:ids) and {_SEALED_BY} <> :current order by id
""")  # noqa: S608  # an expression of ours

_RENEW = text("update debitum.ledgers set data_key = :after where id = :id and data_key = :before").bindparams(
    bindparam("after", type_=LargeBinary), bindparam("before", type_=LargeBinary)
)

_TARGETS = text("""
    select device.user_id, device.id, device.push_kind, device.push_value, ledger.id as ledger_id, ledger.data_key
    from debitum.devices device
    join debitum.users on users.id = device.user_id
    join debitum.ledgers ledger on ledger.id = users.ledger_id
    where device.user_id = any(:ids) and device.push_value is not null
""")

_RENEW_TARGET = text("""
    update debitum.devices set push_fingerprint = :found
    where user_id = :user and id = :device and push_value = :value and push_fingerprint <> :found
""")
