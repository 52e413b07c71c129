"""The Android app's rows as commands: signs, units, dates, ids that never change, and what is refused."""

import datetime
from collections import Counter
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import backup, checks, errors, facts, money
from domain.backup import Backup, Person, Skipped, Txn

EUR, JPY, KWD = (money.CURRENCIES[code] for code in ("EUR", "JPY", "KWD"))
TODAY = datetime.date(2026, 11, 22)
ANA = Person(1, "Ana", "met at work")
LUNCH = Txn(7, -1250, 1, "lunch", 1, 1_500_000_000_000, None)
DRILL = Txn(8, 2, 1, "drill", 0, 1_500_000_000_000, 1_500_086_400_000)


def _translate(
    *rows: Txn, people: tuple[Person, ...] = (ANA,), decimals: int = 2, currency: money.Currency = EUR
) -> tuple[facts.Command, ...]:
    return backup.translate(Backup(people, rows, 0, decimals), currency, TODAY).commands


def _refusal(*rows: Txn, people: tuple[Person, ...] = (ANA,)) -> str:
    with pytest.raises(backup.BadBackup) as raised:
        _translate(*rows, people=people)
    return raised.value.errors[0].pointer


def test_a_row_becomes_one_created_event() -> None:
    contact, lunch, drill = _translate(LUNCH, DRILL)
    assert (contact.aggregate_type, contact.event_type, contact.base_seq, contact.timestamp) == ("contact", "CREATED", None, None)
    assert contact.event_data == {"name": "Ana", "notes": "met at work"}
    assert lunch.event_data == {
        "contact_id": contact.aggregate_id,
        "direction": "lent",
        "type": "money",
        "amount": 1250,
        "currency": "EUR",
        "description": "lunch",
        "transaction_date": "2017-07-14",
    }
    assert drill.event_data == {
        "contact_id": contact.aggregate_id,
        "direction": "owed",
        "type": "item",
        "amount": 2,
        "item": "drill",
        "transaction_date": "2017-07-14",
        "returned_at": "2017-07-15T02:40:00.000000Z",
    }


def test_event_data_is_what_the_payload_says() -> None:
    for command in _translate(LUNCH, DRILL):
        decoded = msgspec.convert(command.event_data, type=facts.PAYLOADS[command.aggregate_type, command.event_type])
        assert decoded == command.payload
        whole = dict.fromkeys(facts.FIELDS[command.aggregate_type]) | command.event_data
        checks.check_whole(command.aggregate_type, whole)


def test_the_ids_never_change() -> None:
    """Other ids would bring every backup that is already imported in a second time."""
    contact, lunch, drill = _translate(LUNCH, DRILL)
    assert (contact.id, contact.aggregate_id) == ("6017f6a6-0b57-5aaf-826e-4f0ae705037b", "066cb4fb-10bd-5179-b499-a15cc3a821be")
    assert (lunch.id, lunch.aggregate_id) == ("eb7bbcc4-5d74-514e-a0e8-f0cf1e871148", "0582c8b8-b24e-5f79-a349-2280ff1f4c50")
    assert (drill.id, drill.aggregate_id) == ("a228a97b-4ac5-5c1e-acfc-aa9ce4c2c1cc", "110a2091-22cd-550a-9268-bf3648956858")


def test_no_setting_is_in_the_ids_or_the_fingerprint() -> None:
    untimed = msgspec.structs.replace(LUNCH, amount=-1200, timestamp=None)
    first = _translate(untimed, decimals=2, currency=EUR)
    later = backup.translate(Backup((ANA,), (untimed,), 3, 0), JPY, TODAY + datetime.timedelta(9)).commands
    for one, other in zip(first, later, strict=True):
        assert (one.id, one.aggregate_id, one.fingerprinted) == (other.id, other.aggregate_id, other.fingerprinted)
    assert first[1].event_data != later[1].event_data


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1250},
        {"description": None},
        {"description": ""},
        {"timestamp": None},
        {"id_transaction": 8},
        {"is_monetary": 0},
        {"is_monetary": 0, "timestamp_returned": 5},
    ],
)
def test_another_row_is_another_event(changed: dict[str, Any]) -> None:
    other = msgspec.structs.replace(LUNCH, **changed)
    before, after = _translate(LUNCH)[1], _translate(other)[1]
    assert before.id != after.id
    assert before.aggregate_id != after.aggregate_id


