"""What must hold of an aggregate as a whole, beyond the types of its single fields."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from domain import errors, facts, money, recurrence, zones

PRIVATE = frozenset({"phone", "email"})
"""Fields of a contact that are worth hiding: facts that hold one carry a salt."""


def check_whole(aggregate_type: facts.AggregateType, fields: dict[str, Any]) -> None:
    """Raises errors.Invalid with everything that is wrong with `fields` (every name of the aggregate, null as None)."""
    if found := problems(aggregate_type, fields):
        raise errors.Invalid("the members do not fit together", errors=found)


def check_offered(aggregate_type: facts.AggregateType, fields: dict[str, Any], offered: Mapping[str, Any]) -> None:
    """Raises errors.Invalid where a member of `offered` could never be valid, whatever the others are.

    `fields` has every name of the aggregate, with what is offered.
    """
    alone = () if offered.get("currency") is None else _currency(fields)
    if not offered.keys().isdisjoint(facts.SCHEDULE):
        alone = (error for error in _reminder(fields) if error.pointer[1:] in offered)
    if found := tuple(alone):
        raise errors.Invalid("a member does not fit", errors=found)


def problems(aggregate_type: facts.AggregateType, fields: dict[str, Any]) -> tuple[errors.FieldError, ...]:
    """Everything that is wrong with `fields`."""
    return tuple(_CHECKS[aggregate_type](fields))


def is_private(aggregate_type: facts.AggregateType, said: Iterable[Mapping[str, Any]], changes: list[facts.Change]) -> bool:
    """Whether a fact that says this of its aggregate, and makes these changes, holds a contact's phone number or address."""
    if aggregate_type == "contact" and not all(PRIVATE.isdisjoint(members) for members in said):
        return True
    return any(change.aggregate_type == "contact" and not PRIVATE.isdisjoint(change.fields) for change in changes)


def _contact(fields: dict[str, Any]) -> Iterator[errors.FieldError]:
    if fields["name"] is None:
        yield errors.FieldError("/name", "a contact has a name")


def _transaction(fields: dict[str, Any]) -> Iterator[errors.FieldError]:
    if fields["amount"] is None:
        yield errors.FieldError("/amount", "required")
    if fields["type"] == "money":
        yield from _money(fields)
        return
    if fields["item"] is None:
        yield errors.FieldError("/item", "an item says what it is")
    if fields["currency"] is not None:
        yield errors.FieldError("/currency", "an item has no currency")
    if fields["repays"] is not None:
        yield errors.FieldError("/repays", "an item repays nothing")


def _money(fields: dict[str, Any]) -> Iterator[errors.FieldError]:
    yield from _currency(fields)
    if fields["item"] is not None:
        yield errors.FieldError("/item", "money is no item")
    if fields["returned_at"] is not None:
        yield errors.FieldError("/returned_at", "only an item is returned; money is repaid")


def _currency(fields: dict[str, Any]) -> Iterator[errors.FieldError]:
    if fields["currency"] not in money.CURRENCIES:
        yield errors.FieldError("/currency", "not an ISO 4217 currency")


def _reminder(fields: dict[str, Any]) -> Iterator[errors.FieldError]:
    if not zones.is_zone(fields["time_zone"]):
        yield errors.FieldError("/time_zone", "not an IANA time zone")
    elif fields["repeat"] is not None and (reason := _wrong_with_rule(fields)) is not None:
        yield errors.FieldError("/repeat", reason)
    if len(set(fields["channels"])) != len(fields["channels"]):
        yield errors.FieldError("/channels", "a channel stands there twice")


def _wrong_with_rule(fields: dict[str, Any]) -> str | None:
    try:
        start = facts.parse_time(fields["remind_at"]).astimezone(zones.zone(fields["time_zone"]))
    except OverflowError:
        return "remind_at lies at the end of the calendar, where nothing repeats"
    try:
        recurrence.check(fields["repeat"], start)
    except ValueError as error:
        return str(error)
    return None


_CHECKS = {"contact": _contact, "transaction": _transaction, "reminder": _reminder}
