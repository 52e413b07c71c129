"""Reminders: notes to the user's later self, by mail or push. Debtors are never written to."""

import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api import commands, paging, problems, services
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import errors, facts
from domain.delivery import Channel
from storage import preview, reminders
from storage.ledgers import Receipt
from storage.pages import Page, Record

routes = Routes("reminders")
_ORDER = paging.Order("reminders", tuple[facts.Moment, facts.Moment])
"""By time, as of a moment: a place of it is both."""
_KEPT: Final = datetime.timedelta(days=1)
"""How long a list that has begun is read on as of its beginning."""
KIND: facts.AggregateType = "reminder"
_CODES = ("unknown_contact", "unknown_aggregate")


class ReminderCreate(facts.ReminderCreated, frozen=True):
    """A new reminder; `id` is the client's choice where it has one."""

    id: UUID | UnsetType = UNSET


class Reminder(Struct, frozen=True):
    """`next_at` is the next occurrence, of `repeat` too; state "sent": the last one lies in the past.

    Both are the schedule's: while nothing of its debt is open, a reminder is not sent. What will be sent, the preview says.

    `repeat` is an RRULE of RFC 5545, FREQ=DAILY or rarer, with remind_at in time_zone as its DTSTART: the first occurrence
    whether or not the rule names it, and one of COUNT. Times are local: 09:00 stays 09:00 when clocks change. A leading
    `RRULE:` may stand there. done_at ends all of it.
    """

    id: UUID
    contact_id: UUID | None
    transaction_id: UUID | None
    remind_at: str
    time_zone: str
    repeat: str | None
    channels: list[Channel]
    message: str | None
    snoozed_until: str | None
    done_at: str | None
    next_at: str | None
    state: Literal["pending", "sent", "done"]
    created_at: str
    updated_at: str
    deleted_at: str | None
    version: int


class ReminderQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` and `to` are of the next occurrence, or of remind_at where none follows, both inclusive."""

    state: Literal["pending", "sent", "done"] | None = None
    first: facts.Moment | None = field(default=None, name="from")
    last: facts.Moment | None = field(default=None, name="to")
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


class Snooze(Struct, frozen=True, forbid_unknown_fields=True):
    """When to come back; what the schedule has for later stays as it is."""

    until: facts.Moment


class PreviewQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How far to look ahead."""

    days: Annotated[int, Meta(ge=1, le=366)] = 30


class Planned(Struct, frozen=True, omit_defaults=True):
    """One message that will be sent if nothing changes: `at`, not before the end of quiet hours, over `channel`.

    `key` is what it will be sent once by. `why`: "reminder", "snoozed", "due today", "due in 3 days", "1 day overdue".
    `contact_id` is null where it is about nobody. `digest` is the key of the one message that will tell of it with others.
    """

    key: str
    at: str
    kind: Literal["explicit", "due"]
    contact_id: UUID | None
    channel: Channel
    why: str
    reminder_id: UUID | UnsetType = UNSET
    transaction_id: UUID | UnsetType = UNSET
    digest: str | UnsetType = UNSET


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else facts.wire_time(moment)


def shown(row: Record) -> Reminder:
    """A row of storage.reminders as clients see it."""
    return Reminder(
        id=row.id,
        contact_id=row.contact_id,
        transaction_id=row.transaction_id,
        remind_at=facts.wire_time(row.remind_at),
        time_zone=row.time_zone,
        repeat=row.repeat,
        channels=row.channels,
        message=row.message,
        snoozed_until=_time(row.snoozed_until),
        done_at=_time(row.done_at),
        next_at=_time(row.next_at),
        state=row.state,
        created_at=facts.wire_time(row.created_at),
        updated_at=facts.wire_time(row.updated_at),
        deleted_at=_time(row.deleted_at),
        version=row.changed_seq,
    )


async def _represent(call: Call[Any, Any], reminder_id: UUID, _: Receipt | None = None) -> Reminder:
    async with call.reading() as connection:
        row = await reminders.one(connection, call.caller.ledger_id, reminder_id, now=services.now())
    if row is None:
        raise problems.NotFound("there is no such reminder")
    return shown(row)


@routes.add(
    "POST", "/api/reminders", answer=Reminder, status=201, body=ReminderCreate, codes=("already_exists", *_CODES), replays=True
)
async def create(call: Call[ReminderCreate, Nothing]) -> Reply:
    """Ask to be reminded of a contact, a transaction, or just something."""
    return await commands.create(call, KIND, _represent)


@routes.add("GET", "/api/reminders", answer=Items[Reminder], query=ReminderQuery)
async def listed(call: Call[None, ReminderQuery]) -> Reply:
    """Reminders by their time, a page at a time, all as of the moment of the first: with the clock their order changes."""
    query = call.query
    wanted = reminders.Filter(query.state, query.first, query.last)
    page, as_of = _page(query)
    async with call.reading() as connection:
        found = await reminders.listed(connection, call.caller.ledger_id, wanted, page, now=as_of)
    following = None if found.next is None else ((found.next[0], as_of), found.next[1])
    return Reply(Items([shown(row) for row in found.rows], _ORDER.cursor(following)))


def _page(query: ReminderQuery) -> tuple[Page, datetime.datetime]:
    """What is asked for, and as of when."""
    page, now = _ORDER.page(query.limit, query.cursor), services.now()
    if page.after is None:
        return page, now
    (at, as_of), row_id = page.after
    return Page(page.limit, (at, row_id)), as_of if now - _KEPT < as_of < now else now


@routes.add("GET", "/api/reminders/preview", answer=Items[Planned], query=PreviewQuery)
async def previewed(call: Call[None, PreviewQuery]) -> Reply:
    """What will be sent in the next days, whole: by reminders and because of due dates."""
    async with call.reading() as connection:
        found = await preview.planned(connection, call.caller.ledger_id, now=services.now(), days=call.query.days)
    if found is None:
        what = f"more than {preview.MAX_ITEMS} messages: ask for fewer days"
        raise errors.Invalid.at("/days", what, whole="the preview would be too long")
    return Reply(Items([_planned(item) for item in found]))


def _planned(item: preview.Planned) -> Planned:
    return Planned(
        key=item.due.key,
        at=facts.wire_time(item.at),
        kind="due" if item.due.kind == "due" else "explicit",
        contact_id=item.contact_id,
        channel=item.due.channel,
        why=item.why,
        reminder_id=item.due.reminder_id or UNSET,
        transaction_id=item.due.transaction_id or UNSET,
        digest=item.digest or UNSET,
    )


@routes.add("GET", "/api/reminders/{id}", answer=Reminder)
async def read(call: Call[None, Nothing]) -> Reply:
    """One reminder, also when it is deleted."""
    reminder = await _represent(call, call.path["id"])
    return Reply(reminder, headers={"ETag": f'"{reminder.version}"'})


_UPDATE_CODES = (*_CODES, "edit", "edit_of_deleted", *commands.SETTLING)


@routes.add("POST", "/api/reminders/{id}", answer=Reminder, body=facts.ReminderUpdated, codes=_UPDATE_CODES, replays=True)
@routes.add("PATCH", "/api/reminders/{id}", answer=Reminder, body=facts.ReminderUpdated, codes=_UPDATE_CODES, replays=True)
async def update(call: Call[facts.ReminderUpdated, Nothing]) -> Reply:
    """Change the members that are sent; null clears."""
    return await commands.update(call, KIND, _represent)


@routes.add("DELETE", "/api/reminders/{id}", status=204, replays=True)
async def delete(call: Call[None, Nothing]) -> Reply:
    """Delete a reminder."""
    return await commands.delete(call, KIND, _represent)


@routes.add("POST", "/api/reminders/{id}/restore", answer=Reminder, codes=("balance_out_of_range",), replays=True)
async def restore(call: Call[None, Nothing]) -> Reply:
    """Bring back a deleted reminder."""
    return await commands.restore(call, KIND, _represent)


@routes.add("POST", "/api/reminders/{id}/snooze", answer=Reminder, body=Snooze, codes=_UPDATE_CODES, replays=True)
async def snooze(call: Call[Snooze, Nothing]) -> Reply:
    """Be reminded again at `until`: an update of snoozed_until."""
    members = {"snoozed_until": facts.wire_time(call.body.until, "/until")}
    return await commands.update(call, KIND, _represent, members=members)


@routes.add("POST", "/api/reminders/{id}/done", answer=Reminder, codes=_UPDATE_CODES, replays=True)
async def done(call: Call[None, Nothing]) -> Reply:
    """Be done with a reminder, however often it would repeat: an update of done_at to now; another time is a PATCH."""
    return await commands.update(call, KIND, _represent, members={"done_at": facts.wire_time(services.now())})
