"""Bodies and parameters: bytes in, typed structs out, or a problem that points to the member."""

import functools
import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw
from sanic import Request

from api import problems
from domain import errors

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
"""Of every body but an import's."""
_MISSING_OR_UNKNOWN = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_AT: Final = " - at `"
"""What msgspec puts between its message and the place in the data."""
_QUOTED: Final = 200
"""Characters of what was sent that an answer repeats: a name, or a value that is none of those that it may be."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPED = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape sequence of JSON; `half`: a surrogate without its other half, which is no character."""
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def decode(request: Request, shape: type[T]) -> T:
    """The JSON body of `request` as `shape`. Raises problems.UnsupportedMediaType, errors.Invalid."""
    check_media_type(request, "application/json")
    has_raw = _has_raw(cast("Any", shape))
    data = _ESCAPED.sub(_readable, request.body) if has_raw and _SURROGATE.search(request.body) else request.body
    decoded = decode_bytes(data, shape)
    refuse_duplicates(data, nested=not has_raw)
    return decoded


def _readable(escaped: re.Match[bytes]) -> bytes:
    """A lone surrogate becomes NUL, which no text may have either: so only the item that holds it is refused."""
    return b"\\u0000" if escaped["half"] else escaped[0]


def decode_bytes(data: bytes, shape: type[T]) -> T:
    """JSON as `shape`. Raises errors.Invalid with a pointer to the first member that does not fit.

    Of a member that stands there twice the last one is taken: see `refuse_duplicates`.
    """
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.Invalid("the body is not JSON in UTF-8") from error
    except RecursionError as error:
        raise errors.Invalid("the body is nested too deeply") from error


class _DuplicateName(Exception):
    """An object has a member twice."""


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, also those of the same name."""


class _Name:
    """The name of a member that is equal to no other, so that msgspec's dicts keep every one."""

    def __init__(self, text: str) -> None:
        self.text = text


def _check_names(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) != len(members):
        raise _DuplicateName


_CHECKING: Final = json.JSONDecoder(object_pairs_hook=_check_names, parse_int=str, parse_float=str)
_KEEPING: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
_OUTERMOST: Final = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=lambda kind, text: kind(text))


def refuse_duplicates(data: bytes, *, nested: bool = True) -> None:
    """Raises errors.Invalid with a pointer where an object of `data`, which is JSON, has a member twice.

    Decoders disagree on which of the two holds (RFC 8259, 4), so that a proxy or a log could have read something else
    than we do. Not `nested`: only the outermost object is looked at, whose members are decoded one by one.
    """
    try:
        if not nested:
            names = [name.text for name in _OUTERMOST.decode(data)]
            if len(set(names)) != len(names):
                raise _duplicate(_Pairs((name, None) for name in names))
            return
        text = data.decode()
        try:
            _CHECKING.decode(text)
        except _DuplicateName:
            raise _duplicate(_KEEPING.decode(text)) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise errors.Invalid("the body is not JSON in UTF-8") from error
    except RecursionError as error:
        raise errors.Invalid("the body is nested too deeply") from error


def _duplicate(value: Any) -> errors.Invalid:
    return errors.Invalid.at(_first_duplicate(value), "stands there twice")


def _first_duplicate(value: Any) -> str:
    """The pointer to the first member of `value`, made of _Pairs, that stands there twice; empty: there is none."""
    seen: set[str] = set()
    members = value if isinstance(value, _Pairs) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        step = f"/{_escaped(str(name))}"
        if step in seen:
            return step
        seen.add(step)
        if inner := _first_duplicate(member):
            return step + inner
    return ""


