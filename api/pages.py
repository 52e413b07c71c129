"""Small pages for the links in mails; they work without JavaScript. A link alone changes nothing: programs follow links too."""

import base64
import hashlib
import html
from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import deadline, limits, problems, services
from storage import identity

_STYLE = (
    "body{font:17px/1.5 system-ui,sans-serif;max-width:44rem;margin:4rem auto;padding:0 1.2rem;color-scheme:light dark}"
    "td{padding:.2rem .8rem .2rem 0}button{font:inherit;padding:.5rem 1.4rem;border-radius:.5rem;border:1px solid;cursor:pointer}"
    "input{font:inherit;padding:.4rem .6rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""By which a browser knows the one style that is ours; what somebody manages to put into a page has another."""
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
MEDIA_TYPE = "text/html; charset=utf-8"
MAX_TOKEN_LENGTH = 200
ROUTES: Final = frozenset({"verify_page", "verify_confirmed", "reset_page", "reset_confirmed"})
"""Where somebody can guess the tokens of mails: limited by address, like /api/auth."""


def install(app: "Sanic[Any, Any]") -> None:
    """Serve the pages."""

    @app.on_request
    async def count(request: Request) -> HTTPResponse | None:
        if request.route is None or request.route.name.rpartition(".")[2] not in ROUTES:
            return None
        try:
            limits.of(request).count_address(request)
        except problems.RateLimited as error:
            answer = page("Not so often", "<p>Try again in a minute.</p>", status=429)
            answer.headers["Retry-After"] = str(error.retry_after_seconds)
            return answer
        return None

    @app.get("/verify", name="verify_page")
    async def ask(request: Request) -> HTTPResponse:
        token = html.escape(str(request.args.get("token", ""))[:MAX_TOKEN_LENGTH], quote=True)
        form = f'<form method="post"><input type="hidden" name="token" value="{token}"><button>Confirm</button></form>'
        return page("Confirm your e-mail address", f"<p>Debitum will then send your reminders there.</p>{form}")

    @app.post("/verify", name="verify_confirmed")
    async def confirm(request: Request) -> HTTPResponse:
        form = request.form
        token = str(form.get("token", "") if form else "")[:MAX_TOKEN_LENGTH]
        here = services.of(request)
        async with deadline.within(here.settings.request_seconds), here.transaction() as connection:
            user_id = await identity.verify_email(connection, token, now=services.now())
        if user_id is None:
            return page("This link is not valid any more", "<p>It was used before, or it is too old.</p>", status=400)
        return page("Thank you", "<p>Your e-mail address is confirmed. You can close this page.</p>")


def page(title: str, content: str, *, status: int = 200) -> HTTPResponse:
    """A page of ours; `content` is HTML."""
    return HTTPResponse(document(title, content), status=status, headers=HEADERS, content_type=MEDIA_TYPE)


def document(title: str, content: str) -> bytes:
    """The HTML of a page; to be sent with HEADERS."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    whole = f"<head>{head}<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{content}</body>"
    return f'<!doctype html><html lang="en">{whole}</html>'.encode()
