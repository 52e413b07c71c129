"""Devices at the door: many at once, and where accounts need a proven address."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from client import Device, MailFollows, Refused
from tests.api.test_registration import mail, signing_up
from tests.client.conftest import Person
from tests.fixtures.api import PASSWORD, Server


async def test_a_crowd_gets_in(people: Callable[[], Coroutine[Any, Any, Person]]) -> None:
    """More than hash at a time: who is told to come again does so by itself."""
    anna, bob = await people(), await people()
    devices = await asyncio.gather(*(person.device() for person in [anna, bob] * 6))
    assert len({device.ledger_id for device in devices}) == 2


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
