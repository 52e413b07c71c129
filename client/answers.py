"""The shapes of our server's answers. Anything else is from whoever answers in its place, like a network's sign-in page."""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any

Shape = Callable[[Any], bool]
"""Whether a value has it."""


def _is(*kinds: type) -> Shape:
    return lambda value: isinstance(value, kinds)


def _has(**members: Shape) -> Shape:
    return lambda value: isinstance(value, dict) and all(fits(value.get(name)) for name, fits in members.items())


def _list_of(fits: Shape) -> Shape:
    return lambda value: isinstance(value, list) and all(map(fits, value))


is_head = _has(version=_is(int), hash=_is(str, NoneType))
"""{version, hash}."""

_holds_page = _has(events=_list_of(_has(seq=_is(int), hash=_is(str))), has_more=_is(bool))
_holds_outcomes = _has(results=_list_of(_has(id=_is(str), status=_is(str))))

is_session = _has(ledger_id=_is(str), user=_is(dict), access_token=_is(str), refresh_token=_is(str), expires_in=_is(int, float))
"""Tokens, and whose they are."""

_has_type = _has(type=_is(str), code=_is(str))


def is_page(value: Any) -> bool:
    """Facts, and the head. A page that has more behind it is not empty, or to ask on would never end."""
    return is_head(value) and _holds_page(value) and (bool(value["events"]) or not value["has_more"])


def are_outcomes_of(events: Iterable[Mapping[str, Any]]) -> Shape:
    """One outcome for each of `events`: what has none would be sent again at once, without end."""
    sent = {event["id"] for event in events}
    return lambda value: _holds_outcomes(value) and sent <= {outcome["id"] for outcome in value["results"]}


def is_first_screen(value: Any) -> bool:
    """The head, and resources."""
    return isinstance(value, list) and is_head(next(iter(value), None)) and all(_is(dict)(line) for line in value)


def is_problem(value: Any) -> bool:
    """A problem (RFC 9457) as ours are."""
    return _has_type(value) and value["type"] == f"/docs/problems/{value['code']}"
