"""What recording and replay share: a device whose ids and times are given, what it is told to do, and where it stands."""

import datetime
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from client import Device

Act = dict[str, Any]
"""Something that a user does: an item of a push, without base_seq."""

_SIGNED_IN = {
    "ledger_id": "00000000-0000-7000-8000-000000000001",
    "user": {},
    "access_token": "a",
    "refresh_token": "r",
    "expires_in": 10**9,
}


class Given(random.Random):
    """The dice and the clock of a device: the next id and the time are those that a case has chosen."""

    def __init__(self, next_id: str, now: str) -> None:
        super().__init__()
        self.set(next_id, now)

    def set(self, next_id: str, now: str) -> None:
        """The id of what comes next, and when."""
        self._number, self._now = UUID(next_id).int, datetime.datetime.fromisoformat(now)

    def clock(self) -> datetime.datetime:
        """The time that was given."""
        return self._now

    def getrandbits(self, k: int, /) -> int:
        """The two random parts of the UUIDv7 that was given; its first part is the clock's."""
        return {12: self._number >> 64 & 0xFFF, 62: self._number & (1 << 62) - 1}[k]


class Line(httpx.AsyncBaseTransport, ABC):
    """What connects one device; who signs in is no part of a case."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """An answer, or what httpx raises where there is none."""
        await request.aread()
        if request.url.path.startswith("/api/auth/"):
            return httpx.Response(200, json=_SIGNED_IN, request=request)
        return await self.exchange(request)

    @abstractmethod
    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """The same, of a request that belongs to the case."""


def moment(new_id: str, zone: datetime.tzinfo = datetime.UTC) -> datetime.datetime:
    """When a UUIDv7 was made."""
    return datetime.datetime.fromtimestamp((UUID(new_id).int >> 80) / 1_000, zone)


async def signed_in(line: Line, given: Given, path: Path | str = ":memory:") -> Device:
    """A device with the file at `path`; if that is new, its id is the next that `given` holds."""
    device = Device(path, "http://conformance", transport=line, clock=given.clock, dice=given)
    await device.login("anna@example.org", "a long sentence")
    return device


def described(request: httpx.Request) -> dict[str, Any]:
    """A request as a case has it; the order of the members of its body says nothing, so it is always the same."""
    found: dict[str, Any] = {"method": request.method, "path": request.url.path}
    if request.url.params:
        found["query"] = dict(request.url.params)
    if request.content:
        found["body"] = json.loads(json.dumps(json.loads(request.content), sort_keys=True))
    return found


def perform(device: Device, given: Given, act: Act) -> None:
    """Do on `device` what its user does, under the id and at the time of `act`."""
    given.set(act["id"], act["timestamp"])
    kind, entity_id, data = act["aggregate_type"], act["aggregate_id"], dict(act["event_data"])
    resolves = data.pop("resolves", None)
    match act["event_type"]:
        case "CREATED":
            device.create(kind, data, entity_id=entity_id)
        case "UPDATED":
            device.update(kind, entity_id, data, resolves=resolves)
        case "DELETED":
            device.delete(kind, entity_id, resolves=resolves)
        case "RESTORED":
            device.restore(kind, entity_id, resolves=resolves)
        case "UNDO":
            device.undo(data["undone_event_id"])


def ending(device: Device, acts: Sequence[Act]) -> dict[str, Any]:
    """Where a device stands, as a case has it; `acts`: all that its user did."""
    attention = device.attention()
    rejections = [{"id": one["id"], "code": one["code"]} for one in attention.rejections]
    done = {fact["id"] for fact in device.log()} | {one["id"] for one in rejections}
    queue = [act["id"] for act in acts if act["id"] not in done]
    assert len(queue) == device.pending
    return {
        "version": device.head.version,
        "hash": device.head.hash,
        "entities": [
            {"kind": kind, "id": entity_id, "fields": dict(sorted(fields.items()))}
            for (kind, entity_id), fields in sorted(device.state().items())
        ],
        "balances": [
            {"contact_id": contact_id, "currency": currency, "amount": amount}
            for (contact_id, currency), amount in sorted(device.balances().items())
        ],
        "conflicts": [fact["id"] for fact in attention.conflicts],
        "rejections": rejections,
        "queue": queue,
    }
