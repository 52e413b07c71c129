"""The page where somebody with an invitation registers; it works without JavaScript."""

import html
from typing import Any, Final

import msgspec
from sanic import HTTPResponse, Request, Sanic

from api import pages, passwords, problems, registration, services
from api.registration import RegisterBody
from domain import errors
from storage import identity, invites

_TITLE = "Welcome to Debitum"
_INTRODUCTION = "You are invited. Choose the address and the password with which you sign in."
_BAD_ADDRESS = "This is not an e-mail address that can be used."
_OTHER_ADDRESS = "This invitation is for another e-mail address."
_TAKEN = "This address has an account already. Sign in with it, or ask for a new password."
_OVER = "<p>It was used before, or it is too old. Ask for another one.</p>"
_DONE = "<p>Your account is there. A mail asks you to confirm your address: do that first, then sign in.</p>"
LONGEST_EMAIL: Final = 254


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /join."""

    @app.get("/join", name="join_page")
    async def ask(request: Request) -> HTTPResponse:
        if services.of(request).settings.signup == "closed":
            return _closed()
        return _form(str(request.args.get("invite", "")), "", _INTRODUCTION)

    @app.post("/join", name="join_confirmed")
    @pages.in_time
    async def confirm(request: Request) -> HTTPResponse:
        here, form = services.of(request), request.form
        invite, email, password = (str(form.get(name, "") if form else "") for name in ("invite", "email", "password"))
        if here.settings.signup == "closed":
            return _closed()
        async with here.transaction() as connection:
            if not await invites.is_good(connection, invite, now=services.now()):
                return pages.page("This invitation is not valid any more", _OVER, status=400)
        if (objection := passwords.objection(password)) is not None:
            return _form(invite, email, objection, status=400)
        try:
            wanted = msgspec.convert({"email": email.strip(), "password": password}, RegisterBody)
            async with registration.created(here, wanted, invite):
                pass
        except (msgspec.ValidationError, errors.Invalid):
            return _form(invite, email, _BAD_ADDRESS, status=400)
        except problems.InvalidInvite:
            return _form(invite, email, _OTHER_ADDRESS, status=400)
        except identity.EmailTaken:
            return _form(invite, email, _TAKEN, status=400)
        return pages.page("Thank you", _DONE)


def _closed() -> HTTPResponse:
    return pages.page("This server takes no new users", "<p>Ask whoever runs it for an account.</p>", status=403)


def _form(invite: str, email: str, words: str, *, status: int = 200) -> HTTPResponse:
    address = html.escape(email[:LONGEST_EMAIL], quote=True)
    hidden = pages.hidden("invite", invite)
    field = f'<label>E-mail address <input type="email" name="email" value="{address}" autocomplete="username" required></label>'
    fields = f"{hidden}<p>{field}</p><p>{pages.new_password('Password', 'password')}</p><button>Join</button>"
    content = f'<p>{html.escape(words)}</p><form method="post" action="/join">{fields}</form>'
    return pages.page(_TITLE, content, status=status)
