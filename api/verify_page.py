"""The page behind the link in a mail that proves an address; it works without JavaScript."""

from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import languages, pages, problems, registration, services
from api.languages import noted
from storage import identity

_INTRODUCTION: Final = noted("Debitum will then send your reminders there.")
_LAST: Final = noted(
    "This is not how this address was registered last: the password is another one. If it was you, register again."
)
_SOON: Final = noted("Wait a minute before you try again.")
_CURRENT: Final = 'type="password" name="password" maxlength="128" autocomplete="current-password"'


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /verify. Where an address is whoever's registers it last until it is proven, it asks for the password too."""

    @app.get("/verify", name="verify_page")
    async def ask(request: Request) -> HTTPResponse:
        return _form(request, str(request.args.get("token", "")), _INTRODUCTION)

    @app.post("/verify", name="verify_confirmed")
    @pages.takes_form
    async def confirm(request: Request) -> HTTPResponse:
        here, say = services.of(request), languages.of(request)
        token, password = pages.sent(request, "token", "password")
        try:
            if here.settings.signup == "verified":
                await registration.check(here, token[: pages.MAX_TOKEN_LENGTH], password[: pages.MAX_TOKEN_LENGTH])
            async with here.transaction() as connection:
                user_id = await identity.verify_email(connection, token[: pages.MAX_TOKEN_LENGTH], now=services.now())
        except problems.InvalidToken:
            user_id = None
        except problems.InvalidCredentials:
            return _form(request, token, _LAST, status=400)
        except problems.RateLimited:
            return _form(request, token, _SOON, status=429)
        if user_id is None:
            over = say("It was used before, or it is too old.")
            return pages.notice(say, say("This link is not valid any more"), over, status=400)
        done = say("Your e-mail address is confirmed. You can close this page.")
        return pages.notice(say, say("Thank you"), done)


def _form(request: Request, token: str, text: str, *, status: int = 200) -> HTTPResponse:
    say, asks = languages.of(request), services.of(request).settings.signup == "verified"
    asked = pages.field(say("Your password"), _CURRENT) if asks else ""
    fields = (pages.hidden("token", token), asked, pages.button(say("Confirm")))
    return pages.form(say, say("Confirm your e-mail address"), say(text), "/verify", *fields, status=status)
