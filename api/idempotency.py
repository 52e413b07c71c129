"""Idempotency-Key: a write that is sent again under the same key is answered as the first time."""

from typing import Any
from uuid import UUID

from sanic import Request

from api import body, problems
from api.auth import Caller
from api.services import Services
from domain import errors, ids
from domain.facts import Unreadable
from storage.ledgers import Push


def key(request: Request) -> UUID | None:
    """The event id that the client chose. Raises errors.Invalid."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise errors.Invalid("Idempotency-Key is not a UUID") from error


def content(request: Request, members: Any) -> dict[str, Any]:
    """What a retry must repeat; `members` is the body as JSON values."""
    return {"method": request.method, "path": request.path.lower(), "body": members}


async def refusal(here: Services, who: Caller, request: Request, event_id: UUID, unfit: errors.Invalid) -> errors.DomainError:
    """The answer to a body that is `unfit`; under `event_id`, the request's key, it is remembered that this body was refused.

    The answer to another body under that key is errors.IdReused. Raises errors.Invalid for what is no JSON: it has no content
    that a retry could repeat.
    """
    members = body.decode_bytes(request.body, Any)
    item = Unreadable(ids.text(event_id), unfit, request.body.decode(), content(request, members))
    receipt = await here.writer.submit(Push(ids.text(who.ledger_id), [item], who.defaults))
    return problems.rejected(receipt.outcomes[0])
