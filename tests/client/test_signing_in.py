"""Devices at the door: their tokens, and where accounts need a proven address."""

import asyncio
import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from client import Device, MailFollows, Refused
from client.session import Session
from client.store import Store
from client.wire import Wire
from tests.api.test_registration import mail, signing_up
from tests.fixtures.api import PASSWORD, Server


async def test_a_token_is_exchanged_once_by_however_many_need_a_new_one(api: Server, database: Engine, tmp_path: Path) -> None:
    """The refresh token that came second would end the session."""
    ahead, wire = datetime.timedelta(0), Wire(api.url, None)
    phone = {"name": "phone"}
    session = Session(wire, Store(tmp_path / "device.sqlite"), lambda: datetime.datetime.now(datetime.UTC) + ahead, phone)
    await session.enter("/api/auth/register", email="ada@example.org", password=PASSWORD)
    ahead = datetime.timedelta(seconds=590)
    [new] = set(await asyncio.gather(*(session.token() for _ in range(5))))
    with database.begin() as connection:
        assert connection.scalar(text("select count(*) from debitum.refresh_tokens")) == 2
    assert (await wire.ask("GET", "/api/me", token=new))["email"] == "ada@example.org"
    await wire.close()


async def test_a_device_waits_for_the_mail_and_signs_in_with_it(api: Server, database: Engine, tmp_path: Path) -> None:
    device = Device(tmp_path / "device.sqlite", api.url, name="phone")
    with signing_up(api, "verified"):
        with pytest.raises(MailFollows):
            await device.register("ada@example.org", PASSWORD, name="Ada")
        with pytest.raises(Refused) as refused:
            await device.login("ada@example.org", PASSWORD)
        assert (refused.value.code, device.ledger_id) == ("invalid_credentials", None)
        token = mail(database, "ada@example.org")
        with pytest.raises(Refused):
            await device.verify(token, "another password")
        await device.verify(token, PASSWORD)
        await device.sync()
        await device.logout()
        await device.login("ada@example.org", PASSWORD)
        assert device.ledger_id is not None
    await device.close()
