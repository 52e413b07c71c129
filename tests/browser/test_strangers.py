"""What comes to the client of the page in the place of its server's answers, and what it does not take from its user."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import ONE_LOOP, visiting
from tests.browser.test_devices import friend, lunch, write_down
from tests.fakes.portal import http, portal
from tests.fixtures.api import PASSWORD, Client, Server

pytestmark = ONE_LOOP

DATA = Path(__file__).parents[1] / "data"
WELCOME = "<form>Welcome to our hotel</form>"
OTHERS = {
    "a page": http(200, WELCOME),
    "nothing": http(200),
    "nothing, and says so": http(204),
    "another's JSON": http(200, '{"status": "ok"}', kind="application/json"),
    "JSON that is no object": http(200, "[]", kind="application/json"),
    "no outcome": http(200, '{"results": [], "version": 9, "hash": null}', kind="application/json"),
    "more, and nothing": http(200, '{"events": [], "version": 9, "hash": null, "has_more": true}', kind="application/json"),
    "half of a page": http(200, '{"events": [], "version": 0, "ha', kind="application/json"),
    "a body that is cut off": http(200, '{"events": [], "version": 0, "ha', kind="application/json", Content_Length="900"),
    "a way to a page": http(302, Location="/docs/page"),
    "a way to JSON": http(307, Location="/docs/openapi.json"),
    "a way to elsewhere": http(302, Location="http://portal.example/"),
    "a page that forbids": http(403, WELCOME),
    "a page that is not found": http(404, WELCOME),
    "a page that wants a sign-in": http(401, WELCOME),
    "a sign-in to nowhere": http(401),
    "another's sign-in": http(401, '{"code": "unauthorized", "message": "Pay first"}', kind="application/json"),
    "another's refusal": http(403, '{"message": "Forbidden"}', kind="application/json"),
    "another's reset": http(409, '{"code": "reset", "common_version": 0}', kind="application/json"),
    "a network that wants a sign-in": http(511, WELCOME),
}
OPEN = """async (password) => {
    const { Device } = await import("/app/client/index.js");
    globalThis.late = 0;
    globalThis.device = await Device.open("guest", { clock: () => Date.now() + late * 1000 });
    await device.login(...password);
    await device.create("contact", { name: "Ana" });
    await device.sync();
    await device.create("contact", { name: "Bo" });
}"""
MEET = """async ([seconds, password]) => {
    globalThis.late = seconds;
    const met = async (work) => work().then(() => "fine", ({ name }) => name);
    return [
        await met(() => device.sync()),
        await met(() => device.login(...password)),
        await met(() => device.firstScreen()),
        device.pending, device.signedIn, device.head.version, device.shown().length, device.troubles.rejections,
    ];
}"""
HELD = ["Unavailable", "Unavailable", "Unavailable", 1, True, 1, 2, 0]
STALE_SECONDS = 595
"""Past which a token is exchanged before anything is asked."""


@contextlib.asynccontextmanager
async def guest(api: Server, alice: Client, chromium: Browser) -> AsyncIterator[Any]:
    """A portal, the page of somebody behind it who has written down something more than the server has, and the password."""
    async with portal(api.url) as hotel, visiting(chromium, hotel.url) as visitor:
        password = [alice.user["email"], PASSWORD]
        await visitor.page.evaluate(OPEN, password)
        yield hotel, visitor.page, password
        hotel.answer = None
        assert await visitor.page.evaluate("async () => [(await device.sync()).version, device.pending]") == [2, 0]
        await visitor.page.evaluate("device.close()")


async def test_the_answer_of_another_says_nothing(api: Server, alice: Client, chromium: Browser) -> None:
    """Neither to what is asked, nor where a token is exchanged for it, nor to who signs in; no redirect is followed."""
    async with guest(api, alice, chromium) as (hotel, page, password):
        for name, answer in OTHERS.items():
            for seconds in (0, STALE_SECONDS):
                hotel.close_in(answer)
                assert await page.evaluate(MEET, [seconds, password]) == HELD, (name, seconds)
        assert not any("/docs/" in line for line in hotel.passed)


@pytest.mark.parametrize("captive", ["/api/sync/push", "/api/auth/refresh"])
async def test_a_network_that_closes_in_the_middle(api: Server, alice: Client, chromium: Browser, captive: str) -> None:
    """The pull is the server's, and the push is not; or the exchange of a token is not, before which nothing is asked."""
    async with guest(api, alice, chromium) as (hotel, page, _):
        hotel.captive = captive
        seconds = STALE_SECONDS if "refresh" in captive else 0
        for name, answer in OTHERS.items():
            hotel.close_in(answer)
            known = len(hotel.kept)
            met = await page.evaluate(
                """async (seconds) => {
                    globalThis.late = seconds;
                    return [await device.sync().then(() => "fine", ({ name }) => name), device.pending, device.signedIn];
                }""",
                seconds,
            )
            assert (met, len(hotel.kept) > known) == (["Unavailable", 1, True], True), name
    assert [one["name"] for one in (await alice.get("/api/contacts", sort="name"))["items"]] == ["Ana", "Bo"]