def test_a_person_and_a_transaction_with_one_row_id_differ() -> None:
    commands = _translate(msgspec.structs.replace(LUNCH, id_transaction=1))
    assert len({command.id for command in commands} | {command.aggregate_id for command in commands}) == 4


def test_contacts_come_first_and_rows_in_the_order_of_their_ids() -> None:
    rows = (DRILL, LUNCH, msgspec.structs.replace(LUNCH, id_transaction=2, id_person=2))
    commands = _translate(*rows, people=(Person(2, "Bo", None), ANA))
    assert [command.fingerprinted["backup"][:2] for command in commands] == [
        ["person", 1],
        ["person", 2],
        ["txn", 2],
        ["txn", 7],
        ["txn", 8],
    ]


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_what_is_missing(blank: str | None) -> None:
    untold = msgspec.structs.replace(LUNCH, description=blank, timestamp=None)
    thing = msgspec.structs.replace(DRILL, description=blank, timestamp_returned=None)
    contact, lunch, drill = _translate(untold, thing, people=(Person(1, blank, blank),))
    assert contact.event_data == {"name": "(no name)"}
    assert "description" not in lunch.event_data
    assert lunch.event_data["transaction_date"] == "2026-11-22"
    assert drill.event_data["item"] == "(no name)"
    assert "returned_at" not in drill.event_data


def test_dates_are_utc() -> None:
    just_before = msgspec.structs.replace(LUNCH, timestamp=-1)
    assert _translate(just_before)[1].event_data["transaction_date"] == "1969-12-31"


@pytest.mark.parametrize(
    ("amount", "decimals", "currency", "expected"),
    [(-5, 0, EUR, 500), (5, 2, EUR, 5), (-1230, 3, EUR, 123), (700, 2, JPY, 7), (7, 0, JPY, 7), (125, 2, KWD, 1250)],
)
def test_amounts_are_scaled(amount: int, decimals: int, currency: money.Currency, expected: int) -> None:
    command = _translate(msgspec.structs.replace(LUNCH, amount=amount), decimals=decimals, currency=currency)[1]
    assert (command.event_data["amount"], command.event_data["currency"]) == (expected, currency.code)
    assert command.event_data["direction"] == ("owed" if amount > 0 else "lent")


def test_digits_are_never_lost() -> None:
    with pytest.raises(money.CurrencyPrecision) as raised:
        _translate(LUNCH, currency=JPY)
    assert [error.pointer for error in raised.value.errors] == ["/txn/7/amount"]


def test_quantities_are_not_scaled() -> None:
    assert _translate(DRILL, decimals=0, currency=KWD)[1].event_data["amount"] == 2


