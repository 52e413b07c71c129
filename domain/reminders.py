"""What is due: the occurrences of reminders and of due dates in a window of time, and the keys that send each only once."""

import datetime
import functools
import itertools
import zoneinfo
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain import recurrence
from domain.delivery import Channel
from domain.zones import zone

CHANNELS: Final[tuple[Channel, ...]] = ("email", "push")
Kind = Literal["due", "reminder"]
"""Of a due date, or asked for by the user."""
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)")]
"""A wall-clock time, HH:MM."""
MAX_OFFSET_DAYS: Final = 60
"""How far a reminder may be from its due date, either way: bounds let an index on due dates find every candidate."""
OffsetDays = Annotated[int, msgspec.Meta(ge=-MAX_OFFSET_DAYS, le=MAX_OFFSET_DAYS)]
"""Days from a due date to its reminder; negative: before."""
Offsets = Annotated[tuple[OffsetDays, ...], msgspec.Meta(max_length=10)]
Channels = Annotated[tuple[Channel, ...], msgspec.Meta(max_length=2)]
Contacts = Annotated[tuple[UUID, ...], msgspec.Meta(max_length=1_000)]

LATE: Final = datetime.timedelta(hours=24)
"""How late something may still be sent: no downtime up to this loses anything, and nothing older surprises anyone."""


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """From `start` until `end` in the user's zone, across midnight where `end` is earlier."""

    start: Clock
    end: Clock


class Settings(msgspec.Struct, frozen=True):
    """A user's reminder_settings: when the reminders of due dates come, and how.

    `digest`: of all due dates of a day there is one message a channel. `explicit_channels`: the ways that reminders which
    the user asked for may take at all; absent: any. `muted_contacts`: their due dates remind of nothing.
    """

    due_offsets_days: Offsets = (-1, 0, 7)
    local_time: Clock = "09:00"
    quiet_hours: QuietHours | None = None
    channels: Channels = ("email", "push")
    digest: bool = False
    explicit_channels: Channels | UnsetType = UNSET
    muted_contacts: Contacts | UnsetType = UNSET

    def mutes(self, contact_id: UUID) -> bool:
        """Whether due dates of this contact's debts remind of nothing."""
        return self.muted_contacts is not UNSET and contact_id in self.muted_contacts

    def lets_through(self, channel: Channel) -> bool:
        """Whether reminders that the user asked for may take this way."""
        return self.explicit_channels is UNSET or channel in self.explicit_channels

    def without(self, kind: Kind, channel: Channel) -> "Settings":
        """The same, but nothing of this kind comes by `channel` any more."""
        if kind == "due":
            return msgspec.structs.replace(self, channels=tuple(one for one in self.channels if one != channel))
        allowed = CHANNELS if self.explicit_channels is UNSET else self.explicit_channels
        return msgspec.structs.replace(self, explicit_channels=tuple(one for one in allowed if one != channel))


def read_settings(stored: object) -> Settings:
    """The settings of a user's stored reminder_settings, or the defaults where they cannot be read.

    Whoever writes them checks them; a row that slipped through must not stop everyone's reminders.
    """
    try:
        return msgspec.convert(stored, Settings)
    except msgspec.ValidationError:
        return Settings()


class Debt(msgspec.Struct, frozen=True):
    """A live transaction with a due date. `due_changed_at` (aware): when due_date last took its value."""

    transaction_id: UUID
    contact_id: UUID
    due_date: datetime.date
    due_changed_at: datetime.datetime


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    """A live reminder. Times are aware; `schedule_changed_at`: when remind_at … channels last took their values.

    `rescheduled`: these were changed since the reminder was made.
    `repeat` is an RRULE whose DTSTART is `remind_at` in `time_zone`: every day at 09:00 stays 09:00 when clocks change.
    """

    reminder_id: UUID
    remind_at: datetime.datetime
    time_zone: str
    channels: tuple[Channel, ...]
    schedule_changed_at: datetime.datetime
    rescheduled: bool = False
    repeat: str | None = None
    contact_id: UUID | None = None
    transaction_id: UUID | None = None
    snoozed_until: datetime.datetime | None = None
    done: bool = False


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to send over one channel, at `at` (aware). `occurrence` is the name of an explicit reminder's time."""

    key: str
    kind: Kind
    channel: Channel
    at: datetime.datetime
    contact_id: UUID | None
    transaction_id: UUID | None
    reminder_id: UUID | None = None
    due_date: datetime.date | None = None
    offset_days: int | None = None
    occurrence: str | None = None


