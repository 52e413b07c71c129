"""What a ledger's owner will be sent in the next days if nothing changes, by the rules of the run that will send it."""

import asyncio
import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, RowMapping, Select, Uuid, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import reminders
from storage import allocation, digests, due, outbox, recipients, tables

MAX_ITEMS: Final = 10_000
"""A reminder every hour for a year, and more than anyone reads; what would be longer is not shown in part."""

_transactions, _reminders = tables.transactions, tables.reminders


class Planned(msgspec.Struct, frozen=True):
    """Something that will be sent, not before `at`. `contact_id` is the transaction's where a reminder names none itself.

    `digest` is the key of the message that tells of it together with others.
    """

    due: reminders.Due
    at: datetime.datetime
    contact_id: UUID | None
    why: str
    digest: str | None = None


class _Wanted(msgspec.Struct, frozen=True):
    """What may ask for something: the user, and live rows that are not done, returned or settled."""

    user: RowMapping
    debts: list[RowMapping]
    reminders: list[RowMapping]
    contacts: dict[UUID, UUID]
    """By transaction."""


async def planned(connection: AsyncConnection, ledger_id: UUID, *, now: datetime.datetime, days: int) -> list[Planned] | None:
    """All of the next `days`, by time; None where that are more than MAX_ITEMS.

    Included: what has come due and waits for the end of quiet hours. Not looked at: whether the address is proven and
    whether a device takes pushes, which is seen when a message goes out.
    """
    wanted = await connection.run_sync(_wanted, ledger_id, now, days)
    if wanted is None:
        return []
    found = await asyncio.to_thread(_expanded, wanted, now, now + datetime.timedelta(days=days))
    if found is None or not found:
        return found
    whole = {item.due.key: key for item in found if (key := due.digest_key(item.due, wanted.user)) is not None}
    keys = {*(item.due.key for item in found), *whole.values()}
    known = await connection.run_sync(outbox.known, {(ledger_id, key) for key in keys})
    by_key = {key: each for (_, key), each in known.items()}
    return [told for item in found if (told := _told(item, whole.get(item.due.key), by_key, wanted.user)) is not None]


def _told(item: Planned, digest: str | None, known: Mapping[str, outbox.Known], user: RowMapping) -> Planned | None:
    """The item with its digest, where it has one; None: it will not be sent again."""
    own, whole = known.get(item.due.key), known.get(digest or "")
    if own is not None and own.reason == digests.IN_DIGEST:
        return msgspec.structs.replace(item, digest=digest) if _is_to_come(whole, user) else None
    wants_digest = digest is not None and reminders.read_settings(user["reminder_settings"]).digest
    # A digest that is on its way already is told of what comes late by messages of their own.
    if own is None and wants_digest and (whole is None or whole.state == "pending" or due.is_wanted_again(whole, user)):
        return msgspec.structs.replace(item, digest=digest)
    return item if _is_to_come(own, user) else None


def _is_to_come(known: outbox.Known | None, user: RowMapping) -> bool:
    return known is None or known.state in ("pending", "leased") or due.is_wanted_again(known, user)


def _wanted(connection: Connection, ledger_id: UUID, now: datetime.datetime, days: int) -> _Wanted | None:
    users = tables.users
    user = connection.execute(select(*due.USER, users.c.deleting_at).where(users.c.ledger_id == ledger_id)).mappings().first()
    if user is None or user["deleting_at"] is not None:
        return None
    asked = connection.execute(
        select(_reminders).where(
            _reminders.c.ledger_id == ledger_id, _reminders.c.deleted_seq.is_(None), _reminders.c.done_at.is_(None)
        )
    )
    furthest = datetime.timedelta(days=reminders.MAX_OFFSET_DAYS + 2)  # a zone is a day ahead or behind, and a look back
    near = {"first": now.date() - furthest, "last": now.date() + furthest + datetime.timedelta(days=days)}
    debts = list(connection.execute(_STILL_OPEN, {"ledger": ledger_id, **near}).mappings())
    contacts = {row["id"]: row["contact_id"] for row in debts}
    relevant = [row for row in asked.mappings() if row["transaction_id"] is None or row["transaction_id"] in contacts]
    return _Wanted(user, [row for row in debts if row["near"]], relevant, contacts)


def _still_open() -> Select[*tuple[Any, ...]]:
    """What is open and due from `first` to `last` (`near`), or what a reminder names: of a long past the least part."""
    its, ledger = _transactions.c, bindparam("ledger", type_=Uuid)
    opened = allocation.open_amounts(ledger_id=ledger).subquery("opened")
    near = func.coalesce(its.due_date.between(bindparam("first"), bindparam("last")), False)
    named = select(_reminders.c.transaction_id).where(_reminders.c.ledger_id == ledger, _reminders.c.transaction_id.is_not(None))
    return (
        select(its.id, its.contact_id, its.due_date, its.due_changed_at, near.label("near"))
        .join(opened, (opened.c.ledger_id == its.ledger_id) & (opened.c.transaction_id == its.id))
        .where(its.ledger_id == ledger, opened.c.open_amount > 0, or_(near, its.id.in_(named)))
    )


_STILL_OPEN: Final = _still_open()


def _expanded(wanted: _Wanted, now: datetime.datetime, end: datetime.datetime) -> list[Planned] | None:
    found: list[Planned] = []
    settings = reminders.read_settings(wanted.user["reminder_settings"])
    for item in _all(wanted, settings, now, end):
        if now < item.at <= end:
            found.append(item)
        if len(found) > MAX_ITEMS:
            return None
    return sorted(found, key=lambda item: (item.at, item.due.key))


def _all(wanted: _Wanted, settings: reminders.Settings, now: datetime.datetime, end: datetime.datetime) -> Iterator[Planned]:
    window = {"after": now - reminders.LATE, "until": end}
    zone = wanted.user["user_zone"]
    for row in wanted.debts:
        for each in reminders.due_dates(due.debt_of(row), settings, zone, **window):
            at = reminders.send_at(each, settings, zone, now=now)
            yield Planned(each, at, each.contact_id, _why_due(int(each.offset_days or 0)))
    for row in wanted.reminders:
        contact_id = row["contact_id"] or wanted.contacts.get(row["transaction_id"])
        for each in reminders.explicit(recipients.reminder_of(row), settings, **window):
            yield Planned(each, each.at, contact_id, _why_asked(row, each.at))


def _why_due(offset_days: int) -> str:
    if offset_days == 0:
        return "due today"
    days = f"{abs(offset_days)} day{'s' if abs(offset_days) > 1 else ''}"
    return f"due in {days}" if offset_days < 0 else f"{days} overdue"


def _why_asked(row: Mapping[Any, Any], at: datetime.datetime) -> str:
    return "snoozed" if at == row["snoozed_until"] else "reminder"
