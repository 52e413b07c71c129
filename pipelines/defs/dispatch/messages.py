"""Turns what the database says about a message into the words that go out."""

import datetime
from typing import cast

from domain import money, reminders
from notifications import contexts, message, render
from storage import outbox, recipients


def compose(claimed: outbox.Claimed, notice: recipients.Notice, *, public_url: str, now: datetime.datetime) -> message.Message:
    """The mail or push of a claimed row. `public_url`: where links of mails lead, without a slash at the end."""
    user = notice.user
    context = _context(notice, public_url, now)
    words = render.push if claimed.channel == "push" else render.render
    rendered = words(claimed.kind, context, language=user.locale)
    return message.Message(
        id=claimed.id,
        key=claimed.dedupe_key,
        kind=claimed.kind,
        to=_target(claimed, user),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        created_at=claimed.created_at,
        language=render.nearest(user.locale),
        # A push that is sent again takes the place of itself on the device.
        collapse_key=str(claimed.id) if claimed.channel == "push" else None,
    )


def _target(claimed: outbox.Claimed, user: recipients.User) -> message.EmailTarget | message.PushTarget:
    if claimed.channel == "push":
        if (device := user.device) is None:
            return message.PushTarget(user_id=user.id)
        return message.PushTarget(user.id, device.id, message.Registration(device.kind, device.value))
    return message.EmailTarget(address=user.email, name=user.name or "")


def _context(notice: recipients.Notice, public_url: str, now: datetime.datetime) -> contexts.Context:
    user = notice.user
    zone = reminders.zone(user.time_zone)
    today = now.astimezone(zone).date()
    match notice:
        case recipients.DueNotice(debt=debt):
            due_date = cast(datetime.date, debt.due_date)  # recipients.load says so: it gives none for a debt without one
            return contexts.DueContext(debt=_debt(debt), days=(today - due_date).days, user_name=user.name)
        case recipients.ReminderNotice(debt=debt):
            return contexts.ReminderContext(
                at=notice.at.astimezone(zone),
                message=notice.message,
                contact=notice.contact,
                debt=None if debt is None else _debt(debt),
                days=None if debt is None or debt.due_date is None else (today - debt.due_date).days,
                user_name=user.name,
            )
        case recipients.VerifyNotice():
            link = f"{public_url}/verify?token={notice.token}"
            return contexts.VerifyContext(address=user.email, link=link, valid_hours=notice.valid_hours, user_name=user.name)
        case recipients.ResetNotice():
            link = f"{public_url}/reset?token={notice.token}"
            return contexts.ResetContext(address=user.email, link=link, valid_hours=notice.valid_hours, user_name=user.name)
        case recipients.WelcomeNotice():
            link = f"{public_url}/reset?token={notice.token}"
            return contexts.WelcomeContext(address=user.email, link=link, valid_hours=notice.valid_hours, user_name=user.name)


def _debt(debt: recipients.Debt) -> contexts.Debt:
    return contexts.Debt(
        contact=debt.contact,
        direction=debt.direction,
        what=_what(debt),
        transaction_date=debt.transaction_date,
        description=debt.description,
        due_date=debt.due_date,
    )


def _what(debt: recipients.Debt) -> contexts.Money | contexts.Item:
    if debt.item is not None:
        return contexts.Item(name=debt.item, quantity=debt.open_amount)
    currency = money.CURRENCIES[str(debt.currency)]
    return contexts.Money(
        amount_minor=debt.open_amount,
        currency=currency.code,
        exponent=currency.exponent,
        original_minor=None if debt.amount == debt.open_amount else debt.amount,
    )
