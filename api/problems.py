"""The only table from error to status, and problem+json (RFC 9457) for every one of them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET
from sanic import HTTPResponse

from domain import errors
from domain.errors import FieldError
from domain.sequence import Outcome


@dataclass(frozen=True)
class Kind:
    """A problem's status and its title for people."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    "invalid": Kind(400, "The request is not valid"),
    "invalid_backup": Kind(400, "The backup cannot be read"),
    "unsupported_version": Kind(400, "This server does not know that version"),
    "unauthorized": Kind(401, "Sign in first"),
    "invalid_credentials": Kind(401, "The address or the password is wrong"),
    "invalid_token": Kind(401, "The token is not valid"),
    "bad_signature": Kind(403, "The signature is not good"),
    "foreign_origin": Kind(403, "This page may not do that"),
    "scope": Kind(403, "This token may not do that"),
    "signup_closed": Kind(403, "This server takes no new users"),
    "invalid_invite": Kind(403, "The invitation is not valid"),
    "not_found": Kind(404, "There is nothing here"),
    "unknown_aggregate": Kind(409, "It points to something that is not there"),
    "ledger_gone": Kind(404, "This ledger does not exist any more"),
    "method_not_allowed": Kind(405, "The method does not fit the resource"),
    "too_slow": Kind(408, "The request came too slowly"),
    "already_exists": Kind(409, "The id is taken"),
    "unknown_contact": Kind(409, "There is no such contact"),
    "dependency_failed": Kind(409, "Something that this needs was rejected"),
    "balance_out_of_range": Kind(409, "The balance would become too large"),
    "repays_mismatch": Kind(409, "That cannot be repaid"),
    "unknown_event": Kind(409, "There is no such event"),
    "wrong_aggregate": Kind(409, "The event is about something else"),
    "undo_of_undo": Kind(409, "An undo cannot be undone"),
    "already_undone": Kind(409, "It has been undone before"),
    "undo_superseded": Kind(409, "Something later changed the same"),
    "has_dependants": Kind(409, "It is in use"),
    "unknown_conflict": Kind(409, "There is no such conflict"),
    "already_resolved": Kind(409, "The conflict has been settled before"),
    "ledger_not_empty": Kind(409, "The ledger has events already"),
    "edit": Kind(409, "Another device changed the same"),
    "edit_of_deleted": Kind(409, "It has been deleted"),
    "delete_vs_edit": Kind(409, "Another device changed what was to be deleted"),
    "delete_vs_new": Kind(409, "Another device added something to what was to be deleted"),
    "reset": Kind(409, "The device knows another history; start over"),
    "email_taken": Kind(409, "This address has an account"),
    "too_many_tokens": Kind(409, "There are too many personal tokens"),
    "too_late": Kind(409, "It is too late for that"),
    "stale": Kind(412, "The resource has changed since"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body is of a type that is not read here"),
    "id_reused": Kind(422, "The id belongs to something else"),
    "currency_precision": Kind(422, "The currency has fewer decimals than the amounts"),
    "rate_limited": Kind(429, "Not so often"),
    "internal": Kind(500, "Something went wrong here"),
    "too_many_changes": Kind(503, "Too much at once; try again in a moment"),
    "unavailable": Kind(503, "Try again in a moment"),
}
"""Every code that a problem can have; /docs/problems/<code> explains each."""

RETRY_AFTER_SECONDS = 1


class NotFound(errors.DomainError):
    """There is no such resource, or it is another user's."""

    code = "not_found"


class Unauthorized(errors.DomainError):
    """No token came with the request, or one that is not good."""

    code = "unauthorized"


class InvalidCredentials(errors.DomainError):
    """No user has this address and password."""

    code = "invalid_credentials"


class InvalidToken(errors.DomainError):
    """The token is unknown, expired, revoked or used up."""

    code = "invalid_token"


class BadSignature(errors.DomainError):
    """What came is not signed by whom it should be, or was signed too long ago."""

    code = "bad_signature"


class TooLate(errors.DomainError):
    """The account is being erased."""

    code = "too_late"


class ForeignOrigin(errors.DomainError):
    """The request comes from a page of somewhere else, which the operator has not allowed."""

    code = "foreign_origin"


