"""A world in which a seed decides everything: what the users do, what the network does to it, who crashes, what is restored."""

import datetime
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from client import Device, Unavailable
from client.device import Head
from client.store import MAY_COME_AGAIN
from tests.simulation.backend import Backend, Backup
from tests.simulation.user import User

DEVICES, STEPS, ROUNDS = 3, 24, 8
BEGIN = datetime.datetime(2026, 11, 22, 20, tzinfo=datetime.UTC)


@dataclass
class Operation:
    """What the network saw of one request: its place in time, what went out, what came back (None: nobody knows)."""

    device: str
    path: str
    sent: dict[str, Any]
    began: int
    ended: int = 0
    status: int | None = None
    answer: Any = None
    epoch: int = 0


class Network(httpx.AsyncBaseTransport):
    """Between one device and the server: it loses, delays and repeats, requests and replies alike."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self._name = name

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, or what httpx raises where there is none."""
        world = self._world
        await request.aread()
        if request.url.path.startswith("/api/auth/"):
            return httpx.Response(200, json=world.signed_in, request=request)
        operation = world.noticed(self._name, request)
        fate = "ok" if world.healed else world.dice.choices(FATES, world.network)[0]
        if fate == "lost":
            raise httpx.ConnectError("lost", request=request)
        if fate in ("late", "repeated"):
            world.late.append((self._name, request))
        if fate == "late":
            raise httpx.ReadTimeout("late", request=request)
        response = await world.deliver(self._name, request)
        if fate == "reply lost":
            raise httpx.ReadTimeout("the reply is lost", request=request)
        operation.status, operation.answer = response.status_code, json.loads(response.content)
        operation.ended = world.moment()
        return response


FATES = ("ok", "lost", "reply lost", "late", "repeated")
NETWORKS = ((96, 1, 1, 1, 1), (74, 8, 8, 5, 5), (50, 15, 15, 10, 10))
"""How often of a hundred each of FATES happens, on a good day, a bad one, and where there is none."""


@dataclass
class World:
    """One user with several devices, and a server that is put back to a backup now and then."""

    seed: int
    backend: Backend
    folder: Path
    dice: random.Random = field(init=False)
    ledger_id: UUID = field(init=False)
    devices: dict[str, Device] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    skew: dict[str, float] = field(default_factory=dict)
    late: list[tuple[str, httpx.Request]] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    heads: dict[str, list[Head]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    """How often each kind of step was taken: a simulation in which something never happens proves nothing about it."""
    healed: bool = False
    restored: int = 0
    network: tuple[int, ...] = NETWORKS[0]
    seconds: float = 0.0
    _moments: int = 0

    async def run(self) -> None:
        """Everything that happens, and then the peace in which all have to agree."""
        self.dice = random.Random(self.seed)  # what makes a failure repeatable
        self.network = self.dice.choice(NETWORKS)
        steps = self.dice.choice([STEPS_TAKEN, STEPS_TAKEN, STEPS_TAKEN | {"restore": 12, "backup": 12}])
        self.ledger_id = await self.backend.new_ledger(self.dice)
        self.backend.set_clock(1)
        self.signed_in = {
            "ledger_id": str(self.ledger_id),
            "user": {},
            "access_token": "a",
            "refresh_token": "r",
            "expires_in": 10**9,
        }
        self.backups.append(self.backend.backup(self.ledger_id))
        for number in range(DEVICES):
            await self._begin(f"device {number}")
        for _ in range(STEPS):
            await self._take(self.dice.choices(list(steps), list(steps.values()))[0])
        await self._make_peace()

    async def _begin(self, name: str) -> None:
        self.users[name] = User(random.Random(self.dice.getrandbits(64)))
        self.skew[name] = self.dice.choice([0.0, 0.0, -86_400.0, 86_400.0, 3.5])
        self._open(name)
        await self.devices[name].login("anna@example.org", "a long sentence")

    def _open(self, name: str) -> None:
        def clock() -> datetime.datetime:
            self.seconds += 0.001
            return BEGIN + datetime.timedelta(seconds=self.seconds + self.skew[name])

        self.devices[name] = Device(
            self.folder / f"{self.seed} {name}.sqlite",
            "http://simulated",
            name=name,
            transport=Network(self, name),
            clock=clock,
            dice=random.Random(self.dice.getrandbits(64)),
        )

    async def _take(self, step: str) -> None:
        self.done[step] += 1
        name = self.dice.choice(sorted(self.devices))
        self.seconds += self.dice.choice([0.0, 1.0, 3_600.0])
        match step:
            case "act":
                for _ in range(self.dice.randint(1, 4)):
                    self.users[name].act(self.devices[name])
            case "sync":
                await self._sync(name)
            case "crash":  # in the middle of whatever it was: what is in its file is all that is left
                await self.devices[name].close()
                self._open(name)
            case "clock":
                self.skew[name] = self.dice.uniform(-86_400, 86_400)
                self.backend.set_clock(self.dice.randint(1, 10**8))
            case "late":
                await self._deliver_late()
            case "backup":
                self.backups.append(self.backend.backup(self.ledger_id))
            case "restore":
                self.backend.restore(self.ledger_id, self.dice.choice(self.backups[-3:]))
                self.restored += 1

    async def _sync(self, name: str) -> None:
        try:
            await self.devices[name].sync()
        except Unavailable:
            self.done["cut"] += 1

    async def _deliver_late(self) -> None:
        """What the network held back arrives now, in any order."""
        self.dice.shuffle(self.late)
        while self.late:
            name, request = self.late.pop()
            await self.deliver(name, request)

    async def _make_peace(self) -> None:
        await self._deliver_late()
        self.healed = True
        for _ in range(ROUNDS):
            before = {device.head for device in self.devices.values()}
            if {await device.sync() for device in self.devices.values()} == before and len(before) == 1:
                return  # a whole round in which nobody had anything to say

    async def taken_by_now(self) -> list[str]:
        """Ids of commands that wait for something to become known, and would be taken if they were sent now."""
        found = []
        for name, device in self.devices.items():
            for one in device.attention().rejections:
                if one["code"] not in MAY_COME_AGAIN:
                    continue  # the user was told no, for good
                sent = {"events": [one["command"]], "dry_run": True}
                request = httpx.Request("POST", "http://simulated/api/sync/push", json=sent)
                answer = json.loads((await self.deliver(name, request)).content)
                found += [result["id"] for result in answer["results"] if result["status"] != "rejected"]
        return found

    async def close(self) -> None:
        """Let go of the devices' files."""
        for device in self.devices.values():
            await device.close()

    # --- for the network --------------------------------------------------------------------------------------------

    def noticed(self, name: str, request: httpx.Request) -> Operation:
        """A request has been sent."""
        sent = json.loads(request.content) if request.content else dict(request.url.params)
        self.operations.append(Operation(name, request.url.path, sent, self.moment(), epoch=self.restored))
        return self.operations[-1]

    async def deliver(self, name: str, request: httpx.Request) -> httpx.Response:
        """The server's answer."""
        return await self.backend.answer(request, self.ledger_id, UUID(self.devices[name].id))

    def moment(self) -> int:
        """A place in the order of all that happens."""
        self._moments += 1
        return self._moments


STEPS_TAKEN = {"act": 40, "sync": 35, "crash": 6, "clock": 4, "late": 6, "backup": 5, "restore": 4}
"""Steps, and how often of a hundred."""