def due_dates(
    debt: Debt, settings: Settings, time_zone: str, *, after: datetime.datetime, until: datetime.datetime
) -> Iterator[Due]:
    """What a due date asks for in (after, until]: each offset at the user's local time, not before the date was set."""
    if settings.mutes(debt.contact_id):
        return
    local_time, days = datetime.time.fromisoformat(settings.local_time), _local_days(after, until)
    for offset in sorted(set(settings.due_offsets_days)):
        if debt.due_date.toordinal() + offset not in days:  # to ask the zone takes longer
            continue
        try:
            at = instant(debt.due_date + datetime.timedelta(days=offset), local_time, zone(time_zone))
        except OverflowError:  # beyond the years 1 … 9999
            continue
        if not after < at <= until or at < debt.due_changed_at:
            continue
        for channel in dict.fromkeys(settings.channels):
            yield Due(
                key=due_key(debt.transaction_id, debt.due_date, offset, channel),
                kind="due",
                channel=channel,
                at=at,
                contact_id=debt.contact_id,
                transaction_id=debt.transaction_id,
                due_date=debt.due_date,
                offset_days=offset,
            )


def days_told(
    local_time: Clock, time_zone: str, *, after: datetime.datetime, until: datetime.datetime
) -> Iterator[datetime.date]:
    """The local days on which the clock shows `local_time` in (after, until]; offsets are not applied."""
    clock, in_zone = datetime.time.fromisoformat(local_time), zone(time_zone)
    for day in map(datetime.date.fromordinal, _local_days(after, until)):
        if after < instant(day, clock, in_zone) <= until:
            yield day


def explicit(reminder: Reminder, settings: Settings, *, after: datetime.datetime, until: datetime.datetime) -> Iterator[Due]:
    """What an explicit reminder asks for in (after, until], at most once for each time that clocks show."""
    channels = [channel for channel in dict.fromkeys(reminder.channels) if settings.lets_through(channel)]
    if reminder.done or not channels:
        return
    named = {occurrence_name(reminder, at): at for at in occurrences(reminder, after=after, until=until)}
    for occurrence, at in named.items():
        for channel in channels:
            yield Due(
                key=reminder_key(reminder.reminder_id, occurrence, channel),
                kind="reminder",
                channel=channel,
                at=at,
                contact_id=reminder.contact_id,
                transaction_id=reminder.transaction_id,
                reminder_id=reminder.reminder_id,
                occurrence=occurrence,
            )


def occurrences(reminder: Reminder, *, after: datetime.datetime, until: datetime.datetime) -> Iterator[datetime.datetime]:
    """The times of a reminder in (after, until] since its schedule last changed: those of the schedule, and its snooze."""
    snoozes = [] if reminder.snoozed_until is None else [reminder.snoozed_until]
    for at in itertools.chain([reminder.remind_at], _repeats(reminder, after, until), snoozes):
        if after < at <= until and at >= reminder.schedule_changed_at:
            yield at


def next_occurrence(reminder: Reminder, *, after: datetime.datetime) -> datetime.datetime | None:
    """The first time of a reminder after `after`; None: nothing is to come, or not within a hundred years."""
    if reminder.done:
        return None
    horizon = _shifted(after, datetime.timedelta(days=366 * recurrence.HORIZON_YEARS))
    first = next(occurrences(reminder, after=after, until=horizon), None)
    # What lies in an hour that clocks skip moves behind what follows it: the first in local time may not be the first.
    return None if first is None else min(occurrences(reminder, after=after, until=first))


def _repeats(reminder: Reminder, after: datetime.datetime, until: datetime.datetime) -> Iterator[datetime.datetime]:
    """The occurrences after remind_at in (after, until], in the order of local time.

    An instant comes twice where a local time that clocks skip falls onto the next one.
    """
    rule = None if reminder.repeat is None else recurrence.read(reminder.repeat)
    if rule is None:
        return
    in_zone = zone(reminder.time_zone)
    try:
        start = reminder.remind_at.astimezone(in_zone).replace(tzinfo=None)
    except OverflowError:  # beyond the years 1 … 9999
        return
    until = min(until, rule.until) if rule.until is not None and rule.until.tzinfo is not None else until
    days = _local_days(after, until)
    for local in recurrence.times(rule, start, (days.start, days.stop - 1)):
        try:
            at = instant(local.date(), local.time(), in_zone)
        except OverflowError:
            return
        if after < at <= until and at > reminder.remind_at:
            yield at


