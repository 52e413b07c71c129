"""What SendGrid reports of mails that it took: which came back, and who complained. It is believed only where it is signed."""

import base64
import binascii
import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Meta, Struct
from sanic import HTTPResponse, Request, Sanic
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from api import body, problems, services
from domain import addresses
from storage import suppressions

OLDEST: Final = datetime.timedelta(minutes=10)
"""How old a delivery may be that is signed: whoever has recorded one cannot replay it tomorrow."""
_LARGEST_TIMESTAMP: Final = 253_402_300_799
_STORABLE: Final = r"^[^\x00]*$"
"""No NUL, which Postgres stores in no text."""


class Event(Struct, frozen=True):
    """One event of SendGrid's; it has many more members and kinds."""

    sg_event_id: Annotated[str, Meta(min_length=1, max_length=200, pattern=_STORABLE)]
    event: str
    email: Annotated[str, Meta(max_length=1_000, pattern=_STORABLE)] = ""
    """Empty where the event is about our account at SendGrid and not about a mail."""
    type: str = ""
    """Of a bounce: `blocked` says that it may work another time."""
    reason: str = ""


def install(app: "Sanic[Any, Any]", public_key: str) -> None:
    """Serve /webhooks/sendgrid where there is a key to check signatures by."""
    if not public_key:
        return
    webhook = EventWebhook(public_key)

    @app.post("/webhooks/sendgrid", name="sendgrid_webhook", ctx_admit=_admit)
    async def receive(request: Request) -> HTTPResponse:
        _check_signature(webhook, request)
        reports = _reports(body.decode(request, list[dict[str, Any]]))
        async with services.of(request).transaction() as connection:
            await suppressions.take(connection, reports, now=services.now())
        return HTTPResponse(None, status=204)


async def _admit(request: Request) -> None:
    """Deliveries may be large, and what is signed is all of one: before that only its time can be looked at."""
    _check_time(request)


def _check_signature(webhook: EventWebhook, request: Request) -> None:
    """Raises problems.BadSignature. The library checks no age, and fails where the body is no text."""
    signature = request.headers.get(EventWebhookHeader.SIGNATURE, "")
    timestamp = request.headers.get(EventWebhookHeader.TIMESTAMP, "")
    try:
        base64.b64decode(signature, validate=True)
        signed = webhook.verify_signature(request.body.decode("utf-8"), signature, timestamp)
    except (InvalidSignature, UnicodeError, binascii.Error, ValueError):
        signed = False
    if not signed:
        raise problems.BadSignature("this is not signed by SendGrid")
    _check_time(request)


def _check_time(request: Request) -> None:
    """Raises problems.BadSignature."""
    timestamp = request.headers.get(EventWebhookHeader.TIMESTAMP, "")
    if not timestamp.isascii() or not timestamp.isdecimal() or int(timestamp) > _LARGEST_TIMESTAMP:
        raise problems.BadSignature("this is not signed by SendGrid")
    at = datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC)
    if abs(services.now() - at) > OLDEST:
        raise problems.BadSignature("this was signed too long ago")


def _reports(told: list[dict[str, Any]]) -> list[suppressions.Report]:
    """What lasts of a delivery. Unreadable events beside it are passed over, or SendGrid would send the whole delivery again.

    Raises errors.Invalid where not one event of it is readable.
    """
    found: list[Event] = []
    unread: list[msgspec.ValidationError] = []
    for members in told:
        try:
            found.append(msgspec.convert(members, Event))
        except msgspec.ValidationError as error:
            unread.append(error)
    if unread and not found:
        raise body.invalid(unread[0])
    return [
        suppressions.Report(event.sg_event_id, addresses.canonical(event.email), kind)
        for event in found
        if (kind := _kind(event))
    ]


def _kind(event: Event) -> Literal["bounced", "complained"] | None:
    """What an event says of the address; None: nothing that lasts."""
    reason = event.reason.lower()
    match event.event:
        case "bounce":
            return None if event.type == "blocked" else "bounced"
        case "spamreport":
            return "complained"
        case "dropped" if "bounce" in reason or "invalid" in reason:
            return "bounced"
        case "dropped" if "spam" in reason:
            return "complained"
    return None
