"""A real Chromium, and people in it who have the page of /app open. Without Chromium these tests are skipped, and say why.

Chromium is there for all tests of a worker, so that they have to share an event loop: ONE_LOOP is the mark of their modules.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from api.settings import Settings
from tests.fixtures.api import PASSWORD, Client, Server, serve
from tests.fixtures.chromium import OPTIONS, required

ONE_LOOP: Final = pytest.mark.asyncio(loop_scope="session")
MILLISECONDS: Final = 60_000
"""The longest that anything may take: the machine does other things too."""


expect.set_options(timeout=MILLISECONDS)


@dataclass
class Visitor:
    """A page of the app in a browser profile of its own: one device."""

    page: Page
    context: BrowserContext
    url: str
    errors: list[str] = field(default_factory=list)

    async def sign_in(self, email: str) -> None:
        """Sign in with the password of tests."""
        await self.enter(email)
        await self.live()

    async def enter(self, email: str) -> None:
        """Try to."""
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.locator("#sign-in").click()

    async def live(self) -> None:
        """Until the feed is open and nothing waits to be sent."""
        await expect(self.page.locator("#live")).to_have_text("Live")
        await expect(self.page.locator("#pending")).to_have_text("Waiting to be sent: 0")

    async def go(self, path: str) -> None:
        """Show the view of that address."""
        await self.page.evaluate("path => { location.hash = path }", f"#{path}")

    async def offline(self, offline: bool = True) -> None:
        """Pull the network out, or plug it in."""
        await self.context.set_offline(offline)

    async def head(self) -> tuple[str | None, str | None]:
        """What the line at the bottom says: the version, and the whole hash."""
        head = self.page.locator("#head")
        return await head.text_content(), await head.get_attribute("title")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium; visitors have a profile of their own each. To start one takes longer than most tests here."""
    found = required()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield browser
        await browser.close()


@asynccontextmanager
async def visiting(browser: Browser, url: str, *, path: str = "/app/", **options: Any) -> AsyncIterator[Visitor]:
    """Somebody opens the page at `url`; what goes wrong in it fails the test that is over."""
    context = await browser.new_context(**{"locale": "en-GB", **options})
    page = await context.new_page()
    page.set_default_timeout(MILLISECONDS)
    visitor = Visitor(page, context, url)
    page.on("pageerror", lambda error: visitor.errors.append(str(error)))
    page.on("console", lambda said: visitor.errors.append(said.text) if _is_ours(said.type, said.text) else None)
    await page.goto(url + path)
    yield visitor
    await context.close()
    assert visitor.errors == []


def _is_ours(kind: str, text: str) -> bool:
    """Whether a line of the console tells of a defect: a browser also logs each request that the network refuses."""
    return kind == "error" and not text.startswith(("Failed to load resource", "WebSocket connection to"))


@pytest_asyncio.fixture(loop_scope="session")
async def api(api_settings: Settings) -> AsyncIterator[Server]:
    """A running API server, in Chromium's event loop."""
    async with serve(api_settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def alice(api: Server) -> Client:
    """A user."""
    return await api.register()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(api: Server, chromium: Browser) -> AsyncIterator[Visitor]:
    """Somebody who has just opened the page."""
    async with visiting(chromium, api.url) as found:
        yield found


@asynccontextmanager
async def signed_in(browser: Browser, api: Server, email: str, **options: Any) -> AsyncIterator[Visitor]:
    """A new device of the user with that address, on the first screen."""
    async with visiting(browser, api.url, **options) as found:
        await found.sign_in(email)
        yield found
