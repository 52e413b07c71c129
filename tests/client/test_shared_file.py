"""Two processes have the file of one device open: they are one device, and neither is in the other's way."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import Engine, text

from client import Device
from client.session import Session
from client.store import Store
from client.wire import Wire
from tests.client.conftest import Person, agree, until
from tests.client.test_scenarios import following, lunch
from tests.fixtures.api import PASSWORD, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

Two = tuple[Device, Device]


@pytest_asyncio.fixture(loop_scope="module")
async def two(anna: Person, api: Server, tmp_path: Path) -> AsyncIterator[Two]:
    """A device of Anna's, opened twice."""
    async with Device(tmp_path / "file", api.url) as one, Device(tmp_path / "file", api.url) as other:
        await one.login(anna.email, PASSWORD)
        yield one, other


async def test_both_meet_the_server_at_the_same_moment(anna: Person, two: Two) -> None:
    """Each pulls and sends what the other would: nobody takes the other's progress for a broken log."""
    tablet = await anna.device()
    ana = tablet.create("contact", {"name": "Ana"})
    for round in range(1, 4):
        tablet.create("transaction", lunch(ana, round))
        await tablet.sync()
        for device in two:
            device.create("contact", {"name": "Bo"})
        heads = await asyncio.gather(*(device.sync() for device in two))
        assert heads[0].version <= heads[1].version == 1 + 3 * round
    assert (await agree(*two, tablet)).version == 10


async def test_what_one_does_the_other_that_follows_sends(anna: Person, two: Two) -> None:
    """Nobody tells it: it looks."""
    laptop, (one, other) = await anna.device(), two
    async with following(one):
        ana = laptop.create("contact", {"name": "Ana"})
        await laptop.sync()
        await until(lambda: one.get("contact", ana))  # from the feed: it rests from here on
        other.create("contact", {"name": "Bo"})
        await until(lambda: one.pending == 0)
    assert (await agree(laptop, *two)).version == 2


async def test_a_device_has_one_id_whoever_opens_its_file_first(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "file"), Store(tmp_path / "file")
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    assert [store.first("device_id", known) for store, known in zip((one, other), ids, strict=True)] == [ids[0]] * 2
    one.close()
    other.close()


async def test_a_token_is_exchanged_by_one_of_them(api: Server, database: Engine, tmp_path: Path) -> None:
    """Of two successors of a refresh token the first is good for nothing, and to use it ends the session."""
    ahead, wire = datetime.timedelta(0), Wire(api.url, None)
    stores = [Store(tmp_path / "file") for _ in range(2)]

    def clock() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + ahead

    one, other = (Session(wire, store, clock, {"name": "phone"}) for store in stores)
    await one.enter("/api/auth/register", email="ada@example.org", password=PASSWORD)
    ahead = datetime.timedelta(seconds=590)
    [_] = set(await asyncio.gather(one.token(), other.token()))
    hers = """
        select count(*) from debitum.refresh_tokens t join debitum.sessions s on s.id = t.session_id
        join debitum.users u on u.id = s.user_id where u.email = 'ada@example.org'
    """
    with database.begin() as connection:
        assert connection.scalar(text(hers)) == 2
    for store in stores:
        store.close()
    await wire.close()
