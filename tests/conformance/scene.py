"""The stage of a script: devices with short names on the real write path; everything that happens is written down."""

import datetime
import inspect
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock
from uuid import UUID

import httpx

from client import BrokenLog, Device, Unavailable
from client.device import PAGE
from tests.conformance import acting
from tests.conformance.acting import Act, Given, Line
from tests.simulation.backend import Backend, Backup

BEGIN = datetime.datetime(2026, 11, 22, 20, tzinfo=datetime.UTC)
"""That of the simulated Postgres too."""
ZONES = {
    "A": datetime.timezone(datetime.timedelta(hours=1)),
    "B": datetime.UTC,
    "C": datetime.timezone(datetime.timedelta(hours=-3, minutes=-30)),
}
"""A timestamp is kept as it is sent, in whichever zone the device is."""
LETTERS = {"contact": "c", "transaction": "b", "reminder": "d", "event": "e", "device": "a"}
"""Ids say what they are the id of."""

Step = dict[str, Any]
Lost = Literal["request", "reply", "late"]
"""What is lost; a late request arrives between the pull and the push of the next sync."""
Forgery = Callable[[dict[str, Any]], None]
"""Alters the body of an answer."""
Made = Literal["broken", "newer"]
"""An answer that is not this server's: one that a client must not believe, or one that a later server may give."""
Script = Callable[["Scene"], Awaitable[None]]
CASES: dict[str, Script] = {}


def case(script: Script) -> Script:
    """Make a case of `script`, under its name; what it shows is its docstring."""
    CASES[script.__name__.replace("_", "-")] = script
    return script


async def record(name: str, backend: Backend) -> dict[str, Any]:
    """The case that the script of that name makes, as it stands in the documents."""
    script = CASES[name]
    scene = Scene(backend, await backend.new_ledger(random.Random(name)))
    try:
        await script(scene)
        return {
            "name": name,
            "about": " ".join((inspect.getdoc(script) or "").split()),
            "devices": {letter: actor.device.id for letter, actor in scene.actors.items()},
            "script": scene.steps,
            "end": {letter: acting.ending(actor.device, actor.acts) for letter, actor in scene.actors.items()},
        }
    finally:
        for actor in scene.actors.values():
            await actor.device.close()


@dataclass
class Scene:
    """One ledger, its devices, and a clock that goes on by a minute whenever something happens."""

    backend: Backend
    ledger_id: UUID
    steps: list[Step] = field(default_factory=list)
    actors: dict[str, "Actor"] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    """Of what has been created: contact, transaction or reminder."""
    events: int = 0
    _minutes: int = 0

    async def devices(self, letters: str) -> list["Actor"]:
        """A device for each letter."""
        for number, letter in enumerate(letters, start=1):
            given = Given(new_id("device", number, BEGIN), BEGIN.isoformat())
            recorder = Recorder(self)
            device = await acting.signed_in(recorder, given)
            recorder.device_id = UUID(device.id)
            self.actors[letter] = Actor(self, letter, device, given, recorder)
        return list(self.actors.values())

    def now(self) -> datetime.datetime:
        """A minute later; the server's clock says the same."""
        self._minutes += 1
        self.backend.set_clock(self._minutes * 60_000)
        return BEGIN + datetime.timedelta(minutes=self._minutes)

    def backup(self) -> Backup:
        """What the server can be put back to."""
        return self.backend.backup(self.ledger_id)

    def restore(self, backup: Backup) -> None:
        """Put the server back."""
        self.steps.append(self.put_back(backup))

    def put_back(self, backup: Backup) -> dict[str, int]:
        """The same, and how a case says it."""
        self.backend.restore(self.ledger_id, backup)
        return {"restore": backup["ledgers"][0]["version"]}


def new_id(kind: str, number: int, moment: datetime.datetime) -> str:
    """A UUIDv7 that people can tell from others."""
    digits = f"{int(moment.timestamp() * 1_000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-0000000{LETTERS[kind]}{number:04}"


class Recorder(Line):
    """Brings requests to the server, writes down what was asked and answered, and loses what a script wants to be lost."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.device_id = UUID(int=0)
        self.exchanges: list[dict[str, Any]] = []
        self.at = 1
        self.lost: Lost | None = None
        self.backup: Backup | None = None
        self.forgery: tuple[Made, Forgery] | None = None
        self._late: httpx.Request | None = None

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """The server's answer, or what httpx raises where it is lost."""
        asked = acting.described(request)
        noted: dict[str, Any] = {"request": asked}
        here = len(self.exchanges) == self.at
        self.exchanges.append(noted)
        if asked["method"] == "GET":
            noted["free"] = True  # how a client finds the common version is its own choice
        if here and self.backup is not None:
            noted |= self._scene.put_back(self.backup)
        if here and self.lost is not None:
            noted["lost"] = self.lost
        if here and self._late is not None:
            await self._deliver(self._late)
            self._late = None
        match noted.get("lost"):
            case "request":
                raise httpx.ConnectError("lost", request=request)
            case "late":
                self._late = request
                raise httpx.ReadTimeout("late", request=request)
        response = await self._deliver(request)
        if "lost" in noted:
            raise httpx.ReadTimeout("lost", request=request)
        noted["response"] = {"status": response.status_code, "body": json.loads(response.content)}
        if here and self.forgery is not None:
            noted["made_up"], forge = self.forgery
            forge(noted["response"]["body"])
            return httpx.Response(200, json=noted["response"]["body"], request=request)
        return response

    async def _deliver(self, request: httpx.Request) -> httpx.Response:
        return await self._scene.backend.answer(request, self._scene.ledger_id, self.device_id)


