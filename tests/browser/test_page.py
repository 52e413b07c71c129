"""What the page offers, by what a person does: every view, with a keyboard, a screen reader, in three languages, installed."""

import contextlib
import random
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from api import browser as served
from tests.browser.conftest import ONE_LOOP, Visitor, signed_in, visiting
from tests.browser.test_devices import friend, lunch, write_down
from tests.fixtures.api import PASSWORD, Client, Server
from tests.fixtures.chromium import OPTIONS, required

pytestmark = ONE_LOOP

DATA = Path(__file__).parents[1] / "data"
VIEWS = ("/", "/things", "/reminders", "/history", "/search", "/attention", "/log", "/settings")
GRAVE = {"serious", "critical"}
STEPS = 90


async def household(alice: Client) -> str:
    """A bit of everything; the first contact's id."""
    ana, bilal = await friend(alice), await friend(alice, "Bilal")
    debt = await lunch(alice, ana, due_date="2026-11-20")
    await lunch(alice, bilal, direction="owed", amount=99_900, currency="JPY", description="مظلة")
    await alice.post(f"/api/transactions/{debt}/repay", {"amount": 300}, status=201)
    await lunch(alice, ana, type="item", amount=2, currency=None, item="drill", description=None)
    gone = await lunch(alice, ana, description="gone")
    await alice.delete(f"/api/transactions/{gone}")
    await alice.post("/api/reminders", {"contact_id": ana, "remind_at": "2027-01-01T09:00:00Z", "message": "call"}, status=201)
    return ana


async def edit(page: Page, what: str, texts: dict[str, str]) -> None:
    """Fill in fields of that debt by their labels, and save it."""
    await page.locator("#debts > li", has_text=what).locator("[data-act=edit]").click()
    for label, written in texts.items():
        await page.get_by_label(label).fill(written)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)


async def grave(visitor: Visitor) -> list[str]:
    """What a screen reader or a person with low vision would stumble over."""
    known = len(visitor.errors)
    found = await Axe().run(visitor.page)
    del visitor.errors[known:]  # axe tries inline styles, and the policy of the page refuses them
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"] if one["impact"] in GRAVE]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_use_every_view(api: Server, alice: Client, chromium: Browser, scheme: Any) -> None:
    """axe finds nothing serious, in any view, on a phone as on a desktop; nothing is wider than the screen."""
    ana = await household(alice)
    async with visiting(chromium, api.url, color_scheme=scheme, viewport={"width": 360, "height": 740}) as phone:
        assert await grave(phone) == []
        await phone.sign_in(alice.user["email"])
        for view in (*VIEWS, f"/person/{ana}", f"/explain/{ana}/EUR", "/proof"):
            await phone.go(view)
            await expect(phone.page.locator("h1")).to_be_visible()
            await phone.page.wait_for_timeout(100)  # views that read the log come a moment later than their address
            assert await grave(phone) == [], view
            assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        await phone.go(f"/person/{ana}")
        await phone.page.locator("#add-debt").click()
        assert await grave(phone) == []


async def test_lines_that_say_the_same_are_left_alone(api: Server, alice: Client, chromium: Browser) -> None:
    """Of a thousand people only the line of one is made anew when that one owes more, or has another name."""
    ana, bilal = await friend(alice), await friend(alice, "Bilal")
    await lunch(alice, bilal, direction="owed")
    async with signed_in(chromium, api, alice.user["email"]) as laptop:
        lines = {one: laptop.page.locator(f'#people [data-key="{one}"] a') for one in (ana, bilal)}
        await expect(lines[bilal]).to_contain_text("you owe €10.00")
        await laptop.page.evaluate("for (const line of document.querySelectorAll('#people a')) line.dataset.old = ''")
        await lunch(alice, ana, amount=100_000)
        await expect(lines[ana]).to_contain_text("owes you €1,000.00")
        assert [await line.get_attribute("data-old") for line in lines.values()] == [None, ""]
        await alice.http.patch(f"/api/contacts/{bilal}", json={"name": "Bilal the Younger"})
        await expect(lines[bilal]).to_contain_text("Bilal the Younger")
        assert await lines[bilal].get_attribute("data-old") is None


