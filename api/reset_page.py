"""The page behind the link in a mail about a forgotten password; it works without JavaScript."""

import html
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from api import credentials, pages, passwords, services

_TITLE = "Set a new password"
_INTRODUCTION = "You will then be signed out everywhere, and sign in again with the new password."


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /reset."""

    @app.get("/reset", name="reset_page")
    async def ask(request: Request) -> HTTPResponse:
        return _form(str(request.args.get("token", "")), _INTRODUCTION)

    @app.post("/reset", name="reset_confirmed")
    @pages.in_time
    async def confirm(request: Request) -> HTTPResponse:
        form = request.form
        token, password = (str(form.get(name, "") if form else "") for name in ("token", "new_password"))
        if (objection := passwords.objection(password)) is not None:
            return _form(token, objection, status=400)
        if not await credentials.reset(services.of(request), token[: pages.MAX_TOKEN_LENGTH], password):
            content = "<p>It was used before, or it is too old. Ask for another one.</p>"
            return pages.page("This link is not valid any more", content, status=400)
        return pages.page("Thank you", "<p>Your password is changed. You can close this page and sign in with the new one.</p>")


def _form(token: str, words: str, *, status: int = 200) -> HTTPResponse:
    hidden = pages.hidden("token", token)
    field = f"<p>{pages.new_password('New password', 'new_password')}</p>"
    form = f'<form method="post" action="/reset">{hidden}{field}<button>Change my password</button></form>'
    return pages.page(_TITLE, f"<p>{html.escape(words)}</p>{form}", status=status)
