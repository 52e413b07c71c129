"""What a backup of the Debitum Android app means here: each of its rows becomes one CREATED event."""

import datetime
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from domain import errors, facts, money

EVENTS: Final = uuid.UUID("b12377e6-5ec1-4539-b4ea-072be007d660")
"""Namespace of event ids. Like the next one never to be changed: a backup imported before would come in a second time."""
AGGREGATES: Final = uuid.UUID("19c563a6-92ee-4f5b-8399-05a0946193fa")
"""Namespace of the ids of contacts and transactions."""
NO_NAME: Final = "(no name)"
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

Value = TypeVar("Value")


class BadBackup(errors.DomainError):
    """The file is no backup of the app that can be read, or holds something that has no place here."""

    code = "invalid_backup"


class Person(Struct, frozen=True):
    """A row of the app's table `person`; what links it to the phone's address book is left out."""

    id_person: int
    name: str | None
    note: str | None


class Txn(Struct, frozen=True):
    """A row of the app's table `txn`.

    `amount` is positive when the user OWES it, in units of 10**-decimals, or a number of things where is_monetary is 0;
    times are milliseconds since 1970, UTC.
    """

    id_transaction: int
    amount: int
    id_person: int
    description: str | None
    is_monetary: int
    timestamp: int | None
    timestamp_returned: int | None


class Backup(Struct, frozen=True):
    """What a backup holds; `decimals` from the app's preferences, `images` counted only."""

    people: tuple[Person, ...]
    transactions: tuple[Txn, ...]
    images: int
    decimals: int


class Skipped(Struct, frozen=True):
    """Rows that were not taken over: of what, how many, and why."""

    what: str
    count: int
    reason: str


class Import(Struct, frozen=True):
    """A backup as commands: contacts first, then transactions, each in the order of their row ids."""

    commands: tuple[facts.Command, ...]
    skipped: tuple[Skipped, ...]


def translate(backup: Backup, currency: money.Currency, today: datetime.date) -> Import:
    """The commands that say what `backup` says; its money is in `currency`, what has no time happened `today`.

    Event ids and aggregate ids follow from a row's table, id and content alone, so that the same row is the same event
    whatever the currency, the app's settings or the day. Raises BadBackup with pointers like /txn/17/amount, and
    money.CurrencyPrecision where an amount has digits that the currency has not.
    """
    contacts: dict[int, str] = {}
    commands = []
    for person in sorted(backup.people, key=lambda person: person.id_person):
        command = _contact(person)
        if person.id_person in contacts:
            raise bad(f"/person/{person.id_person}", "this id is there twice")
        contacts[person.id_person] = command.aggregate_id
        commands.append(command)
    rows = _distinct(row for row in backup.transactions if row.amount != 0)
    commands += [_transaction(row, contacts, backup.decimals, currency, today) for row in rows]
    _check_balances(commands)
    return Import(tuple(commands), tuple(_skipped(backup)))


def _skipped(backup: Backup) -> Iterator[Skipped]:
    if backup.images:
        yield Skipped("images", backup.images, "images are not kept")
    if empty := sum(row.amount == 0 for row in backup.transactions):
        yield Skipped("transactions", empty, "the amount is 0")
    money_back = (row for row in backup.transactions if row.is_monetary and row.timestamp_returned is not None)
    if returned := sum(row.amount != 0 for row in money_back):
        yield Skipped("returned dates", returned, "money is repaid, only things are returned")


def _distinct(rows: Iterable[Txn]) -> list[Txn]:
    by_id: dict[int, Txn] = {}
    for row in rows:
        if by_id.setdefault(row.id_transaction, row) is not row:
            raise bad(f"/txn/{row.id_transaction}", "this id is there twice")
    return [by_id[row_id] for row_id in sorted(by_id)]


def _contact(row: Person) -> facts.Command:
    at = f"/person/{row.id_person}"
    name = _text(f"{at}/name", row.name)
    note = _text(f"{at}/note", row.note)
    payload = facts.ContactCreated(
        name=_checked(f"{at}/name", NO_NAME if name is None else name, facts.Name),
        notes=UNSET if note is None else _checked(f"{at}/note", note, facts.Text),
    )
    return _command("contact", "person", row.id_person, [row.name, row.note], payload)