def test_what_is_skipped_is_counted() -> None:
    nothing = msgspec.structs.replace(LUNCH, amount=0, id_transaction=9)
    odd = msgspec.structs.replace(LUNCH, timestamp_returned=5)
    translated = backup.translate(Backup((ANA,), (odd, nothing), 3, 2), EUR, TODAY)
    assert len(translated.commands) == 2
    assert translated.skipped == (
        Skipped("images", 3, "images are not kept"),
        Skipped("transactions", 1, "the amount is 0"),
        Skipped("returned dates", 1, "money is repaid, only things are returned"),
    )
    assert backup.translate(Backup((ANA,), (LUNCH,), 0, 2), EUR, TODAY).skipped == ()


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"id_person": 2}, "/txn/7/id_person"),
        ({"amount": -money.MAX_AMOUNT - 1}, "/txn/7/amount"),
        ({"amount": money.MAX_AMOUNT + 1, "is_monetary": 0}, "/txn/7/amount"),
        ({"is_monetary": 2}, "/txn/7/is_monetary"),
        ({"description": "x" * 4_001}, "/txn/7/description"),
        ({"description": "a\0"}, "/txn/7/description"),
        ({"description": "\ud800"}, "/txn/7/description"),
        ({"is_monetary": 0, "description": "a\0"}, "/txn/7/description"),
        ({"timestamp": 2**63 - 1}, "/txn/7/timestamp"),
        ({"timestamp": 253_402_300_800_000}, "/txn/7/timestamp"),
        ({"timestamp": -62_135_596_800_001}, "/txn/7/timestamp"),
        ({"is_monetary": 0, "timestamp_returned": -(2**63)}, "/txn/7/timestamp_returned"),
    ],
)
def test_rows_that_have_no_place_here(changed: dict[str, Any], pointer: str) -> None:
    assert _refusal(msgspec.structs.replace(LUNCH, **changed)) == pointer


@pytest.mark.parametrize(
    ("person", "pointer"),
    [
        (Person(1, "x" * 201, None), "/person/1/name"),
        (Person(1, "a\0", None), "/person/1/name"),
        (Person(1, "a", "x" * 4_001), "/person/1/note"),
    ],
)
def test_people_that_have_no_place_here(person: Person, pointer: str) -> None:
    assert _refusal(people=(person,)) == pointer


def test_an_id_stands_for_one_row() -> None:
    assert _refusal(people=(ANA, ANA)) == "/person/1"
    assert _refusal(LUNCH, msgspec.structs.replace(DRILL, id_transaction=7)) == "/txn/7"


def test_the_largest_amount_fits_and_a_larger_balance_does_not() -> None:
    most = msgspec.structs.replace(LUNCH, amount=-money.MAX_AMOUNT)
    assert _translate(most)[1].event_data["amount"] == money.MAX_AMOUNT
    assert _refusal(most, msgspec.structs.replace(most, id_transaction=9, amount=-1)) == "/txn/9/amount"
    assert len(_translate(most, msgspec.structs.replace(most, id_transaction=9, amount=1))) == 3


def test_the_refusal_says_why_in_words() -> None:
    with pytest.raises(errors.DomainError, match="/txn/7/id_person: there is no person 5"):
        _translate(msgspec.structs.replace(LUNCH, id_person=5))


rows = st.builds(
    Txn,
    id_transaction=st.integers(1, 2**31),
    amount=st.integers(-(2**31), 2**31),
    id_person=st.integers(1, 4),
    description=st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    is_monetary=st.integers(0, 1),
    timestamp=st.none() | st.integers(-(10**12), 10**13),
    timestamp_returned=st.none() | st.integers(-(10**12), 10**13),
)


@given(st.lists(rows, unique_by=lambda row: row.id_transaction), st.integers(0, 2))
def test_balances_are_the_sums_with_the_sign_turned(transactions: list[Txn], decimals: int) -> None:
    people = tuple(Person(number, f"p{number}", None) for number in range(1, 5))
    commands = _translate(*transactions, people=people, decimals=decimals)
    ids = {UUID(command.aggregate_id): command.fingerprinted["backup"][1] for command in commands[:4]}
    balances: Counter[int] = Counter()
    for command in commands[4:]:
        payload = command.payload
        assert isinstance(payload, facts.TransactionCreated)
        assert isinstance(payload.amount, int)
        if payload.type == "money":
            balances[ids[payload.contact_id]] += payload.amount if payload.direction == "lent" else -payload.amount
    expected: Counter[int] = Counter()
    for row in transactions:
        expected[row.id_person] -= row.amount * row.is_monetary * 10 ** (2 - decimals)
    assert {key: value for key, value in balances.items() if value} == {key: value for key, value in expected.items() if value}
    assert len(commands) == 4 + sum(row.amount != 0 for row in transactions)
    assert len({command.id for command in commands}) == len(commands)
