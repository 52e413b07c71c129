"""What has come due across all ledgers: finds candidates by index, page by page, and puts what is due into the outbox.

Each page is one short transaction of the caller's. Pages may be read twice and by two at once: the outbox's key decides.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    RowMapping,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain import recurrence, reminders
from storage import allocation, arrays, days, digests, outbox, recipients, tables
from storage.outbox_keys import Key

Source = Literal["due_date", "remind_at", "snoozed_until", "repeat"]
"""The columns that something can come due by."""
SOURCES: Final[tuple[Source, ...]] = ("due_date", "remind_at", "snoozed_until", "repeat")
PAGE_ROWS: Final = 4_000
"""Candidates a page: bounds memory, and how long one transaction takes. Each page finds all candidates again, and sorts them."""
DIGEST_DELAY: Final = datetime.timedelta(minutes=2)
"""A digest waits until the run that began it has read all its pages."""
_ORDER: Final[Mapping[Source, str]] = {**{source: source for source in SOURCES}, "repeat": "remind_at"}
"""The columns that pages are read by."""

_WESTMOST = datetime.timedelta(hours=12)
_EASTMOST = datetime.timedelta(hours=14)
_users, _transactions, _reminders = tables.users, tables.transactions, tables.reminders
_has_push = exists().where(tables.devices.c.user_id == _users.c.id, tables.devices.c.push_value.is_not(None))
USER = (
    _users.c.id.label("user_id"),
    _users.c.time_zone.label("user_zone"),
    _users.c.reminder_settings,
    _users.c.email_verified_at,
    _users.c.mail_problem,
    _has_push.label("has_push"),
)


class Cursor(msgspec.Struct, frozen=True):
    """The last candidate of a page."""

    at: Any
    ledger_id: UUID
    id: UUID


class Asked(msgspec.Struct, frozen=True):
    """When users want to be told: `told` on which days, by time zone and local_time as it is stored ("" where it is not).

    `due_dates`: those of which one of all offsets in use falls on one of these days.
    """

    due_dates: list[datetime.date]
    told: list[tuple[str, str, datetime.date]]


class Enqueued(msgspec.Struct, frozen=True):
    """Something that will be sent because of a page, not before `next_at`."""

    ledger_id: UUID
    due: reminders.Due
    next_at: datetime.datetime


class Page(msgspec.Struct, frozen=True):
    """What one page came to. `following` is the cursor of the next one; None: this was the last."""

    candidates: int
    enqueued: list[Enqueued]
    following: Cursor | None


class _Candidate(msgspec.Struct, frozen=True):
    ledger_id: UUID
    due: reminders.Due
    key: Key
    user: RowMapping
    settings: reminders.Settings

    @property
    def digest_key(self) -> Key | None:
        """Of the digest that tells of it where the user wants one; None: it is always told alone."""
        key = digest_key(self.due, self.user)
        return None if key is None else (self.ledger_id, key)


def asked(connection: Connection, now: datetime.datetime) -> Asked:
    """What users want to be told of due dates in the 24 hours up to `now`; as the jobs role."""
    offsets, told = set(reminders.Settings().due_offsets_days), set[tuple[str, str, datetime.date]]()
    for zone, clock, of_some in connection.execute(_WANTED):
        local_time = reminders.read_settings({"local_time": clock} if clock else {}).local_time
        told.update((zone, clock, day) for day in reminders.days_told(local_time, zone, after=now - reminders.LATE, until=now))
        offsets.update(int(offset) for offset in of_some)
    due_dates = {day - datetime.timedelta(days=offset) for _, _, day in told for offset in offsets}
    return Asked(sorted(due_dates), sorted(told))


def enqueue_page(
    connection: Connection,
    source: Source,
    *,
    now: datetime.datetime,
    wanted: Asked | None = None,
    cursor: Cursor | None = None,
    limit: int = PAGE_ROWS,
) -> Page:
    """Enqueue what came due in the 24 hours up to `now`, of the next `limit` candidates of `source`; as the jobs role.

    Of debts only those are looked at that somebody wants to be told of now: `wanted`, where the caller knows it already.
    """
    statement = _debts(wanted or asked(connection, now)) if source == "due_date" else _explicit(source, now)
    table = _transactions if source == "due_date" else _reminders
    order = _ORDER[source]
    position = (table.c[order], table.c.ledger_id, table.c.id)
    if cursor is not None:
        statement = statement.where(tuple_(*position) > tuple_(cursor.at, cursor.ledger_id, cursor.id))
    rows = connection.execute(statement.order_by(*position).limit(limit)).mappings().all()
    candidates = [candidate for row in rows for candidate in _due_of(row, source, now)]
    fresh = _without_nothing_open(connection, _unsent(connection, candidates))
    following = Cursor(rows[-1][order], rows[-1]["ledger_id"], rows[-1]["id"]) if len(rows) == limit else None
    return Page(candidates=len(rows), enqueued=_enqueue(connection, fresh, now), following=following)


def _debts(wanted: Asked) -> Select[Any]:
    """Live transactions, not returned, one of whose offsets falls on a day that is `wanted`."""
    return (
        select(*_OF_DEBT, *USER)
        .join(_users, _users.c.ledger_id == _transactions.c.ledger_id)
        .where(
            _transactions.c.due_date == func.any(cast(wanted.due_dates, ARRAY(Date))),
            _transactions.c.deleted_seq.is_(None),
            _transactions.c.returned_at.is_(None),
            _users.c.deleting_at.is_(None),
            _asks_for_one_of(wanted),
        )
    )


_OF_DEBT: Final = tuple(_transactions.c[name] for name in ("ledger_id", "id", "contact_id", "due_date", "due_changed_at"))
_OFFSETS_OF_USER: Final = func.coalesce(
    _users.c.reminder_settings["due_offsets_days"], cast(list(reminders.Settings().due_offsets_days), JSONB)
)
_CLOCK_OF_USER: Final = func.coalesce(_users.c.reminder_settings["local_time"].astext, "")  # as _WANTED has it
_WANTED: Final = text(r"""
    with settings as (
        select time_zone, coalesce(reminder_settings ->> 'local_time', '') as clock,
               case jsonb_typeof(reminder_settings -> 'due_offsets_days') when 'array'
                    then reminder_settings -> 'due_offsets_days' else '[]' end as offsets
        from debitum.users group by 1, 2, 3
    )
    select time_zone, clock, array(
        select day from jsonb_array_elements_text(offsets) day where day ~ '^-?[0-9]{1,3}$'
    ) from settings
