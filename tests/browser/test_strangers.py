"""What the client of the page does not take from its user."""

from playwright.async_api import Browser

from tests.browser.conftest import ONE_LOOP, visiting
from tests.fixtures.api import PASSWORD, Client, Server

pytestmark = ONE_LOOP

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