BUSY = '{"type": "/docs/problems/unavailable", "title": "Try again in a moment", "status": 503, "code": "unavailable"}'


async def test_the_server_alone_says_when_to_come_back(api: Server, alice: Client, chromium: Browser) -> None:
    async with guest(api, alice, chromium) as (hotel, page, _):
        for body, said, seconds in ((BUSY, "7", 7), (BUSY, "9" * 20, 3_600), ('{"message": "busy"}', "7", 0)):
            hotel.close_in(http(503, body, kind="application/json", Retry_After=said))
            assert await page.evaluate("device.sync().catch(({ retryAfter }) => retryAfter)") == seconds


REFUSED = r"""async (password) => {
    const { Device } = await import("/app/client/index.js");
    const device = await Device.open("careful");
    await device.login(...password);
    const { id } = await device.create("contact", { name: "Ana", notes: "\u{1f642}", phone: undefined });
    const loop = {};
    loop.loop = loop;
    const deep = (levels) => (levels === 0 ? "deep" : [deep(levels - 1)]);
    const half = "\ud83d";
    const all = {
        long: "ñ".repeat(500_000), nan: NaN, infinite: -Infinity, big: 1n, half, name: { [half]: 1 }, loop, deep: deep(99),
        map: new Map([["a", 1]]), date: new Date(0), listed: [[undefined]], function: () => {},
    };
    const met = {};
    for (const [name, notes] of Object.entries(all)) {
        const acts = [device.create("contact", { name: "Bo", notes }), device.update("contact", id, { notes })];
        met[name] = await Promise.all(acts.map((act) => act.then(() => "kept", (error) => error.name)));
    }
    const held = [device.pending, device.shown().map(([, { name }]) => name)];
    await device.create("contact", { name: "Cy", notes: deep(98) });
    const { version } = await device.sync();
    const { rejections } = await device.attention();
    device.close();
    return { met, held, version, rejections: rejections.map(({ code }) => code) };
}"""


async def test_what_no_request_can_hold_is_refused_at_once(api: Server, alice: Client, chromium: Browser) -> None:
    """In the queue it would keep back everything behind it for ever; what is only wrong gets there, and is refused alone."""
    async with visiting(chromium, api.url) as visitor:
        found = await visitor.page.evaluate(REFUSED, [alice.user["email"], PASSWORD])
    assert {name for name, met in found["met"].items() if met != ["Unsendable", "Unsendable"]} == set()
    assert (found["held"], found["version"], found["rejections"]) == ([1, ["Ana"]], 1, ["invalid"])
    [ana] = (await alice.get("/api/contacts"))["items"]
    assert (ana["name"], ana["notes"]) == ("Ana", "\U0001f642")


CAPITALS = """async ([id, ...password]) => {
    const { Device } = await import("/app/client/index.js");
    const device = await Device.open("shouting");
    await device.login(...password);
    const ana = await device.create("contact", { name: "Ana" }, id);
    await device.sync();
    await device.update("contact", id, { name: "Ana M." });
    const shown = device.shown().map(([key, { name }]) => [key.id, name]);
    device.close();
    return [ana.id, shown];
}"""


async def test_an_id_in_capitals_is_the_same_id(api: Server, alice: Client, chromium: Browser) -> None:
    """The log has it in small letters: what is expected of it before is not beside what is known after."""
    ana = "01A204D8-1600-7000-8000-0000000C0001"
    async with visiting(chromium, api.url) as visitor:
        found = await visitor.page.evaluate(CAPITALS, [ana, alice.user["email"], PASSWORD])
    assert found == [ana.lower(), [[ana.lower(), "Ana M."]]]


