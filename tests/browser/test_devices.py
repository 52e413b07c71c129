"""Two people's worth of devices: offline stretches, conflicts of money, lost pages, tokens that end, servers that go away."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from api import feed, tokens
from api.settings import Settings
from tests.browser.conftest import ONE_LOOP, Visitor, signed_in, visiting
from tests.fixtures.api import Client, Server, serve

pytestmark = ONE_LOOP

EVENTS = 10_000
PER_PUSH = 500


async def write_down(page: Page, amount: str, description: str) -> None:
    """Fill in the form for a debt of the person who is shown, and save it."""
    await page.locator("#add-debt").click()
    await page.get_by_label("Amount").fill(amount)
    await page.get_by_label("Description").fill(description)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#debts")).to_contain_text(description)


async def change(page: Page, description: str, amount: str) -> None:
    """Change the amount of the debt with that description."""
    await page.locator("#debts > li", has_text=description).locator("[data-act=edit]").click()
    await page.get_by_label("Amount").fill(amount)
    await page.get_by_role("button", name="Save").click()


async def friend(client: Client, name: str = "Ana") -> str:
    contact = await client.post("/api/contacts", {"name": name}, status=201)
    return str(contact["id"])


async def lunch(client: Client, contact_id: str, **members: Any) -> str:
    debt = {"contact_id": contact_id, "direction": "lent", "amount": 1000, "currency": "EUR", "description": "lunch"}
    made = await client.post("/api/transactions", debt | members, status=201)
    return str(made["id"])


async def agree(*visitors: Visitor) -> tuple[str | None, str | None]:
    """Until all devices have sent what waits and stand at the same version with the same hash, which are returned."""
    for visitor in visitors:
        await visitor.live()
    for visitor in visitors[1:]:
        await expect(visitor.page.locator("#head")).to_have_attribute("title", str((await visitors[0].head())[1]))
    heads = {await visitor.head() for visitor in visitors}
    assert len(heads) == 1
    return heads.pop()


async def test_what_is_done_offline_comes_home(api: Server, alice: Client, chromium: Browser) -> None:
    """Offline it is shown at once and survives a reload; online it goes to the server, and to the other device."""
    contact = await friend(alice)
    async with (
        signed_in(chromium, api, alice.user["email"]) as phone,
        signed_in(chromium, api, alice.user["email"]) as laptop,
    ):
        await phone.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
        await phone.offline()
        await phone.go(f"/person/{contact}")
        await write_down(phone.page, "12.50", "dinner")
        await expect(phone.page.locator("#debts > li")).to_contain_text(["dinner"])
        await expect(phone.page.locator("#pending")).to_have_text("Waiting to be sent: 1")
        await phone.page.reload()
        await expect(phone.page.locator("#debts > li")).to_contain_text(["dinner"])
        await expect(phone.page.locator("#pending")).to_have_text("Waiting to be sent: 1")
        assert (await alice.get("/api/transactions"))["items"] == []
        await phone.offline(False)
        _, hashed = await agree(phone, laptop)
        assert hashed == (await alice.get("/api/sync/hash"))["hash"]
        await expect(laptop.page.locator("#people")).to_contain_text("€12.50")
    [debt] = (await alice.get("/api/transactions"))["items"]
    assert (debt["amount"], debt["currency"], debt["description"], debt["direction"]) == (1250, "EUR", "dinner", "lent")


async def test_a_conflict_of_money_is_settled(api: Server, alice: Client, chromium: Browser) -> None:
    """Both devices change the amount: the first stands, both values are shown on both, one tap settles it for both."""
    contact = await friend(alice)
    await lunch(alice, contact)
    async with (
        signed_in(chromium, api, alice.user["email"]) as phone,
        signed_in(chromium, api, alice.user["email"]) as laptop,
    ):
        for visitor in (phone, laptop):
            await visitor.go(f"/person/{contact}")
            await expect(visitor.page.locator("#debts > li")).to_have_count(1)
        await phone.offline()
        await change(laptop.page, "lunch", "11")
        await change(phone.page, "lunch", "12")
        await expect(phone.page.locator("#debts")).to_contain_text("€12.00")
        await laptop.live()
        await phone.offline(False)
        await agree(phone, laptop)
        for visitor in (phone, laptop):
            await expect(visitor.page.locator("#debts")).to_contain_text("€11.00")
            await visitor.go("/attention")
            await expect(visitor.page.locator(".conflict")).to_contain_text("€11.00")
            await expect(visitor.page.locator(".conflict")).to_contain_text("€12.00")
        await laptop.page.get_by_role("button", name="Take this").click()
        await agree(phone, laptop)
        for visitor in (phone, laptop):
            await expect(visitor.page.get_by_text("Nothing waits for you.")).to_be_visible()
            await visitor.go(f"/explain/{contact}/EUR")
            await expect(visitor.page.locator("#explanation tbody tr").last).to_contain_text("+€12.00")
    assert (await alice.get(f"/api/contacts/{contact}"))["balances"] == [{"currency": "EUR", "amount": 1200}]


async def test_a_form_is_about_what_it_was_opened_with(api: Server, alice: Client, chromium: Browser) -> None:
    """What another device changed while it was open is no less of a conflict: its user has not seen that."""
    contact = await friend(alice)
    debt = await lunch(alice, contact)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await phone.go(f"/person/{contact}")
        await phone.page.locator("#debts [data-act=edit]").click()
        await alice.http.patch(f"/api/transactions/{debt}", json={"amount": 1100})
        await expect(phone.page.locator("#debts")).to_contain_text("€11.00")
        await phone.page.get_by_label("Amount").fill("12")
        await phone.page.get_by_role("button", name="Save").click()
        await expect(phone.page.locator(".badge")).to_have_text("1")
        await expect(phone.page.locator("#debts")).to_contain_text("€11.00")
        await phone.go("/attention")
        await expect(phone.page.locator(".conflict")).to_contain_text("€12.00")


@asynccontextmanager
async def disputed(
    browser: Browser, api: Server, alice: Client, mine: Callable[[Page], Awaitable[Any]], theirs: Callable[[str], Awaitable[Any]]
) -> AsyncIterator[tuple[Visitor, str]]:
    """A device that looks at the conflict of what it did to a lunch while another did something else, and the debt's path.

    In the end nothing waits for its user.
    """
    contact = await friend(alice)
    path = f"/api/transactions/{await lunch(alice, contact)}"
    async with signed_in(browser, api, alice.user["email"]) as phone:
        await phone.go(f"/person/{contact}")
        await expect(phone.page.locator("#debts > li")).to_have_count(1)
        await phone.offline()
        await mine(phone.page)
        await theirs(path)
        await phone.offline(False)
        await expect(phone.page.locator(".badge")).to_have_text("1")
        await phone.go("/attention")
        yield phone, path
        await expect(phone.page.get_by_text("Nothing waits for you.")).to_be_visible()
        await phone.live()
    assert (await alice.get("/api/sync/conflicts", state="open"))["items"] == []


async def to_twelve(page: Page) -> None:
    await change(page, "lunch", "12")


async def test_a_deletion_meets_an_edit(api: Server, alice: Client, chromium: Browser) -> None:
    """What one deletes and the other has changed stays until somebody decides; to keep it settles the conflict."""

    async def delete(page: Page) -> None:
        await page.locator("[data-act=delete]").click()
        await expect(page.locator("#debts > li")).to_have_count(0)

    async with disputed(chromium, api, alice, delete, lambda path: alice.post(path, {"amount": 1500})) as (phone, debt):
        await expect(phone.page.locator(".side").first).to_contain_text("€15.00")
        await phone.page.get_by_role("button", name="Keep this").click()
    assert (await alice.get(debt))["amount"] == 1500


async def test_what_stands_is_what_is_there_now(api: Server, alice: Client, chromium: Browser) -> None:
    """And not what the conflict met: the amount has been changed since, and it is what stays where the user keeps it."""
    async with disputed(chromium, api, alice, to_twelve, lambda path: alice.post(path, {"amount": 1100})) as (phone, debt):
        stands, offered = phone.page.locator(".side").first, phone.page.locator(".side").last
        await expect(stands).to_contain_text("€11.00")
        await alice.post(debt, {"amount": 1300, "currency": "USD"})
        await expect(stands).to_contain_text("$13.00")
        await expect(offered).to_contain_text("$12.00")
        await stands.get_by_role("button", name="Keep this").click()
    kept = await alice.get(debt)
    assert (kept["amount"], kept["currency"]) == (1300, "USD")


async def test_what_has_been_restored_since_is_kept(api: Server, alice: Client, chromium: Browser) -> None:
    """The page said that the deletion stood, and deleted once more what another device had brought back."""
    async with disputed(chromium, api, alice, to_twelve, alice.delete) as (phone, debt):
        stands = phone.page.locator(".side").first
        await expect(stands).to_contain_text("Deleted")
        await alice.post(f"{debt}/restore")
        await expect(stands).to_contain_text("€10.00")
        await stands.get_by_role("button", name="Keep this").click()
    assert (await alice.get(debt))["deleted_at"] is None


async def test_what_is_taken_is_there_although_it_was_deleted(api: Server, alice: Client, chromium: Browser) -> None:
    """One tap settles a conflict of two edits where a third device has deleted the debt since: that was another conflict."""
    async with disputed(chromium, api, alice, to_twelve, lambda path: alice.post(path, {"amount": 1100})) as (phone, debt):
        await alice.delete(debt)
        await expect(phone.page.locator(".side").first).to_contain_text("Deleted")
        await phone.page.get_by_role("button", name="Take this").click()
    taken = await alice.get(debt)
    assert (taken["amount"], taken["deleted_at"]) == (1200, None)


async def test_tabs_of_one_device(api: Server, alice: Client, chromium: Browser) -> None:
    """They share one store, one queue and one feed: what is done in one is seen in the other, and sent once."""
    contact = await friend(alice)
    async with signed_in(chromium, api, alice.user["email"]) as first:
        second = await first.context.new_page()
        await second.goto(f"{api.url}/app/#/person/{contact}")
        await expect(second.locator("#live")).to_have_text("Live")
        await write_down(second, "3", "tea")
        await expect(first.page.locator("#people")).to_contain_text("€3.00")
        await first.page.close()
        await write_down(second, "4", "cake")
        await expect(second.locator("#pending")).to_have_text("Waiting to be sent: 0")
    facts = (await alice.get("/api/events"))["items"]
    assert [fact["event_data"].get("description") for fact in reversed(facts)] == [None, "tea", "cake"]
    assert len({fact["device_id"] for fact in facts[:2]}) == 1


async def test_a_tab_goes_on_where_another_signed_in(
    api: Server, alice: Client, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the form for it, and after a sign-out in the other tab: it stays in sync by itself once that one is closed."""
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    contact = await friend(alice)
    async with visiting(chromium, api.url) as first:
        second = Visitor(await first.context.new_page(), first.context, api.url)
        await second.page.goto(f"{api.url}/app/")
        await second.sign_in(alice.user["email"])
        await second.page.close()
        await first.go(f"/person/{contact}")
        await write_down(first.page, "3", "tea")
        await first.live()
        third = Visitor(await first.context.new_page(), first.context, api.url)
        await third.page.goto(f"{api.url}/app/#/settings")
        await third.page.locator("#sign-out").click()
        await expect(third.page.locator("#sign-in")).to_be_visible()
        await api.app.ctx.services.feed._look()
        await first.page.get_by_role("alert").filter(has_text="what you wrote down is kept").wait_for()
        await third.sign_in(alice.user["email"])
        await third.page.close()
        await write_down(first.page, "4", "cake")
        await first.live()
        await expect(first.page.locator("main > [role=alert]")).to_have_count(0)
    facts = (await alice.get("/api/events"))["items"]
    assert [fact["event_data"].get("description") for fact in reversed(facts)] == [None, "tea", "cake"]


