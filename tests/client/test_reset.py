"""A server that is put back to a backup: what it forgot comes back from the devices that hold it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy import make_url

from api.settings import Settings
from client import AnotherAccount, Device, Refused, SignedOut, Unavailable
from client.device import Head
from tests.client.conftest import agree, until
from tests.client.test_scenarios import following, lunch
from tests.fakes.line import Line, line
from tests.faults import checker, history, recording
from tests.fixtures import pooler
from tests.fixtures.api import PASSWORD, Server, serve


@dataclass
class Installation:
    """A server behind one address, whose database can be copied and put back; devices record what they are told."""

    settings: Settings
    maintenance: psycopg.Connection[Any]
    wire: Line
    folder: Path
    stack: AsyncExitStack
    seen: list[history.Operation] = field(default_factory=list)
    epoch: int = 0
    _running: AsyncExitStack | None = None
    server: Server | None = None

    async def start(self) -> Server:
        """Serve the database."""
        self._running = AsyncExitStack()
        self.server = await self._running.enter_async_context(serve(self.settings))
        self.wire.server = self.server.url
        return self.server

    async def stop(self) -> None:
        """Nobody answers."""
        self.wire.server = None
        self.wire.cut()
        if self._running is not None:
            await self._running.aclose()
            self._running = None

    async def backup(self) -> str:
        """Copy the database, which costs a moment without service."""
        await self.stop()
        copy = self._copy(self.settings.database_url)
        await self.start()
        return copy

    async def restore(self, backup: str) -> None:
        """Serve a copy of the backup instead."""
        await self.stop()
        self.epoch += 1
        self.settings = replace(self.settings, database_url=self._copy(backup))
        await self.start()

    def _copy(self, url: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        source = make_url(url).database
        assert source is not None
        create = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(source))
        if pooler.wanted():  # it keeps connections that nobody uses, and no database is copied under somebody
            self.maintenance.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (source,))
        self.maintenance.execute(create)
        drop = sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
        self.stack.callback(self.maintenance.execute, drop)
        return make_url(url).set(database=name).render_as_string(hide_password=False)

    async def device(self, email: str, name: str, network: httpx.AsyncBaseTransport | None = None) -> Device:
        """A device of the user, signed in."""
        recorder = recording.Recorder("anna", name, self.seen.append, network=network, epoch=lambda: self.epoch)
        made = Device(self.folder / f"{uuid.uuid4()}.sqlite", self.wire.url, name=name, transport=recorder)
        await self.stack.enter_async_context(made)
        await made.login(email, PASSWORD)
        return made

    def prove(self, device: Device) -> None:
        """The checker finds nothing: seq rules within an epoch, presence and isolation across."""
        assert checker.check(self.seen, {"anna": recording.final("anna", device.log()).log}) == []


@pytest.fixture
def maintenance(server: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside all databases under test."""
    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture
async def installation(
    api_settings: Settings, maintenance: psycopg.Connection[Any], tmp_path: Path
) -> AsyncIterator[Installation]:
    """A running one."""
    async with AsyncExitStack() as stack, line(None) as wire:
        made = Installation(api_settings, maintenance, wire, tmp_path, stack)
        await made.start()
        stack.push_async_callback(made.stop)
        yield made


async def a_household(here: Installation, *names: str) -> tuple[str, list[Device]]:
    assert here.server is not None
    email = (await here.server.register()).user["email"]
    return email, [await here.device(email, name) for name in names]


@pytest.mark.parametrize("written_past", [0, 5, 60])
async def test_a_restore_loses_nothing_that_a_device_still_holds(installation: Installation, written_past: int) -> None:
    """The backup has 3 events, the devices know 43; others may have written past that before they come back."""
    here = installation
    email, [phone, laptop] = await a_household(here, "phone", "laptop")
    ana = phone.create("contact", {"name": "Ana"})
    debts = [phone.create("transaction", lunch(ana, 1_000)) for _ in range(2)]
    await agree(phone, laptop)
    backup = await here.backup()
    for device in (phone, laptop):
        for number in range(20):
            device.create("transaction", lunch(ana, 10 + number))
        await device.sync()
    laptop.update("transaction", debts[0], {"amount": 5})
    await agree(phone, laptop)
    before = {fact["id"] for fact in phone.log()}
    balance = phone.balances()[ana, "EUR"]
    phone.create("transaction", lunch(ana, 7))
    await here.restore(backup)
    newcomer = await here.device(email, "new")
    await newcomer.sync()
    assert newcomer.head.version == 3
    for _ in range(written_past):
        newcomer.create("transaction", lunch(ana, 1))
    await newcomer.sync()
    head = await agree(laptop, phone, newcomer)
    after = {fact["id"] for fact in newcomer.log()}
    assert before < after
    assert len(after) == head.version == 3 + 40 + 1 + 1 + written_past
    assert newcomer.balances() == {(ana, "EUR"): balance + 7 + written_past}
    assert all(device.attention().rejections == [] for device in (phone, laptop, newcomer))
    assert newcomer.attention().conflicts == [], "what was decided once in peace meets nothing new"
    here.prove(newcomer)