""")
"""Settings that nobody can read stop nobody."""


def _asks_for_one_of(wanted: Asked) -> ColumnElement[bool]:
    zones, clocks, days = ([one[place] for one in wanted.told] for place in range(3))
    told = (
        func.unnest(cast(zones, ARRAY(Text)), cast(clocks, ARRAY(Text)), cast(days, ARRAY(Date)))
        .table_valued("zone", "clock", "day", name="told")
        .render_derived()
    )
    return exists().where(
        told.c.zone == _users.c.time_zone,
        told.c.clock == _CLOCK_OF_USER,
        _OFFSETS_OF_USER.contains(func.to_jsonb(told.c.day - _transactions.c.due_date)),
    )


def _explicit(source: Source, now: datetime.datetime) -> Select[Any]:
    """Live reminders, not done, that have an occurrence of `source` in the window, or whose rule may have one."""
    if source == "repeat":
        is_candidate = _may_repeat(now)
    else:
        is_candidate = and_(_reminders.c[source] > now - reminders.LATE, _reminders.c[source] <= now)
    return (
        select(_reminders, *USER)
        .join(_users, _users.c.ledger_id == _reminders.c.ledger_id)
        .where(
            is_candidate,
            _reminders.c.deleted_seq.is_(None),
            _reminders.c.done_at.is_(None),
            _users.c.deleting_at.is_(None),
        )
    )


def _may_repeat(now: datetime.datetime) -> ColumnElement[bool]:
    """Reminders whose rule names a day that is in the window somewhere on earth; a skipped local time is of the day before."""
    a_day = datetime.timedelta(days=1)
    first, last = (now - reminders.LATE - _WESTMOST).date() - a_day, (now + _EASTMOST).date()
    marks = sorted({mark for day in days.between(first, last + a_day) for mark in recurrence.marks_of(day)})
    return and_(
        _reminders.c.repeat_days.is_not(None),
        _reminders.c.repeat_days.bool_op("&&")(cast(marks, ARRAY(SmallInteger))),
        or_(_reminders.c.repeat_until.is_(None), _reminders.c.repeat_until >= first),
        _reminders.c.remind_at < now,
    )


def debt_of(row: Mapping[Any, Any]) -> reminders.Debt:
    """The debt of a row of transactions with a due date, as the rules take it."""
    return reminders.Debt(row["id"], row["contact_id"], row["due_date"], row["due_changed_at"])


def _due_of(row: RowMapping, source: Source, now: datetime.datetime) -> Iterable[_Candidate]:
    after, settings = now - reminders.LATE, reminders.read_settings(row["reminder_settings"])
    if source == "due_date":
        dues = reminders.due_dates(debt_of(row), settings, row["user_zone"], after=after, until=now)
    else:
        dues = reminders.explicit(recipients.reminder_of(row), settings, after=after, until=now)
    ledger_id: UUID = row["ledger_id"]
    return (_Candidate(ledger_id, due, (ledger_id, due.key), row, settings) for due in dues)


def _unsent(connection: Connection, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Those that the outbox does not have, or has suppressed for a reason that is none any more."""
    known = outbox.known(connection, {candidate.key for candidate in candidates})
    in_digests = (candidate for candidate in candidates if _is_in_digest(known.get(candidate.key)))
    of_digests = outbox.known(connection, {key for candidate in in_digests if (key := candidate.digest_key) is not None})
    return [candidate for candidate in candidates if _is_unsent(candidate, known, of_digests)]


