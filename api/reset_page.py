"""The page behind the link in a mail about a forgotten password; it works without JavaScript."""

from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import credentials, languages, pages, passwords, services
from api.languages import noted

_INTRODUCTION: Final = noted("You will then be signed out everywhere, and sign in again with the new password.")


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /reset."""

    @app.get("/reset", name="reset_page")
    async def ask(request: Request) -> HTTPResponse:
        return _form(request, str(request.args.get("token", "")), _INTRODUCTION)

    @app.post("/reset", name="reset_confirmed")
    @pages.takes_form
    async def confirm(request: Request) -> HTTPResponse:
        say = languages.of(request)
        token, password = pages.sent(request, "token", "new_password")
        if (objection := passwords.objection(password)) is not None:
            return _form(request, token, objection, status=400)
        if not await credentials.reset(services.of(request), token[: pages.MAX_TOKEN_LENGTH], password):
            over = say("It was used before, or it is too old. Ask for another one.")
            return pages.notice(say, say("This link is not valid any more"), over, status=400)
        done = say("Your password is changed. You can close this page and sign in with the new one.")
        return pages.notice(say, say("Thank you"), done)


def _form(request: Request, token: str, text: str, *, status: int = 200) -> HTTPResponse:
    say = languages.of(request)
    field = pages.new_password(say("New password"), "new_password")
    fields = (pages.hidden("token", token), field, pages.button(say("Change my password")))
    return pages.form(say, say("Set a new password"), say(text), "/reset", *fields, status=status)
