"""What a claimed message is about, read at the moment it is sent: who gets it, and whether they still want it."""

import datetime
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import Connection, RowMapping, Uuid, and_, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from domain import addresses, facts, reminders, zones
from storage import allocation, devices, digests, identity, outbox, sealing, tables, unsubscribing
from storage.encryption import KeyRing

Reason = Literal["gone", "settled", "done", "rescheduled", "address_unverified", "address_refuses", "no_target"]
"""Why a message is not sent: what it is about, or its reader, is deleted; nothing is open; the user is done with it; its date
or the user's settings changed since; the address is not proven; mails to it came back; the user has no device to push to."""

RESET_HOURS: Final = 1
"""How long the link of a reset works: whoever asked for it waits for the mail."""
LINK_HOURS: Final = 72
"""How long a link works that nobody waits for: over a weekend."""
_LINKS: Final[Mapping[str, tuple[identity.Purpose, int]]] = {
    "verify": ("verify", LINK_HOURS),
    "reset": ("reset", RESET_HOURS),
    "welcome": ("reset", LINK_HOURS),
}
"""What the link of a mail about an account is for, and how many hours it works. Somebody for whom an account was made resets."""
TOKEN_BYTES: Final = 32

_BEFORE = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_AFTER = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the reader's, and what a push provider knows it by; `sealed` is how `value` is stored."""

    id: UUID
    kind: devices.PushKind
    value: str
    sealed: bytes


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The reader; of a push to one device, that `device`. `unsubscribe` is the token that ends mails of the message's kind.

    `name`: None also while the address is not proven: whoever registered it may be anybody, and these are their words.
    """

    id: UUID
    email: str
    name: str | None
    locale: str
    time_zone: str
    device: Device | None = None
    unsubscribe: str | None = None


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """An open transaction. Amounts in minor units of `currency`; of an item (`item` is its name) the quantity."""

    transaction_id: UUID
    contact_id: UUID
    contact: str
    direction: Literal["lent", "owed"]
    amount: int
    open_amount: int
    currency: str | None
    item: str | None
    description: str | None
    transaction_date: datetime.date
    due_date: datetime.date | None


class DueNotice(msgspec.Struct, frozen=True):
    """The reminder of a due date."""

    user: User
    debt: Debt


class DigestNotice(msgspec.Struct, frozen=True):
    """The reminders of all due dates of a day, the earliest due date first; at least one."""

    user: User
    debts: tuple[Debt, ...]


class ReminderNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A reminder that the user asked for; `at` (aware, in the reminder's zone) is the occurrence."""

    user: User
    reminder_id: UUID
    at: datetime.datetime
    message: str | None
    contact: str | None
    debt: Debt | None


class AccountNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A link for the owner of an account. `token` is a secret: it was minted for this call and lies nowhere in clear."""

    user: User
    purpose: identity.Purpose
    token: str
    valid_hours: int


class Suppressed(msgspec.Struct, frozen=True):
    """It must not be sent."""

    reason: Reason


class Later(msgspec.Struct, frozen=True):
    """Its reader wants quiet until `at` (aware)."""

    at: datetime.datetime


class Several(msgspec.Struct, frozen=True):
    """It is for every device of the user's that takes pushes: for each on its own."""

    device_ids: tuple[UUID, ...]


About = DueNotice | DigestNotice | ReminderNotice
"""What reminds of something."""
Notice = About | AccountNotice


def load(
    connection: Connection, claimed: outbox.Claimed, *, local: bool, keys: KeyRing | None, now: datetime.datetime
) -> Notice | Several | Suppressed | Later:
    """What to say to whom, or why nothing or not yet; in the transaction that starts the call, as the jobs role.

    `local`: the provider keeps messages on this machine, so that an unproven address and a missing device do not matter.
    `keys` open push targets. Raises LookupError for a kind of message that nobody knows how to write, or without keys.
    """
    row = _user_row(connection, claimed.ledger_id)
    if row is None:
        return Suppressed("gone")
    name = row.name if row.email_verified_at is not None else None
    user = User(id=row.id, email=row.email, name=name, locale=row.locale, time_zone=row.time_zone)
    if claimed.kind in outbox.ACCOUNT_KINDS:
        return _account(connection, claimed, user, row, now)
    if row.deleting_at is not None:
        return Suppressed("gone")
    if not local and claimed.channel == "email" and row.email_verified_at is None:
        return Suppressed("address_unverified")
    if not local and claimed.channel == "email" and row.mail_problem is not None:
        return Suppressed("address_refuses")
    settings = reminders.read_settings(row.reminder_settings)
    # It was planned for their end, but it may have waited for a provider since, or the reader has moved.
    if claimed.kind != "reminder" and (at := reminders.after_quiet_hours(now, settings, row.time_zone)) > now:
        return Later(at)
    if claimed.channel == "email" and keys is not None:
        kind: reminders.Kind = "reminder" if claimed.kind == "reminder" else "due"
        token = unsubscribing.token(keys.cipher(str(claimed.ledger_id), row.data_key), kind)
        user = structs.replace(user, unsubscribe=token)
    found = _wanted(connection, claimed, user, settings)
    if isinstance(found, Suppressed) or local or claimed.channel != "push":
        return found
    return _to_devices(connection, claimed, found, keys)


