"""A user's devices, and where pushes to each of them go."""

import datetime
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import and_, delete, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import sealing, tables
from storage.encryption import Cipher, KeyRing
from storage.pages import Page, Record, Rows, read_page

PushKind = Literal["token", "fid"]
"""A registration token of FCM, or a Firebase installation id."""
SILENT: Final[dict[str, Any]] = {"push_kind": None, "push_value": None, "push_fingerprint": None}
"""The columns of a device to which nothing is pushed."""
_devices = tables.devices.c


@dataclass(frozen=True)
class Device:
    """What a client says of itself; `id` is its own choice and kept across logins."""

    id: UUID
    name: str
    platform: str | None = None


@dataclass(frozen=True)
class Push:
    """Where a device takes pushes."""

    kind: PushKind
    value: str


async def seen(connection: AsyncConnection, user_id: UUID, device: Device, *, now: datetime.datetime) -> None:
    """Somebody signs in on a device, whether the user knows it already or not."""
    row = upsert(tables.devices).values(user_id=user_id, created_at=now, last_seen_at=now, **vars(device))
    await connection.execute(
        row.on_conflict_do_update(
            index_elements=["user_id", "id"],
            set_={"name": row.excluded.name, "platform": row.excluded.platform, "last_seen_at": now},
        )
    )


async def touch(connection: AsyncConnection, user_id: UUID, device_id: UUID, *, now: datetime.datetime) -> None:
    """The device has been there."""
    await connection.execute(update(tables.devices).where(_is(user_id, device_id)).values(last_seen_at=now))


async def of_user(connection: AsyncConnection, user_id: UUID, page: Page) -> Rows:
    """A page of the user's devices, newest first."""
    query = select(tables.devices).where(_devices.user_id == user_id)
    return await read_page(connection, query, _devices.created_at, _devices.id, page, descending=True)


async def change(
    connection: AsyncConnection,
    user_id: UUID,
    device_id: UUID,
    values: dict[str, Any],
    push: Push | None,
    *,
    cipher: Cipher,
    keys: KeyRing,
) -> Record | None:
    """Set `values` and where pushes go; the device's row, None where the user has no such device.

    `cipher` is that of the user's ledger.

    An address for pushes belongs to the device that named it last: an app that somebody else signs in to keeps its
    address, and what is meant for the user before must not reach them.
    """
    found, target = [], SILENT
    if push is not None:
        found = sealing.push_fingerprints(keys, push.kind, push.value)
        for fingerprint in sorted(found):  # of two that name one address at once, the second is to see what the first wrote
            await connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(fingerprint[:8], signed=True))))
        sealed = sealing.store_push_target(cipher, device_id, push.value)
        target = {"push_kind": push.kind, "push_value": sealed, "push_fingerprint": found[0]}
    mine = update(tables.devices).where(_is(user_id, device_id)).values(values | target).returning(tables.devices)
    row: Record | None = (await connection.execute(mine)).first()
    if row is not None and push is not None:
        same = and_(_devices.push_fingerprint.in_(found), not_(_is(user_id, device_id)))
        await connection.execute(update(tables.devices).where(same).values(SILENT))
    return row


async def remove(connection: AsyncConnection, user_id: UUID, device_id: UUID) -> bool:
    """Forget a device, its sessions and their tokens. False: the user has no such device."""
    its = tables.sessions.c
    on_it = select(its.id).where(its.user_id == user_id, its.device_id == device_id).order_by(its.id)
    await connection.execute(on_it.with_for_update())  # sessions before devices, as where a session is refreshed or ends
    removed = await connection.execute(delete(tables.devices).where(_is(user_id, device_id)))
    return removed.rowcount == 1


def _is(user_id: UUID, device_id: UUID) -> Any:
    return and_(_devices.user_id == user_id, _devices.id == device_id)
