"""The page behind the link in a mail that proves an address; it works without JavaScript."""

import html
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from api import pages, problems, registration, services
from storage import identity

_TITLE = "Confirm your e-mail address"
_INTRODUCTION = "Debitum will then send your reminders there."
_LAST = "This is not how this address was registered last: the password is another one. If it was you, register again."
_SOON = "Wait a minute before you try again."


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /verify. Where an address is whoever's registers it last until it is proven, it asks for the password too."""

    @app.get("/verify", name="verify_page")
    async def ask(request: Request) -> HTTPResponse:
        return _form(request, str(request.args.get("token", "")), _INTRODUCTION)

    @app.post("/verify", name="verify_confirmed")
    @pages.in_time
    async def confirm(request: Request) -> HTTPResponse:
        here, form = services.of(request), request.form
        token, password = (str(form.get(name, "") if form else "") for name in ("token", "password"))
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
            return pages.page("This link is not valid any more", "<p>It was used before, or it is too old.</p>", status=400)
        return pages.page("Thank you", "<p>Your e-mail address is confirmed. You can close this page.</p>")


def _form(request: Request, token: str, words: str, *, status: int = 200) -> HTTPResponse:
    hidden = pages.hidden("token", token)
    field = '<input type="password" name="password" maxlength="128" autocomplete="current-password" required>'
    asked = f"<p><label>Your password {field}</label></p>" if services.of(request).settings.signup == "verified" else ""
    form = f'<form method="post" action="/verify">{hidden}{asked}<button>Confirm</button></form>'
    return pages.page(_TITLE, f"<p>{html.escape(words)}</p>{form}", status=status)
