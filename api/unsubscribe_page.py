"""The page that ends mails of a kind, and the single POST of mail programs that do the same (RFC 8058)."""

from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import languages, pages, services
from api.languages import noted
from domain import reminders
from storage import unsubscribing

_WHAT: Final[dict[reminders.Kind, str]] = {
    "due": noted("Debitum then mails you no more about due dates."),
    "reminder": noted("Debitum then mails you no more reminders that you set yourself."),
}


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /unsubscribe. The token alone is the right to it: whoever reads the mail may end such mails."""

    @app.get("/unsubscribe", name="unsubscribe_page")
    async def ask(request: Request) -> HTTPResponse:
        say, given = languages.of(request), str(request.args.get("token", ""))
        token = unsubscribing.read(given)
        if token is None:
            return _invalid(say)
        text, fields = _WHAT[token.kind], (pages.hidden("token", given), pages.button(say("No more of them")))
        return pages.form(say, say("No more mails of this kind?"), say(text), "/unsubscribe", *fields)

    @app.post("/unsubscribe", name="unsubscribed")
    @pages.takes_form
    async def confirm(request: Request) -> HTTPResponse:
        here, say = services.of(request), languages.of(request)
        # A mail program sends the link as it is, and says what it wants in the body; a browser sends our own form.
        token = unsubscribing.read(request.args.get("token") or pages.sent(request, "token")[0])
        if token is None:
            return _invalid(say)
        async with here.transaction(token.ledger_id) as connection:
            if not await unsubscribing.unsubscribe(connection, token, here.settings.keys):
                return _invalid(say)
        done = say("You get no more of these mails. In your settings you can have them again.")
        return pages.notice(say, say("Done"), done)


def _invalid(say: languages.Language) -> HTTPResponse:
    what = say("The account is gone, or the link is not whole.")
    return pages.notice(say, say("This link is not valid any more"), what, status=400)