def _transaction(
    row: Txn, contacts: dict[int, str], decimals: int, currency: money.Currency, today: datetime.date
) -> facts.Command:
    at = f"/txn/{row.id_transaction}"
    if row.id_person not in contacts:
        raise bad(f"{at}/id_person", f"there is no person {row.id_person}")
    given = None if row.timestamp is None else _moment(f"{at}/timestamp", row.timestamp)
    payload = facts.TransactionCreated(
        contact_id=uuid.UUID(contacts[row.id_person]),
        direction="owed" if row.amount > 0 else "lent",
        transaction_date=today if given is None else given.date(),
        **_thing(at, row) if row.is_monetary == 0 else _money(at, row, decimals, currency),
    )
    content = [row.amount, row.id_person, row.description, row.is_monetary, row.timestamp, row.timestamp_returned]
    return _command("transaction", "txn", row.id_transaction, content, payload)


def _money(at: str, row: Txn, decimals: int, currency: money.Currency) -> dict[str, Any]:
    if row.is_monetary != 1:
        raise bad(f"{at}/is_monetary", "neither 0 nor 1")
    try:
        amount = money.scale(abs(row.amount), decimals, currency)
    except money.CurrencyPrecision as error:
        raise money.CurrencyPrecision(error.detail, errors=(errors.FieldError(f"{at}/amount", error.detail),)) from error
    described = _text(f"{at}/description", row.description)
    return {
        "type": "money",
        "amount": _checked(f"{at}/amount", amount, facts.Amount),
        "currency": currency.code,
        "description": UNSET if described is None else _checked(f"{at}/description", described, facts.Text),
    }


def _thing(at: str, row: Txn) -> dict[str, Any]:
    described = _text(f"{at}/description", row.description)
    back = row.timestamp_returned
    return {
        "type": "item",
        "amount": _checked(f"{at}/amount", abs(row.amount), facts.Amount),
        "item": _checked(f"{at}/description", NO_NAME if described is None else described, facts.Item),
        "returned_at": UNSET if back is None else _moment(f"{at}/timestamp_returned", back),
    }


def _command(
    aggregate_type: facts.AggregateType, table: str, row_id: int, content: list[Any], payload: facts.Payload
) -> facts.Command:
    identity = msgspec.json.encode([table, row_id, *content]).decode()
    return facts.Command(
        id=str(uuid.uuid5(EVENTS, identity)),
        aggregate_type=aggregate_type,
        aggregate_id=str(uuid.uuid5(AGGREGATES, identity)),
        event_type="CREATED",
        payload=payload,
        event_data=facts.plain(payload),
        # The row, not what it became: with another currency or on another day it is still the same command.
        fingerprinted={"backup": [table, row_id, *content]},
        remembered=False,  # nobody can give the row another id: when what stood in its way is gone, it may come in
    )


def _check_balances(commands: Iterable[facts.Command]) -> None:
    """A backup whose sums no client could hold is refused as a whole, not where the sum overflows half-way."""
    balances: dict[uuid.UUID, int] = {}
    for command in commands:
        payload = command.payload
        if not isinstance(payload, facts.TransactionCreated) or payload.type != "money":
            continue
        assert payload.amount is not UNSET
        balance = balances.get(payload.contact_id, 0) + (payload.amount if payload.direction == "lent" else -payload.amount)
        if abs(balance) > money.MAX_AMOUNT:
            row_id = command.fingerprinted["backup"][1]
            raise bad(f"/txn/{row_id}/amount", "with this amount the balance is larger than can be held")
        balances[payload.contact_id] = balance


def _text(pointer: str, value: str | None) -> str | None:
    """None also for what is blank."""
    if value is None or not value.strip().strip("\ufeff"):
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise bad(pointer, "holds half of a character") from error
    return value


def _moment(pointer: str, milliseconds: int) -> datetime.datetime:
    try:
        return _EPOCH + datetime.timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise bad(pointer, "the time lies outside of the years 1 to 9999") from error


def _checked(pointer: str, value: Value, kind: Any) -> Value:
    """`value`, if it keeps the limits that commands of every origin keep."""
    try:
        msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise bad(pointer, str(error)) from error
    return value


def bad(pointer: str, detail: str) -> BadBackup:
    """What is wrong with one row, or with its column at `pointer`."""
    return BadBackup(f"the backup cannot be imported: {pointer}: {detail}", errors=(errors.FieldError(pointer, detail),))