def _wanted(connection: Connection, claimed: outbox.Claimed, user: User, settings: reminders.Settings) -> About | Suppressed:
    match claimed.kind:
        case "due":
            debts, reasons = _due(connection, claimed.ledger_id, {claimed.cause: claimed.payload}, user, settings)
            return DueNotice(user, debts[0]) if debts else _suppressed(reasons)
        case "digest":
            told = digests.covered(connection, claimed.ledger_id, claimed.cause)
            debts, reasons = _due(connection, claimed.ledger_id, told, user, settings)
            if claimed.device_id is None:  # what one device is not told any more, another may have been told
                digests.leave_out(connection, claimed.ledger_id, reasons)
            return DigestNotice(user, debts) if debts else _suppressed(reasons)
        case "reminder":
            return _reminder(connection, claimed, user, settings)
    raise LookupError(f"no recipient for messages of kind {claimed.kind}")


def _suppressed(reasons: Mapping[str, Reason]) -> Suppressed:
    return Suppressed(min(reasons.values(), default="gone"))  # of several one, and always the same


def _to_devices(
    connection: Connection, claimed: outbox.Claimed, notice: About, keys: KeyRing | None
) -> About | Several | Suppressed:
    its = tables.devices.c
    takes_pushes = select(tables.devices).where(its.user_id == notice.user.id, its.push_value.is_not(None))
    if claimed.device_id is None:
        rows = connection.execute(takes_pushes.order_by(its.id)).all()
        return Several(tuple(row.id for row in rows)) if rows else Suppressed("no_target")
    row = connection.execute(takes_pushes.where(its.id == claimed.device_id)).one_or_none()
    if row is None:
        return Suppressed("no_target")
    if keys is None:
        raise LookupError("there are no keys that open push targets")
    [device] = _opened(connection, claimed.ledger_id, [row], keys)
    return structs.replace(notice, user=structs.replace(notice.user, device=device))


def devices_of(connection: Connection, email: str, keys: KeyRing) -> tuple[UUID, list[Device]] | None:
    """The id of the user with this address and their devices that take pushes; None where there is no such user."""
    users, its = tables.users.c, tables.devices.c
    user = connection.execute(select(users.id, users.ledger_id).where(users.email == addresses.canonical(email))).one_or_none()
    if user is None:
        return None
    rows = connection.execute(select(tables.devices).where(its.user_id == user.id, its.push_value.is_not(None)).order_by(its.id))
    return user.id, _opened(connection, user.ledger_id, rows.all(), keys)


def _opened(connection: Connection, ledger_id: UUID, rows: Sequence[Any], keys: KeyRing) -> list[Device]:
    data_key = connection.execute(select(tables.ledgers.c.data_key).where(tables.ledgers.c.id == ledger_id)).scalar_one()
    cipher = keys.cipher(str(ledger_id), data_key)
    return [
        Device(id=row.id, kind=row.push_kind, value=sealing.push_target(cipher, row.id, row.push_value), sealed=row.push_value)
        for row in rows
    ]


def forget_target(connection: Connection, user_id: UUID, device: Device) -> None:
    """Nothing is pushed to `device` any more, unless it has said meanwhile where else to."""
    its = tables.devices.c
    same = and_(its.user_id == user_id, its.id == device.id, its.push_value == device.sealed)
    connection.execute(update(tables.devices).where(same).values(devices.SILENT))


def _user_row(connection: Connection, ledger_id: UUID) -> Any:
    """The user with the data key of their ledger."""
    statement = (
        select(tables.users, tables.ledgers.c.data_key)
        .join(tables.ledgers, tables.ledgers.c.id == tables.users.c.ledger_id)
        .where(tables.users.c.ledger_id == ledger_id)
    )
    return connection.execute(statement).one_or_none()


def _account(
    connection: Connection, claimed: outbox.Claimed, user: User, row: Any, now: datetime.datetime
) -> AccountNotice | Suppressed:
    if claimed.kind == "verify" and row.email_verified_at is not None:
        return Suppressed("done")
    purpose, hours = _LINKS[claimed.kind]
    token = mint(connection, user.id, purpose, hours=hours, now=now)
    return AccountNotice(user=user, purpose=purpose, token=token, valid_hours=hours)


