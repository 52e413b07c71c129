"""One device of one user: acts offline, agrees with the server when it meets it, shows what came of it."""

import asyncio
import datetime
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import UUID

import httpx

from client import answers, facts, live
from client.errors import BrokenLog, Refused, Reset, Unavailable
from client.facts import Account, Fact, Fields, Key
from client.session import Clock, Session
from client.store import Store
from client.wire import Wire

MOST_EVENTS, MOST_BYTES = 500, 900_000
"""Of a push; the server takes 500 and 1 MiB."""
MOST_LEVELS = 100
"""Of lists and objects in a command: the server reads some hundreds, and ours have five."""
PAGE = 1_000
MOST_TRIES = 3
"""How often one sync sends again what waits for other devices: they may be writing faster than we ask."""
MOST_RESETS = 3
"""In one sync: a server that is put back more often while it is asked is left alone for a while."""


class Head(NamedTuple):
    """Where a ledger stands: two devices agree if and only if these are equal."""

    version: int
    hash: str | None


@dataclass(frozen=True)
class Attention:
    """What the user should look at.

    `conflicts`: facts, of any device, that nobody has settled. `rejections`: what this device sent and the server did not take,
    each {command, id, status, code, detail?, errors?}; where something was unknown it is sent again whenever the log grows.
    """

    conflicts: list[Fact]
    rejections: list[dict[str, Any]]


