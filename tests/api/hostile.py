"""Bodies that are right, for every route that reads one, and all the ways in which they can be wrong."""

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw

from api.app import ROUTES
from api.import_json import File
from api.routing import Route
from tests.api.test_sync import event

ID = "01931a2b-0000-7000-8000-00000000000a"
GIVEN: dict[str, Any] = {
    "email": "mallory@example.org",
    "locale": "en",
    "time_zone": "UTC",
    "currency": "EUR",
    "default_currency": "EUR",
    "local_time": "09:00",
    "from": "22:00",
    "value": "of-a-device",
    "to": "07:00",
    "hash": "0" * 64,
    "base_hash": "0" * 64,
    "expires_at": (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)).isoformat(),
    "due_offsets_days": [-1, 0],
    "events": [event("contact", "CREATED", {"name": "Ana"})],
}
"""Members whose type does not say what fits."""
SECRETS = ("password", "current_password", "new_password", "token", "refresh_token")
"""They are only compared or hashed: any text is as good as another."""


def bodies() -> list[tuple[Route, dict[str, Any]]]:
    """Every route that reads JSON, with a body in which each member that there is stands."""
    decoded = [(route, _filled(route.body)) for route in ROUTES if route.body is not None]
    streamed = [(route, {"format": "debitum-export", "version": 1, "events": []}) for route in ROUTES if _streams_json(route)]
    assert set(File.__struct_fields__) == set(streamed[0][1])
    return decoded + streamed


def _streams_json(route: Route) -> bool:
    return route.streams == "application/json"


def _filled(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.encode_name: GIVEN[field.encode_name] if field.encode_name in GIVEN else _value(field.type)
        for field in msgspec.structs.fields(shape)
    }


def _value(kind: Any) -> Any:
    if get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        return _value(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _value(next(one for one in get_args(kind) if one not in (type(None), type(UNSET), msgspec.UnsetType)))
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) in (list, tuple):
        return [_value(get_args(kind)[0])]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _filled(kind)
    plain = {str: "a text of some length", int: 7, bool: False, UUID: ID, Raw: {}}
    return {**plain, datetime.datetime: "2099-01-02T03:04:05Z", datetime.date: "2026-01-02"}[kind]


@dataclass(frozen=True)
class Damage:
    """JSON text in the place of a member; `pointed`: whether the answer can say where (what is no JSON has no members).

    `everywhere`: in the place of each member, not only of one a route.
    """

    text: str
    pointed: bool = True
    everywhere: bool = False
    fits: Callable[[str, Any], bool] = lambda name, value: False
    """The members, by name and value, for which this is no damage."""


def _has_zero(name: str, value: Any) -> bool:
    return name in ("since", "base_seq")


VALUES = {
    "NaN": Damage("NaN", pointed=False),
    "Infinity": Damage("-Infinity", pointed=False),
    "1e400": Damage("1e400"),
    "beyond int64": Damage("9223372036854775808", everywhere=True),
    "beyond every integer": Damage("1" + "0" * 400),
    "a fraction": Damage("1.0"),
    "a negative zero": Damage("-0", fits=_has_zero),
    "a NUL": Damage('"a\\u0000b"', everywhere=True, fits=lambda name, value: name in SECRETS),
    "a lone surrogate": Damage('"\\ud800"', pointed=False),
    "no escape": Damage('"\\x41"', pointed=False),
    "a line break in a text": Damage('"a\nb"', pointed=False),
    "an object": Damage("{}", fits=lambda name, value: isinstance(value, dict)),
    "a list in a list": Damage("[[]]"),
    "true": Damage("true", fits=lambda name, value: isinstance(value, bool)),
    "a very long text": Damage(json.dumps("x" * 5_000)),
    "2,000 lists": Damage("[" * 2_000 + "]" * 2_000, pointed=False),
    "2,000 objects": Damage('{"a":' * 2_000 + "1" + "}" * 2_000, pointed=False),
    "2,000 lists that never end": Damage("[" * 2_000, pointed=False),
}

WHOLE = {
    "nothing": b"",
    "blanks": b" \n",
    "a mark of the byte order": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "not UTF-8": b'{"\xff": 1}',
    "a null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"-0",
    "two documents": b"{} {}",
    "a comma too many": b'{"a": 1,}',
    "a comment": b"{/**/}",
    "single quotes": b"{'a': 1}",
    "no end": b'{"a": ',
    "a NUL": b"\x00",
    "a form": b"name=Ana",
}


def damaged(body: dict[str, Any], name: str, text: str) -> bytes:
    """`body` with `text` in the place of the member `name`."""
    mark = "the place of the damage"
    return json.dumps(body | {name: mark}).replace(json.dumps(mark), text).encode()


def doubled(body: dict[str, Any], name: str) -> bytes:
    """`body` with the member `name` twice, the second time in another spelling of the same name."""
    return f'{json.dumps(body)[:-1]}, "\\u{ord(name[0]):04x}{name[1:]}": {json.dumps(body[name])}}}'.encode()