class OutOfScope(errors.DomainError):
    """A personal token does not reach so far: one to read does not write, and none does what needs a signed-in device."""

    code = "scope"


class SignupClosed(errors.DomainError):
    """The operator registers users."""

    code = "signup_closed"


class InvalidInvite(errors.DomainError):
    """The invitation is unknown, expired or used, or it is for another address."""

    code = "invalid_invite"


class RateLimited(errors.DomainError):
    """The user, or the address, has asked too often; wait for as long as Retry-After says."""

    code = "rate_limited"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class TooLarge(errors.DomainError):
    """The body exceeds its limit."""

    code = "too_large"


class UnsupportedMediaType(errors.DomainError):
    """The body's content type is not the one that is read here."""

    code = "unsupported_media_type"


class Unavailable(errors.DomainError):
    """Postgres, the pool or the queue has no room for this now; nothing is known to have been stored."""

    code = "unavailable"


class CommandConflict(errors.DomainError):
    """A REST write that the log keeps as a conflict; `fact` is its JSON, `version` that of the ledger with it."""

    code = "conflict"

    def __init__(self, kind: str, fact: bytes, version: int) -> None:
        super().__init__("another device came first; both values are kept")
        self.kind = kind
        self.fact = fact
        self.version = version


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every error."""

    media_type: ClassVar[str] = "application/problem+json"
    type: str
    title: str
    status: int
    code: str
    request_id: str
    detail: str | None = None
    errors: tuple[FieldError, ...] = ()
    current: int | None = None
    common_version: int | None = None
    conflict: msgspec.Raw | None = None


def rejected(outcome: Outcome) -> errors.DomainError:
    """The error that an outcome stands for."""
    found = outcome.errors or ()
    detail = outcome.detail or "rejected"
    if outcome.current is not UNSET:
        return errors.Stale(outcome.current)
    for kind in errors.Rejected.__subclasses__():
        if kind.code == outcome.code:
            return kind(detail, errors=found)
    raise AssertionError(f"no error has the code {outcome.code}")


def respond(error: errors.DomainError, request_id: str) -> HTTPResponse:
    """The response for `error`."""
    code = error.kind if isinstance(error, CommandConflict) else error.code
    problem = describe(code, request_id, detail=error.detail, found=error.errors)
    match error:
        case errors.Stale():
            problem.current = error.current
        case errors.Reset():
            problem.common_version = error.common_version
        case RateLimited():
            wait = str(error.retry_after_seconds)  # one more then; where there is an allowance, api.limits says how much
            told = {"RateLimit-Limit": "1", "RateLimit-Remaining": "0", "RateLimit-Reset": wait}
            return encode(problem, {"Retry-After": wait, **told})
        case CommandConflict():
            problem.conflict = msgspec.Raw(error.fact)
            return encode(problem, {"X-Ledger-Version": str(error.version)})
        case errors.UnknownAggregate() if not error.errors:
            problem.status = 404  # it is the resource of the path that is not there; elsewhere a pointer says which member
    return encode(problem)


def describe(code: str, request_id: str, *, detail: str | None = None, found: tuple[FieldError, ...] = ()) -> Problem:
    """The problem of a code in KINDS."""
    kind = KINDS[code]
    return Problem(f"/docs/problems/{code}", kind.title, kind.status, code, request_id, detail, found)


def encode(problem: Problem, headers: dict[str, Any] | None = None) -> HTTPResponse:
    """A problem as a response; a 503 says when to come back, a 401 how to sign in."""
    found = dict(headers or {})
    if problem.status == 503:
        found["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if problem.status == 401:
        found["WWW-Authenticate"] = "Bearer"
    body = msgspec.json.encode(problem)
    return HTTPResponse(body, status=problem.status, headers=found, content_type=Problem.media_type)


def explain(code: str) -> str:
    """What the code means, from the class that carries it; for a code without one, its title."""
    for kind in _classes(errors.DomainError):
        if getattr(kind, "code", None) == code and kind.__doc__:
            return kind.__doc__.splitlines()[0]
    return KINDS[code].title


def _classes(base: type[errors.DomainError]) -> list[type[errors.DomainError]]:
    return [found for child in base.__subclasses__() for found in (child, *_classes(child))]
