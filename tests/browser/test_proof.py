"""Two devices in one window: what a visitor sees of how they disagree, and agree again."""

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import ONE_LOOP, Visitor
from tests.fixtures.api import PASSWORD

pytestmark = ONE_LOOP

FOLLOWERS = """async () => {
    const { held, pending } = await navigator.locks.query();
    return [...held, ...pending].map(({ name }) => name).filter((name) => name.endsWith("-follow")).sort();
}"""
"""Of each device that is open in this browser the lock under which it follows."""


async def a_debt_of_two_devices(visitor: Visitor, email: str) -> tuple[Page, Locator, Locator]:
    """The proof of a new user, and its two devices: the left one has written down a person and a debt."""
    page = visitor.page
    await visitor.go("/proof")
    await expect(page.locator("h1")).to_have_text("Two devices, one ledger")  # the form before it has such fields, too
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.locator("#register").click()
    left, right = page.locator("#left"), page.locator("#right")
    await left.locator("[data-act=person]").click()
    await left.locator("[data-act=debt]").click()
    return page, left, right


async def test_two_devices_agree_in_one_window(visitor: Visitor) -> None:
    """As a visitor plays it: one goes offline, both change a debt, they meet, one tap settles it, the hashes are equal."""
    page, left, right = await a_debt_of_two_devices(visitor, "proof@example.org")
    await expect(right.locator(".debts")).to_contain_text("€10.00")
    await expect(page.locator("#verdict")).to_contain_text("Equal: both at version 2")
    await right.get_by_role("switch").click()
    for side, amount in ((left, "11"), (right, "12")):
        await side.get_by_label("Amount").fill(amount)
        await side.get_by_role("button", name="Change").click()
    await expect(left.locator(".debts")).to_contain_text("€11.00")
    await expect(right.locator(".debts")).to_contain_text("€12.00")
    await expect(page.locator("#verdict")).to_contain_text("differ")
    await right.get_by_role("switch").click()
    for side in (left, right):
        await expect(side.locator("article.conflict")).to_contain_text("€12.00")
    await left.get_by_role("button", name="Take this").click()
    await expect(page.locator("article.conflict")).to_have_count(0)
    await expect(page.locator("#verdict")).to_contain_text("Equal: both at version 5")
    hashes = await page.locator(".head").evaluate_all("all => all.map(one => one.title)")
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    await left.locator(".explanation summary").click()
    await expect(left.locator(".explanation .step").last).to_contain_text("→ +€12.00")
    await page.reload()
    await expect(page.locator("#verdict")).to_contain_text("Equal: both at version 5")
    assert await page.evaluate(FOLLOWERS) == ["debitum-proof-left-follow", "debitum-proof-right-follow"]


async def test_an_amount_in_the_proof_is_about_what_was_there_when_it_was_written(visitor: Visitor) -> None:
    """As in the other forms: what came from the other device meanwhile is no less of a conflict."""
    page, left, right = await a_debt_of_two_devices(visitor, "meanwhile@example.org")
    await expect(page.locator("#verdict")).to_contain_text("Equal: both at version 2")
    await left.get_by_label("Amount").fill("12")
    await right.get_by_label("Amount").fill("11")
    await right.get_by_role("button", name="Change").click()
    await expect(left.locator(".debts")).to_contain_text("€11.00")
    await left.get_by_role("button", name="Change").click()
    for side in (left, right):
        await expect(side.locator("article.conflict")).to_contain_text("€12.00")
        await expect(side.locator(".debts")).to_contain_text("€11.00")
