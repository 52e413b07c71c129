"""Asks how quick the page at /app is for somebody with 10,000 events: a new device's first screen, and adding a debt offline."""

import asyncio
import sys
import time
from typing import Any, Final, NamedTuple

from playwright.async_api import Browser, Page, async_playwright

from bench import apart, harness, traffic
from bench.traffic import User
from storage.encryption import new_ring
from tests.fixtures import chromium

ROUNDS, LONG_ROUNDS = 3, 10
EVENTS: Final = 10_000
ADDS: Final = 10
"""Debts that are added offline in each round."""
FIRST_SCREEN_GOAL_SECONDS, ADD_GOAL_MS = 2.0, 100.0
MILLISECONDS: Final = 60_000

_ADD = """async () => {
    document.querySelector("#add-debt").click();
    document.querySelector("dialog [name=amount]").value = "8";
    const waiting = () => Number(document.querySelector("#pending").textContent.match(/[0-9]+$/)[0]);
    const before = waiting();
    const shown = new Promise((resolve) => {
        new MutationObserver((_, watcher) => {
            if (waiting() === before) return;
            watcher.disconnect();
            resolve(performance.now());
        }).observe(document.querySelector("footer"), { subtree: true, childList: true, characterData: true });
    });
    const began = performance.now();
    document.querySelector("dialog form").requestSubmit();
    return (await shown) - began;
}"""
"""Save a debt; how many milliseconds until the page shows that it waits to be sent, and so is in the store, on the disk."""


class Visit(NamedTuple):
    """Of a new device: seconds until the page asks who it is, shows everybody, has the log (without signing in); ms an add."""

    empty: float
    first_screen: float
    whole_log: float
    adds: list[float]


def visits(url: str, rounds: int) -> list[Visit]:
    """New devices one after the other, each in a browser profile that nobody has used."""
    return asyncio.run(_visits(url, rounds))


async def _visits(url: str, rounds: int) -> list[Visit]:
    user = await traffic.filled(url, EVENTS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.program(), args=list(chromium.OPTIONS))
        found = [await _visit(browser, url, user, EVENTS + number * ADDS) for number in range(rounds)]
        await browser.close()
    return found


async def _visit(browser: Browser, url: str, user: User, version: int) -> Visit:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    page.set_default_timeout(MILLISECONDS)
    began = time.perf_counter()
    await page.goto(f"{url}/app/")
    await page.locator("input[type=email]").wait_for()
    empty = time.perf_counter() - began
    await page.locator("input[type=email]").fill(user.email)
    await page.locator("input[type=password]").fill(traffic.PASSWORD)
    async with page.expect_response("**/api/auth/login"):
        await page.locator("#sign-in").click()
    signed_in = time.perf_counter()
    await page.locator("#people > li").first.wait_for()
    first_screen = time.perf_counter() - signed_in
    await page.get_by_text(f"Version {version}").wait_for()
    whole_log = time.perf_counter() - signed_in
    adds = await _adds(page)
    await page.get_by_text(f"Version {version + ADDS}").wait_for()  # each of them has come home, once
    head = (await user.http.get("/api/sync/hash")).json()
    assert head == {"version": version + ADDS, "hash": await page.locator("#head").get_attribute("title")}
    await context.close()
    return Visit(empty, empty + first_screen, empty + whole_log, adds)


async def _adds(page: Page) -> list[float]:
    await page.context.set_offline(True)
    found: list[Any] = [await page.evaluate(_ADD) for _ in range(ADDS)]
    await page.context.set_offline(False)
    await page.get_by_text("Waiting to be sent: 0").wait_for()
    return found


def main() -> None:
    """Run it; --long for more rounds. Without Chromium there is nothing to measure, and the results stay what they were."""
    if chromium.program() is None:
        print(f"bench.page: {chromium.MISSING}", file=sys.stderr)
        return
    is_long = "--long" in sys.argv[1:]
    with harness.database() as database_url, harness.api(database_url, new_ring()) as api:
        found: list[Visit] = apart.run(visits, api.url, LONG_ROUNDS if is_long else ROUNDS).result
    row, adds = harness.row, [one for visit in found for one in visit.adds]
    rows = [
        row("page_empty", [one.empty for one in found], "s"),
        row("page_first_screen_10k", [one.first_screen for one in found], "s", goal=FIRST_SCREEN_GOAL_SECONDS),
        row("page_whole_log_10k", [one.whole_log for one in found], "s"),
        row("page_add_offline_10k", adds, "ms", goal=ADD_GOAL_MS),
    ]
    harness.report("page_long" if is_long else "page", rows, events=EVENTS, adds=len(adds))


if __name__ == "__main__":
    main()
