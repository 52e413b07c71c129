"""The page where somebody with an invitation registers; it works without JavaScript."""

from typing import Any, Final

import msgspec
from sanic import HTTPResponse, Request, Sanic

from api import languages, pages, passwords, problems, registration, services
from api.languages import Language, noted
from api.registration import RegisterBody
from domain import errors
from storage import identity, invites

_INTRODUCTION: Final = noted("You are invited. Choose the address and the password with which you sign in.")
_BAD_ADDRESS: Final = noted("This is not an e-mail address that can be used.")
_OTHER_ADDRESS: Final = noted("This invitation is for another e-mail address.")
_TAKEN: Final = noted("This address has an account already. Sign in with it, or ask for a new password.")
_EMAIL: Final = 'type="email" name="email" autocomplete="username" dir="ltr"'
LONGEST_EMAIL: Final = 254


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /join."""

    @app.get("/join", name="join_page")
    async def ask(request: Request) -> HTTPResponse:
        if services.of(request).settings.signup == "closed":
            return _closed(languages.of(request))
        return _form(request, str(request.args.get("invite", "")), "", _INTRODUCTION)

    @app.post("/join", name="join_confirmed")
    @pages.takes_form
    async def confirm(request: Request) -> HTTPResponse:
        here, say = services.of(request), languages.of(request)
        invite, email, password = pages.sent(request, "invite", "email", "password")
        if here.settings.signup == "closed":
            return _closed(say)
        async with here.transaction() as connection:
            if not await invites.is_good(connection, invite, now=services.now()):
                over = say("The invitation was used before, or it is too old. Ask for another one.")
                return pages.notice(say, say("This invitation is not valid any more"), over, status=400)
        if (objection := passwords.objection(password)) is not None:
            return _form(request, invite, email, objection, status=400)
        try:
            wanted = msgspec.convert({"email": email.strip(), "password": password, "locale": say.tag}, RegisterBody)
            async with registration.created(here, wanted, invite):
                pass
        except (msgspec.ValidationError, errors.Invalid):
            return _form(request, invite, email, _BAD_ADDRESS, status=400)
        except problems.InvalidInvite:
            return _form(request, invite, email, _OTHER_ADDRESS, status=400)
        except identity.EmailTaken:
            return _form(request, invite, email, _TAKEN, status=400)
        done = say("Your account is there. A mail asks you to confirm your address: do that first, then sign in.")
        return pages.notice(say, say("Thank you"), done)


def _closed(say: Language) -> HTTPResponse:
    return pages.notice(say, say("This server takes no new users"), say("Ask whoever runs it for an account."), status=403)


def _form(request: Request, invite: str, email: str, text: str, *, status: int = 200) -> HTTPResponse:
    say = languages.of(request)
    address = pages.field(say("E-mail address"), _EMAIL, email[:LONGEST_EMAIL])
    password = pages.new_password(say("Password"), "password")
    fields = (pages.hidden("invite", invite), address, password, pages.button(say("Join")))
    return pages.form(say, say("Welcome to Debitum"), say(text), "/join", *fields, status=status)