def _escaped(name: str) -> str:
    """`name` as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


@functools.cache
def _has_raw(shape: Any) -> bool:
    """Whether a member of `shape` is left as raw JSON, for somebody who decodes it by itself."""
    return msgspec.inspect.RawType() in _kinds(msgspec.inspect.type_info(shape))


def _kinds(found: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    match found:
        case msgspec.inspect.StructType():
            return [kind for member in found.fields for kind in _kinds(member.type)]
        case msgspec.inspect.ListType():
            return _kinds(found.item_type)
        case _:
            return [found]


def check_media_type(request: Request, *allowed: str) -> None:
    """Raises problems.UnsupportedMediaType unless the body is of one of `allowed`, and in UTF-8."""
    if request.headers.get("content-type") in allowed and "content-encoding" not in request.headers:
        return  # as nearly everybody says it
    media_type, _, parameters = (request.headers.get("content-type") or "").partition(";")
    charset = re.search(r"charset=\"?([^\";\s]+)", parameters, re.IGNORECASE)
    if media_type.strip().lower() not in allowed or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        raise problems.UnsupportedMediaType(f"send {' or '.join(allowed)} in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise problems.UnsupportedMediaType("send the body without a content encoding")


def parameters(request: Request, shape: type[T]) -> T:
    """The query string as `shape`. Raises errors.Invalid; a parameter that stands there twice is one too many."""
    if not request.query_string:
        return cast("T", _without_parameters(cast("Any", shape)))
    given: dict[str, Any] = {}
    known = _parameters(cast("Any", shape))
    for name, values in request.get_args(keep_blank_values=True).items():
        if len(values) > 1:
            raise _unfit(name, "given twice")
        given[name] = known[name].read(values[0]) if name in known else values[0]
    return _parameters_of(given, shape)


@functools.cache
def _without_parameters(shape: Any) -> Any:
    """The parameters of most requests: one for all of them, since they are frozen."""
    return _parameters_of({}, shape)


def _parameters_of(given: dict[str, Any], shape: type[T]) -> T:
    try:
        return msgspec.convert(given, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def _unfit(name: str, detail: str) -> errors.Invalid:
    return errors.Invalid.at(f"/{_escaped(name)}", detail, whole="a parameter does not fit")


@dataclass(frozen=True)
class _Parameter:
    """How the text of a parameter is read: as JSON writes that value, and nothing else that could be meant by it."""

    name: str
    integer: bool
    boolean: bool
    choices: frozenset[str]
    """What JSON Schema says that it may be, where its Python type cannot; empty: anything."""

    def read(self, text: str) -> str | int | bool:
        """What is no value of the type stays text, so that msgspec says what is wrong with it."""
        if self.boolean and text in ("true", "false"):
            return text == "true"
        if self.integer and _INTEGER.fullmatch(text):
            return int(text)
        if self.choices and text not in self.choices:
            raise _unfit(self.name, "none of the values that it may have")
        return text


@functools.cache
def _parameters(shape: Any) -> dict[str, _Parameter]:
    found = msgspec.inspect.type_info(shape)
    assert isinstance(found, msgspec.inspect.StructType)
    return {member.encode_name: _parameter(member) for member in found.fields}


def _parameter(member: msgspec.inspect.Field) -> _Parameter:
    kinds = member.type.types if isinstance(member.type, msgspec.inspect.UnionType) else (member.type,)
    choices: list[str] = []
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.Metadata):
            choices += (kind.extra_json_schema or {}).get("enum", ())
    bare = [kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind for kind in kinds]
    integer = any(isinstance(kind, msgspec.inspect.IntType) for kind in bare)
    boolean = any(isinstance(kind, msgspec.inspect.BoolType) for kind in bare)
    return _Parameter(member.encode_name, integer, boolean, frozenset(choices))


def invalid(error: msgspec.ValidationError) -> errors.Invalid:
    """Msgspec's message as our error, with a JSON pointer."""
    # It may quote what was sent, of any length, and even with _AT in it: hence the last one, and nothing that backtracks.
    detail, _, place = str(error).replace("\x00", "\ufffd").rpartition(_AT)  # Postgres stores no NUL
    detail, place = (detail, place) if detail else (place, "")
    pointer = "".join(f"/{step[1] or step[2]}" for step in _STEP.finditer(place.removesuffix("`").removeprefix("key in ")))
    if (named := _MISSING_OR_UNKNOWN.match(detail)) is not None:
        pointer += f"/{_escaped(_shortened(named[2]))}"
        detail = "required" if named[1] == "missing required" else "unknown member"
    return errors.Invalid.at(pointer, _shortened(detail))


def _shortened(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
