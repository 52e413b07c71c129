"""Bodies and parameters: bytes in, typed structs out, or a problem that points to the member."""

import re
from typing import Any, TypeVar

import msgspec
from sanic import Request

from api import problems
from domain import errors

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
"""Of every body but an import's."""
_MISSING_OR_UNKNOWN = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_AT = re.compile(r" - at `(key in )?\$?(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def decode(request: Request, shape: type[T]) -> T:
    """The JSON body of `request` as `shape`. Raises problems.UnsupportedMediaType, errors.Invalid."""
    check_media_type(request, "application/json")
    return decode_bytes(request.body, shape)


def decode_bytes(data: bytes, shape: type[T]) -> T:
    """JSON as `shape`. Raises errors.Invalid with a pointer to the first member that does not fit."""
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.Invalid("the body is not JSON in UTF-8") from error
    except RecursionError as error:
        raise errors.Invalid("the body is nested too deeply") from error


def check_media_type(request: Request, *allowed: str) -> None:
    """Raises problems.UnsupportedMediaType unless the body is of one of `allowed`, and in UTF-8."""
    media_type, _, parameters = (request.headers.get("content-type") or "").partition(";")
    charset = re.search(r"charset=\"?([^\";\s]+)", parameters, re.IGNORECASE)
    if media_type.strip().lower() not in allowed or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        raise problems.UnsupportedMediaType(f"send {' or '.join(allowed)} in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise problems.UnsupportedMediaType("send the body without a content encoding")


def parameters(request: Request, shape: type[T]) -> T:
    """The query string as `shape`. Raises errors.Invalid; a parameter that stands there twice is one too many."""
    given: dict[str, Any] = {}
    for name, values in request.get_args(keep_blank_values=True).items():
        if len(values) > 1:
            raise errors.Invalid("a parameter stands there twice", errors=(errors.FieldError(f"/{name}", "given twice"),))
        given[name] = values[0]
    try:
        return msgspec.convert(given, type=shape, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def invalid(error: msgspec.ValidationError) -> errors.Invalid:
    """Msgspec's message as our error, with a JSON pointer."""
    text = str(error).replace("\x00", "\ufffd")  # it may quote the name of a member, and Postgres stores no NUL
    found = _AT.search(text)
    pointer = "".join(f"/{step[1] or step[2]}" for step in _STEP.finditer(found[2])) if found else ""
    detail = text[: found.start()] if found else text
    if (named := _MISSING_OR_UNKNOWN.match(detail)) is not None:
        pointer += f"/{named[2]}"
        detail = "required" if named[1] == "missing required" else "unknown member"
    return errors.Invalid("a member does not fit", errors=(errors.FieldError(pointer, detail),))