async def test_the_page_says_that_it_cannot_reach_the_server(api: Server, alice: Client, chromium: Browser) -> None:
    """And goes on by itself when somebody has paid. What cannot be sent it does not take."""
    contact = await friend(alice)
    unreachable = "The server cannot be reached. Try again later."
    async with portal(api.url) as hotel, visiting(chromium, hotel.url) as phone:
        await phone.sign_in(alice.user["email"])
        page = phone.page
        await phone.go(f"/person/{contact}")
        hotel.close_in(OTHERS["another's sign-in"])
        await write_down(page, "7", "soup")
        await expect(page.locator("#live")).not_to_have_text("Live")
        await phone.go("/settings")
        await page.locator("#export-json").click()
        await expect(page.locator("#toasts")).to_have_text(unreachable)
        hotel.answer = OTHERS["another's JSON"]
        await page.locator("#import").set_input_files(DATA / "debitum-small.zip")
        await expect(page.locator("#imported")).to_have_text(unreachable)
        await page.get_by_label("Currency of new debts").select_option("JPY")
        await expect(page.locator("#toasts")).to_have_text(unreachable)
        await expect(page.get_by_label("Currency of new debts")).to_have_value("EUR")
        hotel.answer = http(503, BUSY, kind="application/problem+json", Retry_After="7")
        await page.get_by_label("Currency of new debts").select_option("JPY")
        await expect(page.locator("#toasts")).to_have_text("The server is busy. Try again later.")
        await expect(page.locator("#pending")).to_have_text("Waiting to be sent: 1")
        await expect(page.locator("main [role=alert]:not(:empty)")).to_have_count(0)
        hotel.answer = None
        await phone.live()
        await phone.go("/")
        await page.locator("#add-person").click()
        await page.get_by_label("Name").evaluate("field => { field.value = 'Bo \\ud83d' }")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#toasts")).to_contain_text("This was not written down")
        await phone.live()
    assert [one["description"] for one in (await alice.get("/api/transactions"))["items"]] == ["soup"]


async def test_amounts_are_right_before_the_server_tells_of_currencies(api: Server, alice: Client, chromium: Browser) -> None:
    """The browser knows their decimals, too; and the server is asked again until it has told."""
    contact = await friend(alice)
    await lunch(alice, contact, amount=99_900, currency="JPY")
    async with portal(api.url) as hotel:
        hotel.captive = "/api/meta"
        hotel.answer = http(503, BUSY, kind="application/problem+json", Retry_After="7")
        async with visiting(chromium, hotel.url) as phone:
            page = phone.page
            await phone.sign_in(alice.user["email"])
            await phone.go(f"/person/{contact}")
            await expect(page.locator("#debts")).to_contain_text("¥99,900")
            assert hotel.kept
            hotel.answer = None
            await write_down(page, "7", "soup")
            await phone.go("/settings")
            await expect(page.get_by_label("Currency of new debts").locator("option[value=JPY]")).to_have_count(1)


FOLLOWED = """async (password) => {
    const { Device } = await import("/app/client/index.js");
    const chatty = (url) => {
        const socket = new WebSocket(url);
        const say = (data) => socket.dispatchEvent(new MessageEvent("message", { data }));
        socket.addEventListener("open", () => ["<form>", "[]", '{"type":"hello"}'].forEach(say));
        globalThis.say = say;
        return socket;
    };
    globalThis.asked = 0;
    const network = (...request) => {
        globalThis.asked += 1;
        return fetch(...request);
    };
    globalThis.device = await Device.open("follower", { connect: chatty, network });
    await device.login(...password);
    globalThis.leave = new AbortController();
    globalThis.following = device.follow(leave.signal);
}"""


STANDS = """async (version) => {
    for (const end = Date.now() + 60_000; !device.live || device.head.version !== version; ) {
        if (Date.now() > end) throw new Error(`${device.live} at ${device.head.version}`);
        await new Promise((resume) => setTimeout(resume, 20));
    }
}"""


async def test_a_feed_may_say_more_than_heads(api: Server, alice: Client, chromium: Browser) -> None:
    """A later server does, and somebody on the way could: what is no head is left alone, and asks nothing of the server."""
    async with visiting(chromium, api.url) as visitor:
        page = visitor.page
        await page.evaluate(FOLLOWED, [alice.user["email"], PASSWORD])
        await page.evaluate(STANDS, 0)
        await friend(alice)
        await page.evaluate(STANDS, 1)
        quiet = await page.evaluate("asked")
        await page.evaluate("""['{"type":"more"}', "", "7"].forEach(say)""")
        await page.wait_for_timeout(300)
        assert await page.evaluate("asked") == quiet
        await friend(alice, "Bo")
        await page.evaluate(STANDS, 2)
        await page.evaluate("async () => { leave.abort(); await following; device.close(); }")


