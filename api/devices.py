"""A user's devices: their names, and where pushes to them go."""

import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from api import paging, problems
from api.paging import Items, PageQuery
from api.routing import Call, Nothing, Reply, Routes
from domain import facts
from storage import devices, sealing
from storage.encryption import Cipher
from storage.pages import Record

routes = Routes("identity")
_ORDER = paging.Order("devices", datetime.datetime)


class PushTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a device takes pushes: a registration token of FCM, or a Firebase installation id."""

    kind: devices.PushKind
    value: Annotated[str, Meta(min_length=1, max_length=1_024, pattern=r"^[!-~]+$(?!\n)")]


class DevicePut(Struct, frozen=True, forbid_unknown_fields=True):
    """`push` null: nothing is pushed to it. A name or platform that is left out stays as it is."""

    push: PushTarget | None
    name: facts.Name | UnsetType = UNSET
    platform: facts.Short | UnsetType | None = UNSET


class DeviceItem(Struct, frozen=True):
    """A device; `current`: the one that asks. `last_seen_at`: when it last signed in or got new tokens."""

    id: UUID
    name: str
    platform: str | None
    push: PushTarget | None
    created_at: str
    last_seen_at: str
    current: bool


@routes.add("GET", "/api/devices", answer=Items[DeviceItem], query=PageQuery, needs="session")
async def list_devices(call: Call[None, PageQuery]) -> Reply:
    """The devices that the user has signed in on, newest first."""
    page = _ORDER.page(call.query.limit, call.query.cursor)
    async with call.services.transaction(call.caller.ledger_id) as connection:
        found = await devices.of_user(connection, call.caller.user_id, page)
        cipher = await call.cipher(connection)
    return Reply(Items([_shown(row, call.caller.device_id, cipher) for row in found.rows], _ORDER.cursor(found.next)))


@routes.add("PUT", "/api/devices/{id}", answer=DeviceItem, body=DevicePut, needs="session")
async def put_device(call: Call[DevicePut, Nothing]) -> Reply:
    """Rename a device, and say where its pushes go. A device becomes known by signing in: an unknown id is 404.

    A push target belongs to one device: to the one that named it last, whoever had it before.
    """
    members = {"name": call.body.name, "platform": call.body.platform}
    values = {name: value for name, value in members.items() if value is not UNSET}
    push = None if call.body.push is None else devices.Push(call.body.push.kind, call.body.push.value)
    user_id, keys = call.caller.user_id, call.services.settings.keys
    async with call.changing(call.caller.ledger_id) as connection:
        cipher = await call.cipher(connection)
        row = await devices.change(connection, user_id, call.path["id"], values, push, cipher=cipher, keys=keys)
    if row is None:
        raise problems.NotFound("there is no such device")
    return Reply(_shown(row, call.caller.device_id, cipher))


@routes.add("DELETE", "/api/devices/{id}", status=204, needs="session")
async def delete_device(call: Call[None, Nothing]) -> Reply:
    """Forget a device: its sessions end now, also where it is the one that asks, and nothing is pushed to it."""
    async with call.changing() as connection:
        if not await devices.remove(connection, call.caller.user_id, call.path["id"]):
            raise problems.NotFound("there is no such device")
    return Reply(None, 204)


def _shown(row: Record, current: UUID | None, cipher: Cipher) -> DeviceItem:
    pushed = row.push_kind is not None
    return DeviceItem(
        id=row.id,
        name=row.name,
        platform=row.platform,
        push=PushTarget(row.push_kind, sealing.push_target(cipher, row.id, row.push_value)) if pushed else None,
        created_at=facts.wire_time(row.created_at),
        last_seen_at=facts.wire_time(row.last_seen_at),
        current=row.id == current,
    )