@dataclass
class Actor:
    """A device in a script; what creates gives the id of what it created, every other act the id of its event."""

    scene: Scene
    letter: str
    device: Device
    given: Given
    recorder: Recorder
    acts: list[Act] = field(default_factory=list)

    @property
    def last(self) -> str:
        """The id of the event of the latest act."""
        return str(self.acts[-1]["id"])

    @property
    def conflict(self) -> str:
        """The event id of the conflict that is open; there is one."""
        [fact] = self.device.attention().conflicts
        return str(fact["id"])

    # --- acting -----------------------------------------------------------------------------------------------------

    def contact(self, name: str, **more: Any) -> str:
        """A new contact."""
        return self._create("contact", {"name": name, **more})

    def lend(self, contact_id: str, amount: int, **more: Any) -> str:
        """Money lent, in EUR unless said otherwise."""
        data = {"contact_id": contact_id, "direction": "lent", "amount": amount, "currency": "EUR"}
        return self._create("transaction", data | {"transaction_date": "2026-11-20"} | more)

    def hand(self, contact_id: str, item: str, **more: Any) -> str:
        """A thing lent."""
        return self._create("transaction", {"contact_id": contact_id, "direction": "lent", "type": "item", "item": item} | more)

    def remind(self, message: str, **more: Any) -> str:
        """A reminder."""
        return self._create("reminder", {"remind_at": "2026-12-01T09:00:00+01:00", "message": message} | more)

    def _create(self, kind: str, data: dict[str, Any]) -> str:
        event_id, entity_id = data.pop("under", None), data.pop("of", None)
        if entity_id is None:
            entity_id = new_id(kind, 1 + list(self.scene.kinds.values()).count(kind), BEGIN)
            self.scene.kinds[entity_id] = kind
        self._act(kind, entity_id, "CREATED", data, event_id)
        return str(entity_id)

    def update(self, entity_id: str, **data: Any) -> str:
        """Change some members; `resolves` settles a conflict."""
        return self._act(self.scene.kinds[entity_id], entity_id, "UPDATED", data)

    def delete(self, entity_id: str, **resolves: str) -> str:
        """Delete it."""
        return self._act(self.scene.kinds[entity_id], entity_id, "DELETED", resolves)

    def restore(self, entity_id: str, **resolves: str) -> str:
        """Bring it back."""
        return self._act(self.scene.kinds[entity_id], entity_id, "RESTORED", resolves)

    def undo(self, event_id: str) -> str:
        """Take back what an event did that is in the device's log."""
        [fact] = [fact for fact in self.device.log() if fact["id"] == event_id]
        return self._act(fact["aggregate_type"], fact["aggregate_id"], "UNDO", {"undone_event_id": event_id})

    def _act(self, kind: str, entity_id: str, what: str, data: dict[str, Any], event_id: str | None = None) -> str:
        if event_id is None:
            self.scene.events += 1
            event_id = new_id("event", self.scene.events, self.scene.now())
        act = {
            "id": event_id,
            "aggregate_type": kind,
            "aggregate_id": entity_id,
            "event_type": what,
            "event_data": data,
            "timestamp": acting.moment(event_id, ZONES[self.letter]).isoformat(),
            "version": 1,
        }
        acting.perform(self.device, self.given, act)
        self.acts.append(act)
        self.scene.steps.append({"device": self.letter, "act": act})
        return event_id

    # --- meeting the server -----------------------------------------------------------------------------------------

    async def sync(
        self, *, lost: Lost | None = None, at: int = 1, put_back: Backup | None = None, page: int | None = None
    ) -> None:
        """Sync. At the exchange of that number (1: the first push) something is lost, or the server put back just before.

        `page`: the device takes that many facts a page.
        """
        wire = self.recorder
        wire.exchanges, wire.lost, wire.at, wire.backup = [], lost, at, put_back
        self.scene.steps.append({"device": self.letter, "sync": wire.exchanges})
        self.scene.now()
        try:
            with mock.patch("client.device.PAGE", page or PAGE):
                await self.device.sync()
        except Unavailable:
            assert lost is not None
        else:
            assert lost is None, "the device went on as if nothing had been lost"

    async def hear(self, made: Made, forgery: Forgery) -> None:
        """Pull, and get an answer that somebody has altered."""
        wire = self.recorder
        wire.exchanges, wire.lost, wire.at, wire.backup, wire.forgery = [], None, 0, None, (made, forgery)
        self.scene.steps.append({"device": self.letter, "sync": wire.exchanges})
        try:
            await self.device.sync()
        except BrokenLog:
            assert made == "broken"
        else:
            assert made == "newer", "the device believes everything"
        wire.forgery = None
