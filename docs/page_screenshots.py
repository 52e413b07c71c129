"""Takes the pictures of the page at /app: `python docs/page_screenshots.py`, with Chromium and a server of its own."""

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from bench import harness
from storage.encryption import new_ring
from tests.fixtures import chromium

IMAGES: Final = Path(__file__).parent / "images"
EMAIL, PASSWORD = "sam@example.org", "a long sentence for pictures"  # of an account that ends with the pictures
DESKTOP, PHONE = {"width": 1180, "height": 820}, {"width": 390, "height": 780}
LATE: Final = "2026-11-20"
"""A due date that is past."""


async def main(url: str, program: str) -> None:
    """A household, then each picture of it."""
    async with httpx.AsyncClient(base_url=url) as http:
        ana = await _household(http)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*chromium.OPTIONS, "--hide-scrollbars"])
        await _take(browser, url, "page-people", "/", viewport=DESKTOP)
        await _take(browser, url, "page-phone", f"/person/{ana}", viewport=PHONE, color_scheme="dark", device_scale_factor=2)
        await _take(browser, url, "page-arabic", "/", viewport=PHONE, locale="ar-EG", device_scale_factor=2)
        await _proof(browser, url)
        await browser.close()


async def _household(http: httpx.AsyncClient) -> str:
    """Some people, and what is between them; the first one's id."""
    account = {"email": EMAIL, "password": PASSWORD, "time_zone": "Europe/Berlin", "default_currency": "EUR"}
    signed_in = (await http.post("/api/auth/register", json=account)).raise_for_status().json()
    http.headers["Authorization"] = f"Bearer {signed_in['access_token']}"

    async def made(path: str, **members: Any) -> str:
        return str((await http.post(path, json=members)).raise_for_status().json()["id"])

    ana, bilal, chiara, dmitri = [await made("/api/contacts", name=name) for name in ("Ana Lucía", "Bilal", "Chiara", "Dmitri")]
    euros, lent, owed = {"currency": "EUR"}, {"direction": "lent"}, {"direction": "owed"}
    tickets = await made(
        "/api/transactions", contact_id=ana, amount=8_400, description="concert tickets", due_date=LATE, **euros, **lent
    )
    await made(f"/api/transactions/{tickets}/repay", amount=3_000)
    await made("/api/transactions", contact_id=ana, amount=1_250, description="lunch", **euros, **lent)
    await made("/api/transactions", contact_id=ana, type="item", item="cordless drill", due_date="2026-12-05", **lent)
    await made("/api/transactions", contact_id=bilal, amount=45_000, description="rent, November", **euros, **owed)
    await made("/api/transactions", contact_id=chiara, amount=120_000, description="airfare", currency="JPY", **lent)
    await made("/api/transactions", contact_id=dmitri, type="item", item="“Snow”, Orhan Pamuk", **owed)
    await http.post("/api/reminders", json={"contact_id": ana, "remind_at": "2026-12-01T09:00:00Z", "message": "tickets"})
    return ana


async def _take(browser: Browser, url: str, name: str, path: str, **options: Any) -> None:
    context = await browser.new_context(**{"locale": "en-GB", **options})
    page = await context.new_page()
    await page.goto(f"{url}/app/#{path}")
    await _sign_in(page)
    await page.locator("#head code").wait_for()
    await expect(page.locator(".lamp")).to_have_class("lamp on")
    await page.screenshot(path=IMAGES / f"{name}.png")
    await context.close()


async def _sign_in(page: Page, button: str = "#sign-in", email: str = EMAIL) -> None:
    await page.locator("input[type=email]").fill(email)
    await page.locator("input[type=password]").fill(PASSWORD)
    await page.locator(button).click()


async def _proof(browser: Browser, url: str) -> None:
    """Two devices: one was offline, both changed a debt; the conflict, then its settlement."""
    context = await browser.new_context(locale="en-GB", viewport={"width": 1180, "height": 1150})
    page = await context.new_page()
    await page.goto(f"{url}/app/#/proof")
    await _sign_in(page, "#register", "proof@example.org")
    left, right = page.locator("#left"), page.locator("#right")
    await left.locator("[data-act=person]").click()
    await left.locator("[data-act=debt]").click()
    await expect(right.locator(".debts")).to_contain_text("€10.00")
    await right.get_by_role("switch").click()
    await _change(left, "11.00")
    await _change(right, "12.00")
    await expect(page.locator("#verdict")).to_contain_text("differ")
    await _picture(page, "page-proof-offline")
    await right.get_by_role("switch").click()
    await expect(right.locator("article.conflict")).to_contain_text("€12.00")
    await _picture(page, "page-proof-conflict")
    await left.get_by_role("button", name="Take this").click()
    await expect(page.locator("#verdict")).to_contain_text("Equal")
    for side in (left, right):
        await side.locator(".explanation summary").click()
    await _picture(page, "page-proof")
    await context.close()


async def _change(side: Locator, amount: str) -> None:
    await side.get_by_label("Amount").fill(amount)
    await side.get_by_role("button", name="Change").click()
    await expect(side.locator(".debts")).to_contain_text(f"€{amount}")


async def _picture(page: Page, name: str) -> None:
    await page.evaluate("document.querySelector('#toasts').replaceChildren()")
    await page.screenshot(path=IMAGES / f"{name}.png", full_page=True)


if __name__ == "__main__":
    if (found := chromium.program()) is None:
        sys.exit(chromium.MISSING)
    with harness.database() as database_url, harness.api(database_url, new_ring()) as api:
        asyncio.run(main(api.url, found))