def mint(connection: Connection, user_id: UUID, purpose: identity.Purpose, *, hours: int, now: datetime.datetime) -> str:
    """A new one-time token; only its SHA-256 is kept. A second attempt mints a second one, and both work."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(
        insert(tables.one_time_tokens).values(
            hash=identity.digest(token),
            user_id=user_id,
            purpose=purpose,
            created_at=now,
            expires_at=now + datetime.timedelta(hours=hours),
        )
    )
    return token


def _due(
    connection: Connection, ledger_id: UUID, asked: Mapping[str, Mapping[str, Any]], user: User, settings: reminders.Settings
) -> tuple[tuple[Debt, ...], dict[str, Reason]]:
    """The open debts of the due dates that were `asked` for (payloads by key), each once; why nothing is said of others."""
    payloads = {key: UUID(payload["transaction_id"]) for key, payload in asked.items()}
    rows = _transaction_rows(connection, ledger_id, set(payloads.values()))
    reasons: dict[str, Reason] = {}
    found: dict[UUID, Debt] = {}
    for key, transaction_id in payloads.items():
        debt = _due_debt(key, rows.get(transaction_id), user, settings)
        if isinstance(debt, Suppressed):
            reasons[key] = debt.reason
        else:
            found[transaction_id] = debt
    return tuple(sorted(found.values(), key=lambda debt: (debt.due_date, debt.transaction_id))), reasons


def _due_debt(key: str, row: RowMapping | None, user: User, settings: reminders.Settings) -> Debt | Suppressed:
    if row is None:
        return Suppressed("gone")
    if row["due_date"] is None:
        return Suppressed("rescheduled")
    debt = reminders.Debt(row["id"], row["contact_id"], row["due_date"], row["due_changed_at"])
    if key not in {due.key for due in reminders.due_dates(debt, settings, user.time_zone, after=_BEFORE, until=_AFTER)}:
        return Suppressed("rescheduled")
    return _open_debt(row) or Suppressed("settled")


def _reminder(
    connection: Connection, claimed: outbox.Claimed, user: User, settings: reminders.Settings
) -> ReminderNotice | Suppressed:
    row = _reminder_row(connection, claimed.ledger_id, UUID(claimed.payload["reminder_id"]))
    if row is None:
        return Suppressed("gone")
    if row["done_at"] is not None:
        return Suppressed("done")
    at = datetime.datetime.fromisoformat(claimed.payload["at"])
    asked = reminders.explicit(reminder_of(row), settings, after=at - datetime.timedelta.resolution, until=at)
    if claimed.cause not in {due.key for due in asked}:
        return Suppressed("rescheduled")
    debt = None
    if row["transaction_id"] is not None:
        transaction = _transaction_rows(connection, claimed.ledger_id, {row["transaction_id"]}).get(row["transaction_id"])
        if transaction is None:
            return Suppressed("gone")
        debt = _open_debt(transaction)
        if debt is None:
            return Suppressed("settled")
    return ReminderNotice(
        user=user,
        reminder_id=row["id"],
        at=at.astimezone(zones.zone(row["time_zone"])),
        message=row["message"],
        contact=row["contact"],
        debt=debt,
    )


def reminder_of(row: Mapping[Any, Any]) -> reminders.Reminder:
    """The reminder of a row of the table, as the rules take it."""
    return reminders.Reminder(
        reminder_id=row["id"],
        remind_at=row["remind_at"],
        time_zone=row["time_zone"],
        channels=tuple(row["channels"]),
        schedule_changed_at=row["schedule_changed_at"],
        rescheduled=facts.group("reminder", "remind_at") in row["marks"],
        repeat=row["repeat"],
        contact_id=row["contact_id"],
        transaction_id=row["transaction_id"],
        snoozed_until=row["snoozed_until"],
        done=row["done_at"] is not None,
    )


def _reminder_row(connection: Connection, ledger_id: UUID, reminder_id: UUID) -> RowMapping | None:
    table, contacts = tables.reminders, tables.contacts
    is_its_contact = (contacts.c.ledger_id == table.c.ledger_id) & (contacts.c.id == table.c.contact_id)
    statement = (
        select(table, contacts.c.name.label("contact"))
        .select_from(table.outerjoin(contacts, is_its_contact))
        .where(table.c.ledger_id == ledger_id, table.c.id == reminder_id, table.c.deleted_seq.is_(None))
    )
    return connection.execute(statement).mappings().one_or_none()


def _transaction_rows(connection: Connection, ledger_id: UUID, ids: Collection[UUID]) -> dict[UUID, RowMapping]:
    """The live ones of these transactions, each with its contact's name and what is open of it."""
    table, contacts = tables.transactions, tables.contacts
    wanted = and_(table.c.ledger_id == ledger_id, table.c.id == func.any(cast(list(ids), ARRAY(Uuid))))
    its_contacts = select(table.c.ledger_id, table.c.contact_id).where(wanted).distinct()
    opened = allocation.open_amounts(ledger_id=ledger_id, contacts=its_contacts).subquery()
    statement = (
        select(table, contacts.c.name.label("contact"), opened.c.open_amount)
        .join(contacts, (contacts.c.ledger_id == table.c.ledger_id) & (contacts.c.id == table.c.contact_id))
        .join(opened, (opened.c.ledger_id == table.c.ledger_id) & (opened.c.transaction_id == table.c.id))
        .where(wanted)
    )
    return {row["id"]: row for row in connection.execute(statement).mappings()}


def _open_debt(row: RowMapping) -> Debt | None:
    if row["open_amount"] == 0:
        return None
    names = [name for name in Debt.__struct_fields__ if name != "transaction_id"]
    return Debt(transaction_id=row["id"], **{name: row[name] for name in names})