DEAF = """async () => {
    const { Device } = await import("/app/client/index.js");
    const json = (body) => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
    const head = { version: 0, hash: null };
    const session = { ledger_id: "a", user: {}, access_token: "a", refresh_token: "r", expires_in: 1e9 };
    globalThis.asked = [];
    globalThis.reachable = true;
    const network = async (url) => {
        asked.push(new URL(url).pathname);
        if (!reachable) throw new TypeError("nobody answers");
        return json(url.includes("/auth/") ? session : { ...head, events: [], has_more: false });
    };
    const connect = () => {
        const socket = { send() { setTimeout(() => this.onmessage?.({ data: JSON.stringify(head) })); }, close() {} };
        setTimeout(() => socket.onopen());
        return socket;
    };
    globalThis.device = await Device.open("deaf", { network, connect });
    await device.login("anna@example.org", "a long sentence");
    globalThis.leave = new AbortController();
    device.follow(leave.signal);
}"""


async def test_a_line_that_has_gone_dead_keeps_nothing_back_for_long(api: Server, chromium: Browser) -> None:
    """Nobody says that it has: where nothing was heard for 50 s the server is asked."""
    async with visiting(chromium, api.url) as visitor:
        page = visitor.page
        await page.clock.install()
        await page.evaluate(DEAF)

        async def until(what: str) -> None:
            for _ in range(200):
                if await page.evaluate(what):
                    return
                await page.clock.run_for(50)
            pytest.fail(what)

        await until("device.live")
        await page.evaluate("asked.length = 0")
        await page.clock.run_for(51_000)
        await until("asked.length === 1 && asked[0] === '/api/sync/hash' && device.live")
        await page.evaluate("reachable = false")
        await page.clock.run_for(51_000)
        await until("!device.live")
        await page.evaluate("reachable = true")
        await page.clock.run_for(31_000)
        await until("device.live")
        await page.evaluate("leave.abort(); device.close()")


PREVIEWED = """async (password) => {
    const { Device } = await import("/app/client/index.js");
    const folds = Promise.withResolvers();
    const pulls = Promise.withResolvers();
    const slow = async (url, ...rest) => {
        if (!url.endsWith("/api/sync/pull")) return fetch(url, ...rest);
        pulls.resolve();
        await folds.promise;
        return fetch(url, ...rest);
    };
    const first = await Device.open("tabs", { network: slow });
    await first.login(...password);
    const second = await Device.open("tabs");
    const syncing = first.sync();
    await pulls.promise;
    await second.firstScreen();
    const names = () => second.shown().map(([, { name }]) => name);
    const before = names();
    folds.resolve();
    await syncing;
    await second.create("contact", { name: "Bo" });
    while (first.pending === 0) await new Promise((resume) => setTimeout(resume, 5));
    await first.sync();
    while (second.pending > 0) await new Promise((resume) => setTimeout(resume, 5));
    const after = names();
    first.close();
    second.close();
    return [before, after];
}"""


async def test_what_a_new_device_shows_first_ends_in_every_tab(api: Server, alice: Client, chromium: Browser) -> None:
    """Also where another tab folds the log: what was written down here would be gone once that one has sent it."""
    await friend(alice)
    async with visiting(chromium, api.url) as visitor:
        found = await visitor.page.evaluate(PREVIEWED, [alice.user["email"], PASSWORD])
    assert found == [["Ana"], ["Ana", "Bo"]]


SLOW = """async (body) => {
    const { Wire } = await import("/app/client/wire.js");
    const network = async (_, { signal }) => {
        const answer = new ReadableStream({ start: (line) => { globalThis.line = line; } });
        signal.onabort = () => line.error(signal.reason);
        return new Response(answer.pipeThrough(new TextEncoderStream()), { status: 200 });
    };
    globalThis.answer = globalThis.line = undefined;
    const wire = new Wire(location.href, network);
    wire.ask("POST", "/api/slow", { json: body }).then(({ a }) => { answer = a; }, ({ name }) => { answer = name; });
}"""


async def test_a_slow_line_is_no_dead_one(api: Server, chromium: Browser) -> None:
    """What counts is how long nothing comes, and not how long the whole of it takes."""
    async with visiting(chromium, api.url) as visitor:
        page = visitor.page
        await page.clock.install()

        async def said(text: str, then_seconds: int) -> None:
            await page.evaluate("async (text) => { while (!line) await null; line.enqueue(text); }", text)
            await page.clock.run_for(then_seconds * 1000)

        await page.evaluate(SLOW, {})
        for each in ('{"a":', "7", "0", "}"):
            await said(each, 25)
        await page.evaluate("line.close()")
        await page.wait_for_function("answer === 70")
        await page.evaluate(SLOW, {})
        await said('{"a":', 31)
        await page.wait_for_function("answer === 'Unavailable'")