class Device:
    """What the user does is kept in the file at `path` before anything else happens; `sync` and `follow` bring it home.

    Several processes may open the same file: they are one device, and wait for each other where they meet the server.

    `clock`, `dice` and `transport` let a simulation stand for the world.
    """

    def __init__(
        self,
        path: Path | str,
        server: str,
        *,
        name: str = "device",
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = lambda: datetime.datetime.now(datetime.UTC),
        dice: random.Random | None = None,
    ) -> None:
        self._store = Store(path)
        self._clock = clock
        self._dice = dice or random.SystemRandom()
        self._wire = Wire(server, transport)
        self._server = server
        self.id: str = self._store.first("device_id", self._new_id())
        self._session = Session(self._wire, self._store, clock, {"id": self.id, "name": name})
        self._stirred = asyncio.Event()
        self._pushed_at = 0
        """How much of the log was folded when something was last sent."""

    async def close(self) -> None:
        """Let go of the file and the connections."""
        await self._wire.close()
        self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- signing in -------------------------------------------------------------------------------------------------

    async def register(self, email: str, password: str, **profile: Any) -> None:
        """Create an account; `profile`: name, time_zone, locale, default_currency, invite. Raises as `login`, and MailFollows."""
        await self._session.enter("/api/auth/register", email=email, password=password, **profile)

    async def login(self, email: str, password: str) -> None:
        """Sign in, under the id that the device has had from the first. Raises Refused, Unavailable, AnotherAccount."""
        await self._session.enter("/api/auth/login", email=email, password=password)

    async def verify(self, token: str, password: str | None = None) -> None:
        """Sign in with the token from the mail that proves the address. Raises as `login`.

        With the password that the user registered with it is certain that nobody else has registered the address since.
        """
        known = {} if password is None else {"password": password}
        await self._session.enter("/api/auth/verify", token=token, **known)

    async def logout(self) -> None:
        """Sign out; what waits to be sent goes on waiting for the next login of the same user."""
        await self._session.leave()

    @property
    def ledger_id(self) -> str | None:
        """The ledger of whoever signed in here first."""
        found: str | None = self._store.remembered("ledger_id")
        return found

    # --- acting, online or not --------------------------------------------------------------------------------------

    def create(self, kind: str, data: Mapping[str, Any], *, entity_id: str | None = None) -> str:
        """A new contact, transaction or reminder; its id.

        Raises ValueError, as all that acts does, for what no request can hold: it would keep all behind it from being sent.
        """
        entity_id = (entity_id or self._new_id()).lower()
        self._act(kind, entity_id, "CREATED", data)
        return entity_id

    def update(self, kind: str, entity_id: str, data: Mapping[str, Any], *, resolves: str | None = None) -> str:
        """Change some members, None clears; the id of the event. `resolves`: the event id of the conflict that this settles."""
        return self._act(kind, entity_id, "UPDATED", data, resolves)

    def delete(self, kind: str, entity_id: str, *, resolves: str | None = None) -> str:
        """Delete it and what hangs on it; the id of the event."""
        return self._act(kind, entity_id, "DELETED", {}, resolves)

    def restore(self, kind: str, entity_id: str, *, resolves: str | None = None) -> str:
        """Bring back what was deleted; the id of the event."""
        return self._act(kind, entity_id, "RESTORED", {}, resolves)

    def undo(self, event_id: str) -> str:
        """Take back what an event in the log did, whichever device it came from; the id of the event that does it."""
        fact = self._store.fact(event_id)
        if fact is None:
            raise KeyError(event_id)
        return self._act(fact["aggregate_type"], fact["aggregate_id"], "UNDO", {"undone_event_id": event_id})

    def _act(self, kind: str, entity_id: str, what: str, data: Mapping[str, Any], resolves: str | None = None) -> str:
        item = {
            "id": self._new_id(),
            "aggregate_type": kind,
            "aggregate_id": entity_id.lower(),  # as the log will have it
            "event_type": what,
            "event_data": {**data, **({} if resolves is None else {"resolves": resolves})},
            "timestamp": self._clock().isoformat(),
            "version": 1,
        }
        if not _is_flat(item, MOST_LEVELS):
            raise ValueError(f"a command of more than {MOST_LEVELS} lists and objects in each other")
        if (size := len(facts.canonical(item).encode())) > MOST_BYTES:
            raise ValueError(f"a command of {size} bytes: the server takes {MOST_BYTES} at most")
        self._store.queue(item)
        self._stirred.set()
        return str(item["id"])

    def _new_id(self) -> str:
        """A UUIDv7: in the order in which they were made, as far as the device's clock goes."""
        milliseconds = int(self._clock().timestamp() * 1_000)
        number = milliseconds << 80 | 0x7 << 76 | self._dice.getrandbits(12) << 64 | 0b10 << 62 | self._dice.getrandbits(62)
        return str(UUID(int=number))

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """What is folded."""
        return Head(*self._store.head())

    @property
    def pending(self) -> int:
        """How many commands are not in the folded log yet and not refused either."""
        return self._store.count("queued", "acknowledged")

    def state(self) -> dict[Key, Fields]:
        """Everything as the log has it, deleted things too; no device that agrees has another."""
        return dict(self._store.entities())

    def shown(self) -> dict[Key, Fields]:
        """Everything live, as the user expects it: with what this device did and the log does not have yet."""
        keys = [*self.state(), *self._store.pending_keys()]
        found = {key: self.get(*key) for key in keys}
        return {key: fields for key, fields in found.items() if fields is not None and "deleted_at" not in fields}

    def get(self, kind: str, entity_id: str) -> Fields | None:
        """One entity as the user expects it; None where there is none."""
        fields = self._store.folded(kind, entity_id)
        for item in self._store.commands_about(kind, entity_id):
            undone = self._store.fact(str(item["event_data"].get("undone_event_id")))
            fields = facts.foresee(fields, item, undone)
        return fields

    def balances(self) -> dict[Account, int]:
        """What the log says that is owed, in minor units; positive: they owe the user."""
        return facts.balances(self._store.entities())

    def log(self, since: int = 0) -> list[Fact]:
        """The facts behind `since`."""
        return list(self._store.facts(since))

    def attention(self) -> Attention:
        """What the user should look at."""
        return Attention(self._store.open_conflicts(), self._store.refused())

    def dismiss(self, event_id: str) -> None:
        """Drop a command that the server did not take from the list."""
        self._store.drop(event_id)

    # --- meeting the server -----------------------------------------------------------------------------------------

    async def sync(self) -> Head:
        """Pull, push what waits, pull what came of it; the head. One push is in flight at a time, in the order of the acts.

        Raises Unavailable (nothing is known of a push in flight: it is sent again under the same ids), SignedOut, BrokenLog.
        """
        async with self._store.alone("sync"):
            resets = tries = 0
            while True:
                try:
                    await self._pull()
                    if tries < MOST_TRIES and self._send_what_waited():
                        tries += 1
                    if not await self._push():
                        return self.head
                except Reset as reset:
                    resets += 1
                    if resets > MOST_RESETS:
                        raise Unavailable("the server was put back again and again") from reset
                    common = reset.problem.get("common_version")
                    self._store.start_over(await self._common_version() if common is None else common)

    async def first_screen(self) -> tuple[Head, list[dict[str, Any]]]:
        """The live resources at one version, for a device that has not pulled yet; nothing of it is kept."""
        lines = await self._session.ask("GET", "/api/sync/state", shape=answers.is_first_screen)
        return Head(lines[0]["version"], lines[0]["hash"]), lines[1:]

    async def follow(self) -> None:
        """Stay in sync until cancelled, through every loss of the connection. Raises SignedOut, BrokenLog, Refused."""
        await live.follow(self._server, self._session, self.sync, self._is_news, self._stirred, self._dice)

    def _is_news(self, head: tuple[int, str | None]) -> bool:
        return head != self.head or self._store.count("queued") > 0 or self._may_pass_now()

    async def _pull(self) -> None:
        acknowledged = self._store.acknowledged()
        while True:
            version, digest = self._store.head()
            since = {"since": version, "hash": digest, "limit": PAGE}
            page = await self._session.ask("POST", "/api/sync/pull", since, shape=answers.is_page)
            self._store.fold(page["events"], self.id)
            if not page["has_more"]:
                break
        if (head := self.head) != Head(page["version"], page["hash"]):
            raise BrokenLog(f"the log ends at {page['version']} by the server's word, and at {head.version} in fact")
        # A backup was restored that holds no less than what this device had folded, so that nothing contradicted it.
        self._store.queue_again(acknowledged & self._store.acknowledged())

    def _send_what_waited(self) -> bool:
        """What was refused because something was unknown is sent again once the log has grown; whether there is any."""
        if waits := self._may_pass_now():
            self._store.queue_waiting()
        return waits

    def _may_pass_now(self) -> bool:
        return self.head.version != self._pushed_at and self._store.count("waiting") > 0

    async def _push(self) -> bool:
        """Send the first of what waits; False where there is nothing."""
        batch = self._store.batch(MOST_EVENTS, MOST_BYTES)
        if not batch:
            return False
        base_hash = self._store.hash_at(max(item["base_seq"] for item in batch))
        body = {"events": batch, "base_hash": base_hash}
        answer = await self._session.ask("POST", "/api/sync/push", body, shape=answers.are_outcomes_of(batch))
        self._store.settle(answer["results"])
        self._pushed_at = self.head.version
        return True

    async def _common_version(self) -> int:
        """The last seq where this device's log and the server's are the same."""
        low, high = 0, min(self.head.version, (await self._head_there())["version"])
        while low < high:
            middle = (low + high + 1) // 2
            try:
                there = (await self._head_there(seq=middle))["hash"]
            except Refused:  # the log has become shorter still
                there = None
            low, high = (middle, high) if there == self._store.hash_at(middle) else (low, middle - 1)
        return low

    async def _head_there(self, **query: int) -> Any:
        """Where the server's ledger stands, or stood at `seq`. Raises Refused behind its end."""
        return await self._session.ask("GET", "/api/sync/hash", query=query or None, shape=answers.is_head)


def _is_flat(value: Any, levels: int) -> bool:
    if not isinstance(value, Mapping | list | tuple):
        return True
    inside = value.values() if isinstance(value, Mapping) else value
    return levels > 0 and all(_is_flat(one, levels - 1) for one in inside)