def _is_in_digest(known: outbox.Known | None) -> bool:
    return known is not None and known.reason == digests.IN_DIGEST


def _is_unsent(candidate: _Candidate, known: Mapping[Key, outbox.Known], of_digests: Mapping[Key, outbox.Known]) -> bool:
    told = known.get(candidate.key)
    if _is_in_digest(told) and (key := candidate.digest_key) is not None:
        told = of_digests.get(key)
    return told is None or is_wanted_again(told, candidate.user)


def digest_key(due: reminders.Due, user: Mapping[Any, Any]) -> str | None:
    """The key of the digest of `due`, of a due date; `user` has the columns of USER."""
    return reminders.digest_key(user["user_id"], due, user["user_zone"]) if due.kind == "due" else None


def is_wanted_again(known: outbox.Known, user: RowMapping) -> bool:
    """Whether what the outbox knows is suppressed for a reason that is none any more; `user` has the columns of USER."""
    if known.state != "suppressed":
        return False
    match known.reason:
        case "address_unverified":
            return user["email_verified_at"] is not None
        case "address_refuses":
            return user["mail_problem"] is None
        case "no_target":
            return bool(user["has_push"])
        case _:  # the rest is what the rules have just looked at again
            return True


def _without_nothing_open(connection: Connection, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    wanted = {
        (candidate.ledger_id, candidate.due.transaction_id)
        for candidate in candidates
        if candidate.due.transaction_id is not None
    }
    opened = _open_amounts(connection, wanted)
    return [
        candidate
        for candidate in candidates
        if candidate.due.transaction_id is None or opened.get((candidate.ledger_id, candidate.due.transaction_id), 0) > 0
    ]


def _open_amounts(connection: Connection, wanted: set[tuple[UUID, UUID]]) -> Mapping[tuple[UUID, UUID], int]:
    """By (ledger_id, transaction_id), of those of `wanted` that are live."""
    if not wanted:
        return {}
    places = {"ledgers": arrays.of(ledger_id for ledger_id, _ in wanted), "transactions": arrays.of(one for _, one in wanted)}
    return {(ledger_id, one): amount for ledger_id, one, amount in connection.execute(_OPEN_OF_NAMED, places)}


def _open_of_named() -> Select[UUID, UUID, int]:
    named = (
        func.unnest(*(cast(bindparam(name, type_=Text), ARRAY(Uuid)) for name in ("ledgers", "transactions")))
        .table_valued("ledger_id", "transaction_id", name="named")
        .render_derived()
    )
    contacts = select(_transactions.c.ledger_id, _transactions.c.contact_id).join(
        named, and_(named.c.ledger_id == _transactions.c.ledger_id, named.c.transaction_id == _transactions.c.id)
    )
    opened = allocation.open_amounts(contacts=contacts).subquery()
    of_these = and_(named.c.ledger_id == opened.c.ledger_id, named.c.transaction_id == opened.c.transaction_id)
    return select(opened).join(named, of_these)


_OPEN_OF_NAMED: Final = _open_of_named()


def _enqueue(connection: Connection, candidates: Sequence[_Candidate], now: datetime.datetime) -> list[Enqueued]:
    planned = {candidate.key: _planned(candidate, now) for candidate in candidates}
    told = _tell_in_digests(connection, candidates, planned, now)
    messages = [_outgoing(entry) for key, entry in planned.items() if key not in told]
    enqueued = told | outbox.enqueue(connection, messages, now=now)
    return [entry for key, entry in planned.items() if key in enqueued]


def _tell_in_digests(
    connection: Connection,
    candidates: Sequence[_Candidate],
    planned: Mapping[Key, Enqueued],
    now: datetime.datetime,
) -> set[Key]:
    """Those of `candidates` that digests tell of: where the user wants them, and that of the day is not on its way already."""
    by_digest: dict[Key, list[Enqueued]] = {}
    for candidate in candidates:
        if candidate.settings.digest and (key := candidate.digest_key) is not None:
            by_digest.setdefault(key, []).append(planned[candidate.key])
    ready = [
        outbox.Outgoing(
            ledger_id=ledger_id,
            dedupe_key=key,
            kind="digest",
            channel=entries[0].due.channel,
            payload={},
            next_at=max(now + DIGEST_DELAY, *(entry.next_at for entry in entries)),
        )
        for (ledger_id, key), entries in by_digest.items()
    ]
    outbox.enqueue(connection, ready, now=now)
    covered = {key: [_outgoing(entry) for entry in entries] for key, entries in by_digest.items()}
    open_ = digests.cover(connection, covered, now=now)
    return {(entry.ledger_id, entry.due.key) for key in open_ for entry in by_digest[key]}


def _outgoing(entry: Enqueued) -> outbox.Outgoing:
    return outbox.Outgoing(
        ledger_id=entry.ledger_id,
        dedupe_key=entry.due.key,
        kind=entry.due.kind,
        channel=entry.due.channel,
        payload=_payload(entry.due),
        next_at=entry.next_at,
    )


def _planned(candidate: _Candidate, now: datetime.datetime) -> Enqueued:
    next_at = reminders.send_at(candidate.due, candidate.settings, candidate.user["user_zone"], now=now)
    return Enqueued(candidate.ledger_id, candidate.due, next_at)


def _payload(due: reminders.Due) -> dict[str, str | int]:
    """Ids, dates and occurrences: never a name, an address or an amount."""
    if due.kind == "reminder":
        return {"reminder_id": str(due.reminder_id), "occurrence": str(due.occurrence), "at": due.at.isoformat()}
    return {"transaction_id": str(due.transaction_id), "due_date": str(due.due_date), "offset_days": int(due.offset_days or 0)}
