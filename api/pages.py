"""What the small pages behind links in mails are made of. Following a link changes nothing, for programs follow links too."""

import base64
import functools
import hashlib
import html
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import browser, deadline, headers, languages, limits, problems, services
from api.languages import ENGLISH, Language
from api.limits import Limits

_STYLE: Final = (browser.ROOT / "pages.css").read_text() + (
    "body{max-width:44rem;margin:3rem auto;padding:0 1.2rem}h1{margin-block-start:0}td{padding:.2rem .8rem .2rem 0}"
    "header svg{display:block;width:2.6rem;height:2.6rem;margin-block-end:1rem}"
)
"""The colours and elements of the page at /app, and the place of a lone text."""
_ICON: Final = (browser.ROOT / "icon.svg").read_text().strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""A browser applies this style alone: one that somebody manages to put into a page has another hash."""
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
MEDIA_TYPE = "text/html; charset=utf-8"
MAX_TOKEN_LENGTH = 200
MAX_FORM_BYTES: Final = 8 * 1024
"""Of what the pages are sent: an address, a password and a token fit, each letter written as %F0%9F%98%80."""
ROUTES: Final = frozenset({"verify_page", "verify_confirmed", "reset_page", "reset_confirmed", "join_page", "join_confirmed"})
"""Where somebody can guess the tokens of mails: limited by address, like /api/auth."""
UNSUBSCRIBING: Final = frozenset({"unsubscribe_page", "unsubscribed"})
"""Where mail programs ask for many people from one address."""


def install(app: "Sanic[Any, Any]") -> None:
    """Count who asks for the pages."""
    for names, count in ((ROUTES, Limits.count_address), (UNSUBSCRIBING, Limits.count_unsubscribing)):
        app.register_named_middleware(_counting(count), [f"{app.name}.{name}" for name in names])


def _counting(count: Callable[[Limits, Request], None]) -> Callable[[Request], HTTPResponse | None]:
    def refusal(request: Request) -> HTTPResponse | None:
        try:
            count(limits.of(request), request)
        except problems.RateLimited as error:
            say = languages.of(request)
            answer = notice(say, say("Not so often"), say("Try again in a minute."), status=429)
            answer.headers["Retry-After"] = str(error.retry_after_seconds)
            return answer
        return None

    return refusal


def takes_form(handler: Callable[[Request], Awaitable[HTTPResponse]]) -> Callable[[Request], Awaitable[HTTPResponse]]:
    """Decorates the handler of a form, which has to be small: Sanic reads it on the event loop. Raises problems.TooLarge.

    It has the deadline of other requests (api.deadline); where the server is too busy, a page says so.
    """

    @functools.wraps(handler)
    async def answer(request: Request) -> HTTPResponse:
        if len(request.body) > MAX_FORM_BYTES:
            raise problems.TooLarge(f"this page takes at most {MAX_FORM_BYTES >> 10} KiB")
        try:
            async with deadline.within(services.of(request).settings.request_seconds):
                return await handler(request)
        except problems.Unavailable:
            say = languages.of(request)
            busy = notice(say, say("Too busy just now"), say("Try again in a few seconds."), status=503)
            busy.headers["Retry-After"] = str(problems.RETRY_AFTER_SECONDS)
            return busy

    return answer


def sent(request: Request, *names: str) -> list[str]:
    """The fields of the form that was sent; empty where one is missing."""
    return [str(request.form.get(name, "") if request.form else "") for name in names]


def button(text: str) -> str:
    """What sends a form, in HTML."""
    return f'<button class="primary">{html.escape(text)}</button>'


def hidden(name: str, value: str) -> str:
    """A field that a form carries along, in HTML."""
    return f'<input type="hidden" name="{name}" value="{html.escape(value[:MAX_TOKEN_LENGTH], quote=True)}">'


def field(label: str, attributes: str, value: str = "") -> str:
    """A labelled field that must be filled in, in HTML; `attributes` are HTML already."""
    return f'<p><label>{html.escape(label)} <input {attributes} value="{html.escape(value, quote=True)}" required></label></p>'


def new_password(label: str, name: str) -> str:
    """A field for a password that is set, in HTML."""
    return field(label, f'type="password" name="{name}" minlength="8" maxlength="128" autocomplete="new-password"')


def notice(say: Language, title: str, text: str, *, status: int = 200) -> HTTPResponse:
    """A page that says one thing and asks for nothing."""
    return _page(say, title, f"<p>{html.escape(text)}</p>", status)


def form(say: Language, title: str, text: str, path: str, *fields: str, status: int = 200) -> HTTPResponse:
    """A page that says `text` and has a form, which is sent to `path`; `fields` are HTML."""
    asked = f'<form method="post" action="{path}">{"".join(fields)}</form>'
    return _page(say, title, f"<p>{html.escape(text)}</p>{asked}", status)


def _page(say: Language, title: str, content: str, status: int) -> HTTPResponse:
    said = HEADERS | {"Content-Language": say.tag}
    answer = HTTPResponse(document(title, content, say), status=status, headers=said, content_type=MEDIA_TYPE)
    headers.vary(answer, "Accept-Language")
    return answer


def english(title: str, content: str) -> HTTPResponse:
    """A page that there is in English alone; `content` is HTML."""
    return HTTPResponse(document(title, content), headers=HEADERS, content_type=MEDIA_TYPE)


def document(title: str, content: str, language: Language = ENGLISH) -> bytes:
    """The HTML of a page; to be sent with HEADERS."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    body = f'<header aria-hidden="true">{_ICON}</header><main class="card"><h1>{html.escape(title)}</h1>{content}</main>'
    whole = f"<head>{head}<style>{_STYLE}</style></head><body>{body}</body>"
    return f'<!doctype html><html lang="{language.tag}" dir="{language.direction}">{whole}</html>'.encode()
