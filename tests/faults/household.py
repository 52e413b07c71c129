"""Devices that write without a pause, whatever happens to the server, and what has to be true of all of it in the end."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from client import Device, Unavailable, live
from storage import stretches
from tests.faults import checker, history, recording
from tests.fixtures.api import PASSWORD

PATIENCE_SECONDS = 60.0
"""For all to be quiet again once nothing disturbs them any more."""
LONG = 2 * stretches.STEP
"""Of one push in ten: it goes the way of long ones."""
RETRY_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
"""Of a device that follows, between attempts to connect: it has 30 s otherwise."""
FEED_SECONDS = 10.0
"""For that device to be where the others are."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of ids: acknowledged, not in the end what was acknowledged, in a log twice; and of what was done to the server.

    `messages`: all that had to be sent (`lost` counts these, too); `duplicates` are calls that a provider accepted beyond the
    first of a message, `duplicates_counted` are the same by the database's attempts. `restored`: backups that were put back.
    """

    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    kills: int = 0
    kills_while_sending: int = 0
    stops: int = 0
    control_lost: int = 0
    messages: int = 0
    duplicates: int = 0
    duplicates_counted: int = 0
    restored: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        """Of two runs together."""
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


@dataclass
class Writer:
    """A device whose user never rests: creates, changes and deletes, and syncs after every few."""

    device: Device
    dice: random.Random
    padding: int = 0
    """Characters of each description: more of them fill a disk sooner."""
    contact: str = ""
    debts: list[str] = field(default_factory=list)

    async def run(self, over: asyncio.Event) -> None:
        """Until it is over."""
        self.contact = self.contact or self.device.create("contact", {"name": "Ana"})
        while not over.is_set():
            for _ in range(LONG if self.dice.random() < 0.1 else self.dice.randint(1, 8)):
                self._act()
            await _sync(self.device)

    def _act(self) -> None:
        amount = self.dice.randint(1, 10**6)
        if len(self.debts) < 3 or self.dice.random() < 0.7:
            text = self.dice.randbytes(self.padding // 2).hex()
            members = {"contact_id": self.contact, "direction": "lent", "amount": amount, "currency": "EUR", "description": text}
            self.debts.append(self.device.create("transaction", members))
        elif self.dice.random() < 0.7:
            self.device.update("transaction", self.dice.choice(self.debts), {"amount": amount})
        else:
            self.device.delete("transaction", self.debts.pop(self.dice.randrange(len(self.debts))))


async def _follow(device: Device) -> None:
    with mock.patch.object(live, "LONGEST_PAUSE_SECONDS", LONGEST_PAUSE_SECONDS):
        await device.follow()


async def _sync(device: Device) -> bool:
    try:
        await device.sync()
    except Unavailable as error:
        await asyncio.sleep(max(RETRY_SECONDS, min(error.retry_after, 0.2)))
        return False
    return True


@dataclass
class Household:
    """Users with devices on one server, and all that their devices were told."""

    url: str
    folder: Path
    stack: AsyncExitStack
    seen: list[history.Operation] = field(default_factory=list)
    writers: list[Writer] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    """The address of each."""
    epoch: int = 0
    """How many restores have begun."""

    async def device(self, user: str) -> Device:
        """One more device of the user."""
        recorder = recording.Recorder(user, f"{user} {uuid.uuid4()}", self.seen.append, epoch=lambda: self.epoch)
        made = Device(self.folder / f"{uuid.uuid4()}.sqlite", self.url, transport=recorder)
        await self.stack.enter_async_context(made)
        if user in self.users:
            await made.login(self.users[user], PASSWORD)
        else:
            self.users[user] = f"{uuid.uuid4().hex}@example.org"
            await made.register(self.users[user], PASSWORD)
        return made

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Everyone writes meanwhile; a writer that fails fails the test.

        A device of the first user does nothing but follow the feed, and has to be where the others are in the end.
        """
        over = asyncio.Event()
        follower = await self.device("user 0")
        following = asyncio.create_task(_follow(follower))
        tasks = [asyncio.create_task(writer.run(over)) for writer in self.writers]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)
        await self.come_to_rest()
        async with asyncio.timeout(FEED_SECONDS):
            while follower.head != self.writers[0].device.head:  # noqa: ASYNC110  # its file tells nobody
                await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    async def come_to_rest(self) -> None:
        """Everything that waits is sent and everything that was said is heard, by every device."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(2):  # what the last one sends the first one hears in the second round
                waiting = [writer.device for writer in self.writers]
                while waiting:
                    waiting = [device for device in waiting if not await _sync(device) or device.pending]

    async def logs(self) -> dict[str, Any]:
        """Each user's whole log, verified by a device that sees it for the first time."""
        found = {}
        for user in self.users:
            reader = await self.device(user)
            await reader.sync()
            found[user] = recording.final(user, reader.log()).log
        return found

    async def judge(self) -> Figures:
        """The figures of a run in which nothing may be lost. Raises AssertionError with what the checker found."""
        logs = await self.logs()
        found = checker.check(self.seen, logs)
        assert found == [], [violation.text for violation in found[:5]]
        summary, again = checker.summary(self.seen, logs), sent_again(self.seen)
        assert again == set(), f"{len(again)} acknowledged events had to be sent again"
        return Figures(acknowledged=summary.acknowledged, lost=summary.lost, twice=summary.twice)


def sent_again(seen: Iterable[history.Operation]) -> set[tuple[str, str]]:
    """(user, id) of what a device sent once more after it was acknowledged: it had found that the server had forgotten it.

    Devices heal what a server loses, so that the final log alone would hide the loss.
    """
    acknowledged: dict[tuple[str, str], float] = {}
    again = set()
    pushes = [one for one in seen if isinstance(one, history.Push)]
    for push in sorted(pushes, key=lambda push: push.start):
        again |= {(push.user, item.id) for item in push.items if acknowledged.get((push.user, item.id), push.start) < push.start}
        for outcome in push.outcomes:
            if outcome.taken:
                acknowledged.setdefault((push.user, outcome.id), push.end)
    return again


@asynccontextmanager
async def household(url: str, folder: Path, *, users: int, devices: int, seed: int, padding: int = 0) -> AsyncIterator[Household]:
    """`devices` devices, dealt to `users` users of the server at `url`."""
    async with AsyncExitStack() as stack:
        made = Household(url, folder, stack)
        for number in range(devices):
            device = await made.device(f"user {number % users}")
            made.writers.append(Writer(device, random.Random(seed * 1_000 + number), padding))
        yield made