def _local_days(after: datetime.datetime, until: datetime.datetime) -> range:
    """Ordinals of the local days whose times may lie in (after, until] of UTC.

    A zone may be a day ahead or behind, and a skipped local time moves on by a day at most (Samoa, 2011).
    """
    return range(after.toordinal() - 2, until.toordinal() + 2)


def _shifted(at: datetime.datetime, by: datetime.timedelta) -> datetime.datetime:
    try:
        return at + by
    except OverflowError:
        return datetime.datetime.max.replace(tzinfo=datetime.UTC)


def due_key(transaction_id: UUID, due_date: datetime.date, offset_days: int, channel: Channel) -> str:
    """The deduplication key of a due date's reminder."""
    return f"due:{transaction_id}:{due_date.isoformat()}:{offset_days}:{channel}"


def reminder_key(reminder_id: UUID, occurrence: str, channel: Channel) -> str:
    """The deduplication key of an explicit reminder's occurrence, as `occurrence_name` writes it."""
    return f"reminder:{reminder_id}:{occurrence}:{channel}"


def digest_key(user_id: UUID, due: Due, time_zone: str) -> str:
    """The deduplication key of the digest that tells of `due`, a due date's: that of its day in the user's zone."""
    return f"digest:{user_id}:{due.at.astimezone(zone(time_zone)).date().isoformat()}:{due.channel}"


def occurrence_name(reminder: Reminder, at: datetime.datetime) -> str:
    """What tells the reminder's time `at` from its others: what clocks show then, and no more than is needed beside it.

    `2026-11-22T09:00:00`, local and without an offset: it stays the same if a country moves its clocks, which must not send
    twice. `;2` follows where clocks show it for the second time: a snooze by an hour is not what it snoozes. `;Europe/Berlin`
    follows where the schedule was changed since the reminder was made: 09:00 may have been sent already in another zone. In
    the same zone it cannot have been, for nothing that lies before the last change is sent.
    """
    there = at.astimezone(zone(reminder.time_zone))
    second = ";2" if there.fold else ""
    moved = f";{reminder.time_zone}" if reminder.rescheduled else ""
    return f"{there.replace(tzinfo=None).isoformat(timespec='seconds')}{second}{moved}"


@functools.lru_cache(maxsize=4096)  # of a million debts most are due on the same days, at the same time of day, in few zones
def instant(day: datetime.date, local_time: datetime.time, in_zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """The moment (UTC) when clocks in `in_zone` show it: of two the first; a time that is skipped moves on with the clocks."""
    return datetime.datetime.combine(day, local_time.replace(fold=0), in_zone).astimezone(datetime.UTC)


def after_quiet_hours(at: datetime.datetime, settings: Settings, time_zone: str) -> datetime.datetime:
    """`at` (aware), or the end of the user's quiet hours where it lies in them."""
    if settings.quiet_hours is None:
        return at
    start = datetime.time.fromisoformat(settings.quiet_hours.start)
    end = datetime.time.fromisoformat(settings.quiet_hours.end)
    local = at.astimezone(zone(time_zone))
    day, clock = local.date(), local.time()
    if start <= end:
        quiet, ends_on = start <= clock < end, day
    else:
        quiet, ends_on = clock >= start or clock < end, day + datetime.timedelta(days=clock >= start)
    # Never earlier than `at`: in an hour that clocks show twice, the end's first showing may already be over.
    return max(at, instant(ends_on, end, zone(time_zone))) if quiet else at


def send_at(due: Due, settings: Settings, time_zone: str, *, now: datetime.datetime) -> datetime.datetime:
    """When `due`, found at `now`, may go out: automatic ones by the end of quiet hours, which explicit ones never wait for.

    Quiet hours are those of the moment when it would really go out: a late run does not break into them. Never before `now`:
    how long a message waits for the senders is counted from here, without the time in which nobody looked for it.
    """
    earliest = max(due.at, now)
    return earliest if due.kind == "reminder" else after_quiet_hours(earliest, settings, time_zone)
