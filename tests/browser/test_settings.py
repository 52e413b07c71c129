"""What one does with a device and an account: importing, mails, a password that was forgotten, leaving."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, expect
from sqlalchemy import Engine

from tests.api.test_passwords import mails
from tests.browser.conftest import ONE_LOOP, Visitor, signed_in
from tests.browser.test_devices import friend, lunch
from tests.fixtures.api import Client, Server

pytestmark = ONE_LOOP

DATA = Path(__file__).parents[1] / "data"


async def test_import_and_export(api: Server, alice: Client, chromium: Browser) -> None:
    """A backup of the Android app comes in, with what was made of it; everything goes out as a file."""
    expected = json.loads((DATA / "debitum-small.json").read_text())
    async with signed_in(chromium, api, alice.user["email"]) as laptop:
        await laptop.go("/settings")
        await laptop.page.locator("#import").set_input_files(DATA / "debitum-small.zip")
        await expect(laptop.page.locator("#imported")).to_contain_text("People:")
        assert f"People: {expected['contacts']}." in (await laptop.page.locator("#imported").text_content() or "")
        async with laptop.page.expect_download() as download:
            await laptop.page.locator("#export-json").click()
        exported = json.loads(await asyncio.to_thread(Path(await (await download.value).path()).read_text))
        assert len(exported["events"]) == (await alice.get("/api/sync/hash"))["version"]
        await laptop.go("/")
        await expect(laptop.page.locator("#people > li")).to_have_count(
            len((await alice.get("/api/contacts", limit=200))["items"])
        )


async def test_how_one_is_reminded(api: Server, alice: Client, chromium: Browser) -> None:
    """By what is chosen on the page, and what changed elsewhere is seen when the page opens."""
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await phone.go("/settings")
        await expect(phone.page.get_by_text("Reminders are mailed once the link")).to_be_visible()
        for box, checked in (("mail-due", False), ("mail-own", False), ("mail-digest", True)):
            await phone.page.locator(f"#{box}").set_checked(checked)
        for label, at in (("Quiet from", "22:00"), ("Quiet until", "07:30"), ("What is due, at", "08:15")):
            await phone.page.get_by_label(label).fill(at)
            await phone.page.get_by_label(label).blur()
        wanted: dict[str, Any] = {
            "due_offsets_days": [-1, 0, 7],
            "local_time": "08:15",
            "quiet_hours": {"from": "22:00", "to": "07:30"},
            "channels": ["push"],
            "digest": True,
            "explicit_channels": ["push"],
        }
        await until(lambda: _chosen(alice), wanted)
        await alice.http.patch("/api/me", json={"reminder_settings": {"channels": ["email"], "quiet_hours": None}})
        await phone.page.reload()
        await expect(phone.page.locator("#mail-due")).to_be_checked()
        await expect(phone.page.get_by_label("Quiet from")).to_have_value("")
        await phone.page.locator("#mail-own").check()
        wanted |= {"channels": ["email"], "quiet_hours": None, "explicit_channels": ["push", "email"]}
        await until(lambda: _chosen(alice), wanted)


async def _chosen(client: Client) -> Any:
    return (await client.get("/api/me"))["reminder_settings"]


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Until that is the answer; the last one is shown where it is not."""
    for _ in range(300):
        if (found := await ask()) == wanted:
            return
        await asyncio.sleep(0.1)
    assert found == wanted


async def test_who_forgot_the_password_gets_a_mail(alice: Client, visitor: Visitor, database: Engine) -> None:
    await visitor.page.locator("#forgotten").click()
    await expect(visitor.page.get_by_text("An e-mail address.")).to_be_visible()
    await visitor.page.get_by_label("E-mail").fill(alice.user["email"])
    await visitor.page.locator("#forgotten").click()
    await expect(visitor.page.get_by_text("Look into your mail")).to_be_visible()
    assert [ledger_id for ledger_id, _ in mails(database)] == [alice.ledger_id]


async def test_erasing_a_device(api: Server, alice: Client, chromium: Browser) -> None:
    """Nothing stays in the browser, and another account can sign in."""
    await friend(alice)
    bob = await api.register()
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await phone.go("/settings")
        await phone.page.locator("#erase").click()
        await phone.page.get_by_role("button", name="Erase", exact=True).click()
        await phone.sign_in(bob.user["email"])
        await phone.go("/")
        await expect(phone.page.get_by_text("Nobody here yet.")).to_be_visible()


async def test_who_finds_another_account_on_a_device_saves_what_it_has_and_erases_it(
    api: Server, alice: Client, chromium: Browser, tmp_path: Path
) -> None:
    """A server that was put back to before the account was made knows nothing of it, and the device may have all that is left."""
    await lunch(alice, await friend(alice), amount=1_234)
    bob = await api.register()
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await expect(phone.page.locator("#people > li")).to_have_count(1)
        await phone.live()
        await phone.go("/settings")
        await phone.page.locator("#sign-out").click()
        await expect(phone.page.locator("#erase")).to_be_hidden()
        await phone.enter(bob.user["email"])
        await expect(phone.page.get_by_text("This device belongs to another account.")).to_be_visible()
        async with phone.page.expect_download() as download:
            await phone.page.locator("#save").click()
        saved = tmp_path / "debitum-device.json"
        await (await download.value).save_as(saved)
        await phone.page.locator("#erase").click()
        await expect(phone.page.get_by_text("unless that account is gone")).to_be_visible()
        await phone.page.get_by_role("button", name="Erase", exact=True).click()
        await expect(phone.page.locator("#erase")).to_be_hidden()
        await phone.sign_in(bob.user["email"])
        await phone.go("/settings")
        await phone.page.locator("#import").set_input_files(saved)
        await expect(phone.page.locator("#imported")).to_contain_text("People: 1. Debts: 1.")
    [ana] = (await bob.get("/api/contacts"))["items"]
    assert ana["balances"] == [{"currency": "EUR", "amount": 1_234}]


async def test_a_tab_whose_device_is_erased_in_another_begins_anew(api: Server, alice: Client, chromium: Browser) -> None:
    """It had let go of the database, so that nobody could sign in there until somebody thought of opening the page anew."""
    bob = await api.register()
    async with signed_in(chromium, api, alice.user["email"]) as first:
        second = Visitor(await first.context.new_page(), first.context, api.url)
        await second.page.goto(f"{api.url}/app/")
        await second.live()
        await first.go("/settings")
        await first.page.locator("#erase").click()
        await first.page.get_by_role("button", name="Erase", exact=True).click()
        await expect(first.page.locator("#sign-in")).to_be_visible()
        await expect(second.page.locator("#sign-in")).to_be_visible()
        await second.sign_in(bob.user["email"])
        await first.live()
