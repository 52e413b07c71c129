"""Who gets at an account, as its owner sees to it on the page: the password, devices, tokens, its end; and what is refused."""

import json

from playwright.async_api import Browser, Locator, Page, expect
from sqlalchemy import Engine, text

from api import browser as served
from tests.browser.conftest import ONE_LOOP, signed_in
from tests.browser.test_devices import friend, lunch
from tests.fixtures.api import PASSWORD, Client, Server

pytestmark = ONE_LOOP

NEW_PASSWORD = "another horse, another battery"
MOST = 9_007_199_254_740_991
ARABIC: dict[str, str] = json.loads((served.ROOT / "words" / "ar.json").read_text())


def dialog(page: Page) -> Locator:
    return page.locator("dialog")


async def answer(page: Page, *passwords: str) -> None:
    """Type these into the dialog's fields, and send it."""
    for place, password in enumerate(passwords):
        await dialog(page).locator("input[type=password]").nth(place).fill(password)
    await dialog(page).locator("button[type=submit]").click()


async def test_devices_tokens_and_the_password(api: Server, alice: Client, chromium: Browser) -> None:
    """What is ended is good for nothing any more, and the page goes on."""
    tablet = await api.login(alice, device={"name": "tablet"})
    async with signed_in(chromium, api, alice.user["email"], permissions=["clipboard-read", "clipboard-write"]) as phone:
        page = phone.page
        await phone.go("/settings")
        rows = page.locator("#devices li")
        await expect(rows).to_have_count(3)
        this = rows.filter(has_text="This device")
        await expect(this).to_contain_text("Browser")
        await expect(this.get_by_role("button")).to_have_count(0)
        await rows.filter(has_text="tablet").get_by_role("button", name="Sign out").click()
        await dialog(page).get_by_role("button", name="Sign out").click()
        await expect(rows).to_have_count(2)
        await expect(page.locator("#devices h2")).to_be_focused()
        assert (await tablet.http.get("/api/me")).status_code == 401

        await page.locator("#add-token").click()
        await answer(page)
        await expect(dialog(page)).to_contain_text("This is needed.")
        await page.get_by_label("Name").fill("nightly script")
        await page.get_by_label("Rights").select_option("write")
        await page.get_by_label("Ends").select_option("30")
        await answer(page)
        token_field = page.get_by_role("textbox", name="Token")
        await expect(token_field).to_be_focused()
        token = await token_field.input_value()
        await dialog(page).get_by_role("button", name="Copy").click()
        await expect(page.locator("#toasts")).to_have_text("Copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == token
        program = api.http(token)
        assert (await program.post("/api/contacts", json={"name": "Ana"})).status_code == 201
        made = page.locator("#tokens li", has_text="nightly script")
        await expect(made).to_contain_text("may read and write · never used · good until")
        await made.get_by_role("button", name="Revoke").click()
        await dialog(page).get_by_role("button", name="Revoke").click()
        await expect(made).to_have_count(0)
        assert (await program.get("/api/me")).status_code == 401

        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(api.url)))
        await page.locator("#change-password").click()
        for current, new, said in (
            ("", "short", "At least 8 characters."),
            ("a guess of mine", NEW_PASSWORD, "The password is wrong."),
            (PASSWORD, "password1", "one of the most common ones"),
        ):
            await answer(page, current, new)
            await expect(dialog(page)).to_contain_text(said)
        assert asked == ["/api/auth/password"] * 2, "a guess is one guess, and the session is not renewed for it"
        await phone.offline()
        await answer(page, PASSWORD, NEW_PASSWORD)
        await expect(dialog(page)).to_contain_text("The server cannot be reached.")
        await phone.offline(False)
        await page.get_by_label("Sign out the other devices").check()
        await answer(page, PASSWORD, NEW_PASSWORD)
        await expect(page.locator("#toasts")).to_have_text("The password is changed.")
        assert (await alice.http.get("/api/me")).status_code == 401
        await page.reload()
        await phone.live()
        again = await api.login(alice, password=NEW_PASSWORD)
        await expect(page.locator("#devices li")).to_have_count(2)
        await friend(again, "Bo")
        await expect(page.locator("#head")).to_contain_text("Version 2")


async def test_an_account_that_goes_and_what_is_refused_in_arabic(
    api: Server, alice: Client, chromium: Browser, database: Engine
) -> None:
    """Every view says when it goes, and it can be kept; what the server does not take is said in the user's language."""
    ana = await friend(alice)
    async with signed_in(chromium, api, alice.user["email"]) as phone:
        page = phone.page
        await page.locator("#people > li").wait_for()
        await phone.offline()
        await phone.go(f"/person/{ana}")
        await page.locator("#add-debt").click()
        await page.get_by_label("Amount").fill("7")
        await page.get_by_role("button", name="Save").click()
        await lunch(alice, ana, amount=MOST)
        await phone.go("/settings")
        await page.get_by_label("Language").select_option("ar")
        await phone.offline(False)
        await phone.go("/attention")
        await expect(page.locator("#rejections")).to_contain_text(ARABIC["The balance would become too large."])

        await phone.go("/settings")
        await page.locator("#import").set_input_files(
            {"name": "export.json", "mimeType": "application/json", "buffer": (await alice.http.get("/api/export")).content}
        )
        full = "There is something in this account already: an export goes into an empty one."
        await expect(page.locator("#imported")).to_have_text(ARABIC[full])

        await page.locator("#delete-account").click()
        await answer(page, "a guess of mine")
        await expect(dialog(page)).to_contain_text(ARABIC["The password is wrong."])
        await answer(page, PASSWORD)
        await expect(page.locator("#deleting")).to_be_visible()
        await expect(page.locator("#delete-account")).to_have_count(0)
        assert (await alice.http.get("/api/me")).status_code == 401
        tablet = await api.login(alice)
        await phone.go("/")
        await page.reload()
        for left, said in (("0", "The account is being erased: it is too late to keep it."), ("1 day", "The account is kept.")):
            with database.begin() as connection:
                connection.execute(text("update debitum.users set deleting_at = now() + cast(:left as interval)"), {"left": left})
            await page.locator("#keep-account").click()
            await expect(page.locator("#toasts")).to_have_text(ARABIC[said])
        await expect(page.locator("#deleting")).to_have_count(0)
        assert (await tablet.get("/api/me"))["deleting_at"] is None