async def test_a_tab_says_what_it_knows_of_the_feed_itself(api: Server, alice: Client, chromium: Browser) -> None:
    """The tab that had it open is closed while there is no network: the next cannot connect, and is not live for that."""
    async with signed_in(chromium, api, alice.user["email"]) as first:
        second = await first.context.new_page()
        await second.goto(f"{api.url}/app/")
        await expect(second.locator("#live")).to_have_text("Live")
        await first.offline()
        await first.page.close()
        await expect(second.locator("#live")).to_have_text("Offline")
        await first.offline(False)
        await expect(second.locator("#live")).to_have_text("Live")


BUSY = """async () => {
    const { Device } = await import("/app/client/index.js");
    const device = await Device.open("busy", { network: () => Promise.reject(new TypeError("offline")) });
    const { getAll } = IDBObjectStore.prototype;
    let read = 0;
    IDBObjectStore.prototype.getAll = function (...range) {
        read += 1;
        return getAll.apply(this, range);
    };
    for (let turn = 0; turn < 20; turn += 1) {
        const attempt = device.sync().catch(() => {});
        for (let more = 0; more < 5; more += 1) await device.create("contact", { name: "Ana" });
        await attempt;
    }
    IDBObjectStore.prototype.getAll = getAll;
    device.close();
    return [read, device.pending];
}"""


