"""Devices: each with a file and connections of its own, behind a line of its own that can be cut."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from client import Device
from client.device import Head
from tests.fakes.line import Line, line
from tests.fixtures.api import PASSWORD, Server


@dataclass
class Person:
    """Somebody with an account and any number of devices."""

    email: str
    new: Callable[[str], Coroutine[Any, Any, tuple[Device, Line]]]

    async def device(self, name: str = "device") -> Device:
        """One more device, signed in."""
        return (await self.on_a_line(name))[0]

    async def on_a_line(self, name: str = "device") -> tuple[Device, Line]:
        """One more device, and what connects it."""
        found, wire = await self.new(name)
        await found.login(self.email, PASSWORD)
        return found, wire


@pytest_asyncio.fixture(loop_scope="module")
async def people(api: Server, tmp_path: Path) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Person]]]:
    """New people, one a call."""
    async with AsyncExitStack() as stack:

        async def new(name: str) -> tuple[Device, Line]:
            wire = await stack.enter_async_context(line(api.url))
            return await stack.enter_async_context(Device(tmp_path / f"{uuid.uuid4()}.sqlite", wire.url, name=name)), wire

        async def person() -> Person:
            client = await api.register()
            return Person(client.user["email"], new)

        yield person


@pytest_asyncio.fixture(loop_scope="module")
async def anna(people: Callable[[], Coroutine[Any, Any, Person]]) -> Person:
    """A user."""
    return await people()


async def agree(*devices: Device) -> Head:
    """All meet the server until nobody has anything to say any more; then all of them are the same."""
    for _ in range(4):
        for device in devices:
            await device.sync()
    first, *others = devices
    for other in others:
        assert (other.head, other.state(), other.balances()) == (first.head, first.state(), first.balances())
    for device in devices:
        assert device.pending == 0
    return first.head


async def until(what: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for `what` to be so."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110  # what is waited for is in a file, which tells nobody
            await asyncio.sleep(0.005)