async def test_what_was_changed_meanwhile_on_both_sides_becomes_a_conflict(installation: Installation) -> None:
    here = installation
    _, [phone, laptop] = await a_household(here, "phone", "laptop")
    ana = phone.create("contact", {"name": "Ana"})
    debt = phone.create("transaction", lunch(ana, 1_000))
    await agree(phone, laptop)
    backup = await here.backup()
    phone.update("transaction", debt, {"amount": 1_100})
    await phone.sync()
    await here.restore(backup)
    laptop.update("transaction", debt, {"amount": 1_200})
    await laptop.sync()
    await agree(phone, laptop)
    [conflict] = laptop.attention().conflicts
    assert conflict["conflict"] == {"kind": "edit", "kept": {"amount": 1_200}, "offered": {"amount": 1_100}, "with_seq": 3}
    assert conflict["base_seq"] == 2, "the last version that both histories have"
    here.prove(phone)


async def test_what_was_acknowledged_and_not_folded_is_missed(installation: Installation) -> None:
    """Nothing contradicts this device: it had folded no more than the backup holds. Still its change is gone, and comes again."""

    class Deaf(httpx.AsyncHTTPTransport):
        """Hears nothing of pulls while it is `deaf`, once something was pushed."""

        deaf = False
        pushed = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if self.deaf and self.pushed and request.url.path == recording.PULL:
                raise httpx.ReadTimeout("the line is dead", request=request)
            self.pushed = request.url.path == recording.PUSH
            return await super().handle_async_request(request)

    here, network = installation, Deaf()
    email, [laptop] = await a_household(here, "laptop")
    phone = await here.device(email, "phone", network)
    ana = laptop.create("contact", {"name": "Ana"})
    await agree(laptop, phone)
    backup = await here.backup()
    network.deaf = True
    phone.create("transaction", lunch(ana, 12))
    with pytest.raises(Unavailable):
        await phone.sync()
    assert (await laptop.sync()).version == 2
    network.deaf = network.pushed = False
    await here.restore(backup)
    await agree(phone, laptop)
    assert laptop.balances() == {(ana, "EUR"): 12}
    here.prove(laptop)


async def test_a_device_needs_what_another_one_has_still_to_bring_back(installation: Installation) -> None:
    """Ana is known to the laptop alone; the phone's debt with her waits until she is back."""
    here = installation
    _, [phone, laptop] = await a_household(here, "phone", "laptop")
    backup = await here.backup()
    ana = laptop.create("contact", {"name": "Ana"})
    await agree(phone, laptop)
    phone.create("transaction", lunch(ana, 9))
    await phone.sync()
    await here.restore(backup)
    await phone.sync()
    [refused] = phone.attention().rejections
    assert (refused["code"], phone.pending) == ("unknown_contact", 0)
    await agree(laptop, phone)
    assert laptop.balances() == {(ana, "EUR"): 9}
    assert phone.attention().rejections == []
    here.prove(phone)


async def test_devices_that_follow_notice_by_themselves(installation: Installation) -> None:
    here = installation
    _, [phone, laptop] = await a_household(here, "phone", "laptop")
    backup = await here.backup()
    async with following(phone, laptop):
        ana = phone.create("contact", {"name": "Ana"})
        await until(lambda: laptop.get("contact", ana))
        laptop.create("transaction", lunch(ana, 3))
        await until(lambda: phone.head.version == 2)
        await here.restore(backup)
        await until(lambda: phone.head == laptop.head and phone.head.version == 2 and laptop.pending == phone.pending == 0, 20)
    assert phone.balances() == {(ana, "EUR"): 3}
    here.prove(phone)


async def test_pages_agree_while_others_write(installation: Installation) -> None:
    """3,000 facts in pages of 1,000, while two devices write: each page follows the one before, and proves it."""
    here = installation
    email, [phone, laptop] = await a_household(here, "phone", "laptop")
    ana = phone.create("contact", {"name": "Ana"})
    for number in range(3_000):
        phone.create("transaction", lunch(ana, 1 + number))
    await agree(phone, laptop)
    writing = True

    async def write(device: Device) -> None:
        while writing:
            device.create("transaction", lunch(ana, 1))
            await device.sync()

    writers = [asyncio.create_task(write(device)) for device in (phone, laptop)]
    newcomers = [await here.device(email, f"new {number}") for number in range(2)]
    heads: list[Head] = [await newcomer.sync() for newcomer in newcomers]
    writing = False
    await asyncio.gather(*writers)
    assert all(head.version > 3_001 for head in heads)
    await agree(phone, laptop, *newcomers)
    pulls = [one for one in here.seen if isinstance(one, history.Pull) and one.device == "new 0"]
    assert [len(pull.facts) for pull in pulls][:3] == [1_000, 1_000, 1_000]
    here.prove(phone)


async def test_an_account_younger_than_the_backup_is_not_healed_but_can_be_imported(installation: Installation) -> None:
    """Nobody can sign in to it, and a device takes no other in its place; what it holds can be imported into a new one."""
    here = installation
    _, [elder] = await a_household(here, "elder")
    elder.create("contact", {"name": "Bo"})
    await elder.sync()
    backup = await here.backup()
    email, [phone] = await a_household(here, "phone")
    ana = phone.create("contact", {"name": "Ana"})
    phone.create("transaction", lunch(ana, 1_000))
    await phone.sync()
    await here.restore(backup)
    with pytest.raises(SignedOut):
        await phone.sync()
    with pytest.raises(Refused):
        await phone.login(email, PASSWORD)
    with pytest.raises(AnotherAccount):
        await phone.register(email, PASSWORD)
    assert here.server is not None
    client = await here.server.register()
    held = {"format": "debitum-export", "version": 1, "events": phone.log()}
    assert (await client.post("/api/import/json", held))["version"] == phone.head.version == 2
    newcomer = await here.device(client.user["email"], "new")
    await newcomer.sync()
    assert newcomer.balances() == phone.balances() == {(ana, "EUR"): 1_000}