async def test_what_is_done_during_a_sync_reads_nothing_again(api: Server, chromium: Browser) -> None:
    """What this tab writes while it looks for what other tabs have written is none of theirs: to read all again takes long."""
    async with visiting(chromium, api.url) as visitor:
        assert await visitor.page.evaluate(BUSY) == [0, 100]


async def test_tokens_end(api: Server, alice: Client, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page exchanges its token in time and stays on the feed; once its session is ended elsewhere, it asks to sign in."""
    contact = await friend(alice)
    monkeypatch.setattr(tokens, "LIFETIME", datetime.timedelta(seconds=3))
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await asyncio.sleep(4)  # the first token has ended by then
        await phone.go(f"/person/{contact}")
        await write_down(phone.page, "5", "bread")
        await phone.live()
        other = await api.login(alice)
        [session] = [one for one in (await other.get("/api/auth/sessions"))["items"] if "Browser" in (one["device_name"] or "")]
        await phone.offline()
        await write_down(phone.page, "6", "milk")
        await other.delete(f"/api/auth/sessions/{session['id']}")
        await phone.offline(False)
        await expect(phone.page.get_by_role("alert").first).to_contain_text("what you wrote down is kept")
        await phone.sign_in(alice.user["email"])
        await expect(phone.page.locator("#debts")).to_contain_text("milk")
    monkeypatch.undo()
    again = await api.login(alice)
    assert {debt["description"] for debt in (await again.get("/api/transactions"))["items"]} == {"bread", "milk"}


async def test_the_server_goes_and_comes_back(api_settings: Settings, chromium: Browser) -> None:
    """What is written down meanwhile waits, and goes out when the server is there again; nobody has to do anything."""
    async with serve(api_settings) as before:
        port = int(before.url.rpartition(":")[2])
        alice = await before.register()
        contact = await friend(alice)
        visit = visiting(chromium, before.url)
        phone = await visit.__aenter__()
        await phone.sign_in(alice.user["email"])
    await expect(phone.page.locator("#live")).not_to_have_text("Live")
    await phone.go(f"/person/{contact}")
    await write_down(phone.page, "7", "soup")
    await expect(phone.page.locator("#pending")).to_have_text("Waiting to be sent: 1")
    async with serve(api_settings, port=port) as after:
        await phone.live()
        again = await after.login(alice)
        [debt] = (await again.get("/api/transactions"))["items"]
        assert debt["description"] == "soup"
        await visit.__aexit__(None, None, None)


async def ledger_of(client: Client, events: int) -> None:
    """A ledger of so many events: a contact for each hundred, debts for the rest."""
    contacts = [str(uuid.uuid4()) for _ in range(events // 100)]
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("contact", one, {"name": f"Friend {index}"}) for index, one in enumerate(contacts)
    ]
    for index in range(events - len(contacts)):
        debt = {"contact_id": contacts[index % len(contacts)], "direction": "lent", "amount": index + 1, "currency": "EUR"}
        made.append(("transaction", str(uuid.uuid4()), debt | {"transaction_date": "2026-11-01", "description": f"debt {index}"}))
    for start in range(0, events, PER_PUSH):
        items = [
            {
                "id": str(uuid.uuid4()),
                "aggregate_type": kind,
                "aggregate_id": entity,
                "event_type": "CREATED",
                "event_data": data,
                "base_seq": 0,
                "timestamp": "2026-11-28T12:00:00Z",
                "version": 1,
            }
            for kind, entity, data in made[start : start + PER_PUSH]
        ]
        answer = await client.push(*items)
        assert {one["status"] for one in answer["results"]} == {"accepted"}


async def test_ten_thousand_events(api: Server, alice: Client, chromium: Browser) -> None:
    """A new device shows everybody, folds the log to the server's hash, and acts and searches offline."""
    await ledger_of(alice, EVENTS)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await expect(phone.page.locator("#people > li")).to_have_count(EVENTS // 100)
        await expect(phone.page.locator("#head")).to_contain_text(f"Version {EVENTS}")
        assert (await phone.head())[1] == (await alice.get("/api/sync/hash"))["hash"]
        await phone.offline()
        await phone.page.locator("#people a").first.click()
        await write_down(phone.page, "8", "offline")
        await phone.go("/search")
        await phone.page.locator("#query").fill("deb 9899")
        await expect(phone.page.locator("#found > li")).to_have_count(1)
