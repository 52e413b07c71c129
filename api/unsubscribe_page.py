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
        say, text = languages.of(request), str(request.args.get("token", ""))
        token = unsubscribing.read(text)
        if token is None:
            return _invalid(say)
        fields = pages.hidden("token", text) + pages.button(say("No more of them"))
        content = f'{pages.paragraph(_what(say, token.kind))}<form method="post" action="/unsubscribe">{fields}</form>'
        return pages.page(say, say("No more mails of this kind?"), content)

    @app.post("/unsubscribe", name="unsubscribed")
    @pages.takes_form
    async def confirm(request: Request) -> HTTPResponse:
        here, say, form = services.of(request), languages.of(request), request.form
        # A mail program sends the link as it is, and says what it wants in the body; a browser sends our own form.
        token = unsubscribing.read(str(request.args.get("token") or (form.get("token", "") if form else "")))
        if token is None:
            return _invalid(say)
        async with here.transaction(token.ledger_id) as connection:
            if not await unsubscribing.unsubscribe(connection, token, here.settings.keys):
                return _invalid(say)
        done = say("You get no more of these mails. In your settings you can have them again.")
        return pages.page(say, say("Done"), pages.paragraph(done))


def _what(say: languages.Language, kind: reminders.Kind) -> str:
    text = _WHAT[kind]
    return say(text)


def _invalid(say: languages.Language) -> HTTPResponse:
    what = say("The account is gone, or the link is not whole.")
    return pages.page(say, say("This link is not valid any more"), pages.paragraph(what), status=400)
