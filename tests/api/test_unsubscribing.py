"""The link in each mail that ends mails of its kind: by one click, for good, for one reader and one kind, and for nobody else."""

import base64
import uuid

import pytest
from sqlalchemy import Engine, select

from domain import reminders
from storage import tables
from storage import unsubscribing as storage
from tests.fixtures.api import PASSWORD, Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def unsubscribe_token(client: Client, database: Engine, server: Server, kind: reminders.Kind) -> str:
    """What a mail to this user holds."""
    with database.connect() as connection:
        query = select(tables.ledgers.c.data_key).where(tables.ledgers.c.id == uuid.UUID(client.ledger_id))
        data_key = connection.execute(query).scalar_one()
    return storage.token(server.settings.keys.cipher(client.ledger_id, data_key), kind)


async def wanted(client: Client) -> tuple[list[str], list[str]]:
    """The channels of due dates, and of reminders that one sets oneself."""
    settings = (await client.get("/api/me"))["reminder_settings"]
    return settings["channels"], settings.get("explicit_channels", ["email", "push"])


async def test_one_click_ends_mails_of_its_kind_and_nothing_else(api: Server, alice: Client, database: Engine) -> None:
    bob = await api.register()
    due, explicit = (unsubscribe_token(alice, database, api, kind) for kind in ("due", "reminder"))
    async with api.http() as http:  # a mail program: it is signed in nowhere, and sends no form of ours
        for _ in range(2):
            assert (await http.post("/unsubscribe", params={"token": due}, data=ONE_CLICK)).status_code == 200
            assert await wanted(alice) == (["push"], ["email", "push"])
        files = {"List-Unsubscribe": (None, "One-Click")}  # RFC 8058 allows either way
        assert (await http.post("/unsubscribe", params={"token": explicit}, files=files)).status_code == 200
    assert await wanted(alice) == (["push"], ["push"])
    assert await wanted(bob) == (["email", "push"], ["email", "push"])


async def test_following_the_link_changes_nothing(api: Server, alice: Client, database: Engine) -> None:
    """Mail scanners open links."""
    token = unsubscribe_token(alice, database, api, "due")
    async with api.http() as http:
        assert (await http.get("/unsubscribe", params={"token": token})).status_code == 200
        assert (await http.head("/unsubscribe", params={"token": token})).status_code in (200, 405)
    assert await wanted(alice) == (["email", "push"], ["email", "push"])


async def test_what_was_ended_can_be_had_again(api: Server, alice: Client, database: Engine) -> None:
    async with api.http() as http:
        for kind in ("due", "reminder"):
            await http.post("/unsubscribe", data={"token": unsubscribe_token(alice, database, api, kind)})
    again = {"channels": ["email"], "explicit_channels": ["push", "email"]}
    answer = await alice.http.patch("/api/me", json={"reminder_settings": again})
    assert answer.status_code == 200
    assert await wanted(alice) == (["email"], ["push", "email"])


@pytest.mark.parametrize("what", ["", "x", "é" * 44, "A" * 44, "A" * 43 + "=", "kind", "ledger", "signature", "longer"])
async def test_nobody_else_makes_a_token(api: Server, alice: Client, database: Engine, what: str) -> None:
    good = base64.urlsafe_b64decode(unsubscribe_token(alice, database, api, "due") + "==")
    changed = {
        "kind": good[:16] + b"\1" + good[17:],
        "ledger": uuid.UUID((await api.register()).ledger_id).bytes + good[16:],
        "signature": good[:-1] + bytes([good[-1] ^ 1]),
        "longer": good + b"\0",
    }
    token = base64.urlsafe_b64encode(changed[what]).decode() if what in changed else what
    async with api.http() as http:
        assert (await http.post("/unsubscribe", params={"token": token}, data=ONE_CLICK)).status_code == 400
    assert await wanted(alice) == (["email", "push"], ["email", "push"])


async def test_it_works_as_long_as_there_is_an_account(api: Server, alice: Client, database: Engine) -> None:
    """Also while somebody is leaving: they may still keep the account."""
    token = unsubscribe_token(alice, database, api, "due")
    await alice.http.request("DELETE", "/api/me", json={"password": PASSWORD})
    async with api.http() as http:
        assert (await http.post("/unsubscribe", params={"token": token}, data=ONE_CLICK)).status_code == 200
        assert (await alice.http.post("/api/me/keep")).status_code == 200
    assert await wanted(alice) == (["push"], ["email", "push"])