async def test_a_keyboard_is_enough(api: Server, alice: Client, chromium: Browser) -> None:
    """A debt is written down and taken back without a pointer; a dialog gives the focus back, and Escape leaves it."""
    await friend(alice)
    async with signed_in(chromium, api, alice.user["email"]) as laptop:
        page = laptop.page
        await page.locator("#add-debt").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Amount")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(page.locator("#add-debt")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.type("abc")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("A number, more than 0")).to_be_visible()
        await expect(page.get_by_label("Amount")).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type("4,20")
        await page.keyboard.press("Enter")
        await expect(page.locator("#people")).to_contain_text("€4.20")
        await page.locator(".toast button").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#people")).not_to_contain_text("€4.20")
        await laptop.live()
    assert [fact["event_type"] for fact in (await alice.get("/api/events"))["items"]] == ["UNDO", "CREATED", "CREATED"]


async def test_a_whole_day(visitor: Visitor, api: Server) -> None:
    """Sign up, a person, money, a thing, a repayment, a reminder, an edit, a deletion and its restoration: the server agrees."""
    page = visitor.page
    await page.get_by_label("E-mail").fill("zoe@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.locator("#register").click()
    await page.locator("#add-person").click()
    await page.get_by_label("Name").fill("Bilal")
    await page.get_by_role("button", name="Save").click()
    await write_down(page, "20", "tickets")
    await page.locator("[data-act=repay]").click()
    await page.get_by_label("Amount").fill("5.50")
    await page.get_by_role("button", name="Repay").last.click()
    await expect(page.locator("#debts")).to_contain_text("still open: €14.50")
    await page.locator("#add-thing").click()
    await page.get_by_label("What").fill("ladder")
    await page.get_by_role("button", name="Save").click()
    await page.locator("#debts > li", has_text="ladder").locator("[data-act=return]").click()
    await expect(page.locator("#debts > li", has_text="ladder")).to_contain_text("returned")
    await page.locator("#debts > li", has_text="ladder").locator("[data-act=delete]").click()
    await page.locator("details[data-key=deleted] summary").click()
    await page.get_by_role("button", name="Restore").click()
    await expect(page.locator("#debts > li", has_text="ladder")).to_have_count(1)
    await visitor.go("/reminders")
    await page.locator("#add-reminder").click()
    await page.get_by_label("Message").fill("ask Bilal")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#preview")).to_contain_text("Reminder")
    await visitor.go("/search")
    await page.locator("#query").fill("LÁD")
    await expect(page.locator("#found")).to_contain_text("ladder")
    await visitor.live()
    async with api.http() as http:
        answer = await http.post("/api/auth/login", json={"email": "zoe@example.org", "password": PASSWORD})
    zoe = api.client(answer.json())
    debts = (await zoe.get("/api/transactions"))["items"]
    assert sorted((one["item"] or one["description"] or "repayment", one["amount"], one["open_amount"]) for one in debts) == [
        ("ladder", 1, 0),
        ("repayment", 550, 0),
        ("tickets", 2000, 1450),
    ]
    [reminder] = (await zoe.get("/api/reminders"))["items"]
    assert reminder["message"] == "ask Bilal"


async def test_an_edit_changes_what_was_touched(api: Server, alice: Client, chromium: Browser) -> None:
    """And nothing that the form cannot show as it is: line breaks, which stay where the text is edited, too."""
    ana = await friend(alice)
    debt = await lunch(alice, ana, description="soup\r\nbread")
    thing = await lunch(alice, ana, type="item", amount=1, currency=None, item="drill\nbits", description=None)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        page = phone.page
        await phone.go(f"/person/{ana}")
        await edit(page, "soup", {"Amount": "11"})
        await edit(page, "drill", {"How many": "2"})
        await expect(page.locator("#debts > li", has_text="soup")).to_contain_text("€11.00")
        await expect(page.locator("#debts > li", has_text="drill")).to_contain_text("× 2")
        await phone.live()
        found = [await alice.get(f"/api/transactions/{one}") for one in (debt, thing)]
        assert [(one["amount"], one["description"] or one["item"]) for one in found] == [
            (1100, "soup\r\nbread"),
            (2, "drill\nbits"),
        ]
        await page.locator("#debts > li", has_text="soup").locator("[data-act=edit]").click()
        await page.get_by_label("Description").press("Control+End")
        await page.get_by_label("Description").press_sequentially(", cake")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#debts")).to_contain_text("bread, cake")
        await phone.live()
    assert (await alice.get(f"/api/transactions/{debt}"))["description"] == "soup\nbread, cake"


async def test_an_edit_keeps_what_cannot_be_chosen_any_more(api: Server, alice: Client, chromium: Browser) -> None:
    """A currency that was withdrawn: another was chosen in its place, and sent."""
    ana = await friend(alice)
    debt = await lunch(alice, ana, currency="HRK")
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        page = phone.page
        await phone.go(f"/person/{ana}")
        await edit(page, "lunch", {"Amount": "11"})
        await expect(page.locator("#debts")).to_contain_text("HRK\xa011.00")
        await phone.live()
    assert (await alice.get(f"/api/transactions/{debt}"))["currency"] == "HRK"


async def test_what_hangs_on_a_deleted_person_goes_with_them(api: Server, alice: Client, chromium: Browser) -> None:
    """Also before the server has said so: what was done to a debt of theirs became a conflict. They bring it back."""
    ana = await friend(alice)
    await lunch(alice, ana, due_date="2026-11-20")
    await lunch(alice, ana, type="item", amount=1, currency=None, item="drill", description=None)
    await alice.post("/api/reminders", {"contact_id": ana, "remind_at": "2027-01-01T09:00:00Z", "message": "call"}, status=201)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        page = phone.page
        await phone.go(f"/person/{ana}")
        await expect(page.locator("#debts > li")).to_have_count(2)
        await phone.offline()
        await page.locator("#delete-person").click()
        await page.get_by_role("button", name="Delete", exact=True).last.click()
        await expect(page.get_by_text("This person is deleted.")).to_be_visible()
        await expect(page.locator("#debts > li")).to_have_count(0)
        await page.locator("details[data-key=deleted] summary").click()
        await expect(page.locator("details[data-key=deleted] li")).to_have_count(2)
        await expect(page.get_by_role("button", name="Restore")).to_have_count(1)
        for view, empty in (("/things", "Everything is where it belongs."), ("/reminders", "No reminder is waiting.")):
            await phone.go(view)
            await expect(page.get_by_text(empty)).to_be_visible()
        await phone.go(f"/person/{ana}")
        await page.get_by_role("button", name="Restore").click()
        await expect(page.locator("#debts > li")).to_have_count(2)
        await phone.offline(False)
        await phone.live()
        await expect(page.locator("#debts > li")).to_have_count(2)
    assert (await alice.get("/api/sync/conflicts", state="open"))["items"] == []


async def test_what_is_refused_is_shown(api: Server, alice: Client, chromium: Browser) -> None:
    """A command that the server does not take stays on a list until its user has seen it; who erases the device is told of it."""
    ana = await friend(alice)
    await lunch(alice, ana, amount=2**53 - 1)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await phone.go(f"/person/{ana}")
        await write_down(phone.page, "1", "too much")
        await expect(phone.page.locator(".badge")).to_have_text("1")
        await phone.go("/attention")
        await expect(phone.page.locator("#rejections")).to_contain_text("balance_out_of_range")
        await phone.go("/settings")
        await phone.page.locator("#erase").click()
        await expect(phone.page.get_by_text("What the server did not take is lost: 1.")).to_be_visible()
        await phone.page.get_by_role("button", name="Cancel").click()
        await phone.go("/attention")
        await phone.page.get_by_role("button", name="Dismiss").click()
        await expect(phone.page.get_by_text("Nothing waits for you.")).to_be_visible()


async def test_what_is_written_is_only_text(api: Server, alice: Client, chromium: Browser) -> None:
    """Whatever somebody is called, and whatever stands in the address: it is shown, it is never run."""
    hostile = "<img src=x onerror=\"document.title='gone'\"><script>document.title='gone'</script>"
    ana = await friend(alice, hostile)
    await lunch(alice, ana, description=hostile)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        await expect(phone.page.locator("#people")).to_contain_text(hostile)
        for view in (
            f"/person/{ana}",
            "/log",
            f"/explain/{ana}/EUR",
            f"/person/{hostile}",
            f"/explain/{ana}/<b>",
            "/person/%E0%A4%A",
        ):
            await phone.go(view)
            await expect(phone.page.locator("h1, .empty").first).to_be_visible()
            assert await phone.page.locator("main img, main script").count() == 0
        assert "gone" not in await phone.page.title()


@pytest.mark.parametrize(
    ("language", "heading", "direction", "called"),
    [("de-AT", "Personen", "ltr", "Browser ("), ("ar-EG", "الأشخاص", "rtl", "متصفح (")],
)
async def test_it_speaks(
    api: Server, alice: Client, chromium: Browser, language: str, heading: str, direction: str, called: str
) -> None:
    """The browser's language, right-to-left where it is written so; what is said fits into every view."""
    ana = await household(alice)
    async with visiting(chromium, api.url, locale=language) as phone:
        await phone.page.locator("input[type=email]").fill(alice.user["email"])
        await phone.page.locator("input[type=password]").fill(PASSWORD)
        await phone.page.locator("#sign-in").click()
        await expect(phone.page.locator("#people > li")).to_have_count(2)
        await expect(phone.page.locator("h1")).to_have_text(heading)
        assert await phone.page.evaluate("document.documentElement.dir") == direction
        assert (await alice.get("/api/devices"))["items"][0]["name"].startswith(called)
        for view in (*VIEWS, f"/person/{ana}", f"/explain/{ana}/EUR"):
            await phone.go(view)
            await phone.page.wait_for_timeout(100)  # views that read the log come a moment later than their address
            assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert await grave(phone) == []


async def test_it_can_be_installed(api: Server) -> None:
    """By Chromium's own judgement of the manifest and the icons."""
    found = required()
    async with async_playwright() as playwright, _profile() as folder:
        context = await playwright.chromium.launch_persistent_context(folder, executable_path=found, args=list(OPTIONS))
        page = context.pages[0]
        await page.goto(f"{api.url}/app/")
        await page.evaluate("navigator.serviceWorker.ready.then(() => {})")
        session = await context.new_cdp_session(page)
        assert (await session.send("Page.getInstallabilityErrors"))["installabilityErrors"] == []
        await context.close()


@contextlib.asynccontextmanager
async def _profile() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Chromium writes a moment longer than it runs
        yield folder


PERSIST = """() => {
    globalThis.asked = 0;
    StorageManager.prototype.persist = async () => (asked += 1) > 0;
}"""
"""The answer is the browser's own affair: this one gives none to whoever has no window."""


async def test_what_is_kept_is_kept_for_good(api: Server, alice: Client, chromium: Browser) -> None:
    """The browser is asked not to take it away when it is short of space, once there is somebody whose it is."""
    async with visiting(chromium, api.url) as phone:
        await phone.page.evaluate(PERSIST)
        await phone.go("/proof")
        await expect(phone.page.locator("h1")).to_have_text("Two devices, one ledger")
        assert await phone.page.evaluate("asked") == 0
        await phone.go("/")
        await phone.sign_in(alice.user["email"])
        assert await phone.page.evaluate("asked") == 1


COMPUTED = """async ([contact, token]) => {
    const { Device } = await import("/app/client/index.js");
    const { Book, explained } = await import("/app/ui/model.js");
    const device = await Device.open("computed");
    await device.login(...token);
    await device.sync();
    const [book, log] = [new Book(device.shown()), await device.log()];
    return {
        totals: book.totals().map(([currency, sum]) => ({
            currency, owed_to_you: sum.owedToYou, you_owe: sum.youOwe, net: sum.net,
        })),
        explained: explained(log, contact, "EUR"),
        history: book.history("EUR"),
        open: Object.fromEntries(
            [...book.debts.values()].filter((one) => !one.deleted_at).map((one) => [one.id, book.open(one)]),
        ),
    };
}"""


async def _live(alice: Client, people: list[str], dice: random.Random) -> None:
    """Debts that are changed, moved, repaid, deleted and restored."""
    debts: list[str] = []

    def day() -> str:
        return f"2026-10-{dice.randint(1, 28):02}"

    for _ in range(STEPS):
        what = dice.random()
        path = f"/api/transactions/{dice.choice(debts)}" if debts else ""
        if what < 0.5 or not debts:
            members = {"direction": dice.choice(["lent", "owed"]), "currency": dice.choice(["EUR", "EUR", "JPY"])}
            amount = dice.randint(1, 9_999)
            debts.append(await lunch(alice, dice.choice(people), transaction_date=day(), amount=amount, **members))
        elif what < 0.6:
            repayment = {"amount": dice.randint(1, 5_000), "transaction_date": "2026-11-02"}
            await alice.http.post(f"{path}/repay", json=repayment)
        elif what < 0.85:
            changes = {"amount": dice.randint(1, 9_999), "transaction_date": day(), "contact_id": dice.choice(people)}
            await alice.http.post(path, json=dict(dice.sample(sorted(changes.items()), dice.randint(1, 3))))
        else:
            await (alice.http.delete(path) if dice.random() < 0.7 else alice.http.post(f"{path}/restore"))


async def test_what_it_computes_is_what_the_server_computes(api: Server, alice: Client, chromium: Browser) -> None:
    """Totals, explanations, histories and open amounts follow from the device's log alone, and are the server's."""
    people = [await friend(alice, name) for name in ("Ana", "Bilal")]
    await _live(alice, people, random.Random(10))
    async with visiting(chromium, api.url) as phone:
        found = await phone.page.evaluate(COMPUTED, [people[0], [alice.user["email"], PASSWORD]])
    assert found["totals"] == (await alice.get("/api/balances"))["totals"]
    server = (await alice.get(f"/api/contacts/{people[0]}/explain", currency="EUR", limit=200))["items"]
    assert len(server) > 15
    assert found["explained"] == [{name: value for name, value in item.items() if name != "currency"} for item in server]
    assert len(found["history"]) > 5
    for day in found["history"]:
        totals = (await alice.get("/api/balances", effective_on=day["date"]))["totals"]
        assert day["net"] == sum(one["net"] for one in totals if one["currency"] == "EUR"), day["date"]
    shown = (await alice.get("/api/transactions", limit=200))["items"]
    assert found["open"] == {one["id"]: one["open_amount"] for one in shown}


async def test_how_it_is_served(api: Server) -> None:
    """Under a strict policy, asked anew each time and sent only when it changed; nothing inline, nothing from elsewhere."""
    async with api.http() as http:
        for path, status in (("/", 302), ("/app", 308)):
            moved = await http.get(path)
            assert (moved.status_code, moved.headers["location"]) == (status, "/app/")
        index = await http.get("/app/")
        assert index.headers["content-type"].startswith("text/html")
        policy = index.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?:", index.text) is None
        for name, file in served.load(served.ROOT).items():
            answer = await http.get(f"/app/{name}")
            assert (answer.status_code, answer.content) == (200, file.body), name
            assert (await http.get(f"/app/{name}", headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert (await http.head(f"/app/{name}")).headers["etag"] == answer.headers["etag"]
        for missing in ("no.js", "../settings.py", "%2e%2e/settings.py", "client/"):
            assert (await http.get(f"/app/{missing}")).status_code == 404, missing


async def test_without_tls_it_says_what_it_needs(api: Server) -> None:
    """Browsers keep hashes, locks and service workers from pages that somebody could have changed on the way."""
    found, port = required(), api.url.rpartition(":")[2]
    async with async_playwright() as playwright:  # whose own programs need more of a machine than we do
        arguments = [*OPTIONS, "--host-resolver-rules=MAP debitum.example.org 127.0.0.1"]
        browser = await playwright.chromium.launch(executable_path=found, args=arguments)
        async with visiting(browser, f"http://debitum.example.org:{port}") as visitor:
            await expect(visitor.page.get_by_role("alert")).to_contain_text("needs HTTPS")
        await browser.close()
