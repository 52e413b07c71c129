"""Turns what the database says about a message into the words that go out."""

import datetime
from typing import Final, cast

from domain import money, zones
from notifications import contexts, message, render
from notifications.links import Links
from storage import outbox, recipients

MOST_IN_A_DIGEST: Final = 30
"""Debts that a digest writes out: more than anyone reads in a mail."""


def compose(claimed: outbox.Claimed, notice: recipients.Notice, *, links: Links, now: datetime.datetime) -> message.Message:
    """The mail or push of a claimed row."""
    user = notice.user
    context = _context(notice, links, now)
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
        headers=_headers(context),
        # A push that is sent again takes the place of itself on the device.
        collapse_key=str(claimed.id) if claimed.channel == "push" else None,
        link=context.link if isinstance(context, contexts.DueContext | contexts.ReminderContext) else None,
    )


def _headers(context: contexts.Context) -> tuple[tuple[str, str], ...]:
    """By which mail programs offer to end mails of this kind, with one click (RFC 2369, RFC 8058)."""
    link = getattr(context, "unsubscribe", None)
    return () if link is None else (("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))


def _target(claimed: outbox.Claimed, user: recipients.User) -> message.EmailTarget | message.PushTarget:
    if claimed.channel == "push":
        if (device := user.device) is None:
            return message.PushTarget(user_id=user.id)
        return message.PushTarget(user.id, device.id, message.Registration(device.kind, device.value))
    return message.EmailTarget(address=user.email, name=user.name or "")


def _context(notice: recipients.Notice, links: Links, now: datetime.datetime) -> contexts.Context:
    user = notice.user
    zone = zones.zone(user.time_zone)
    today = now.astimezone(zone).date()
    unsubscribe = None if user.unsubscribe is None else links.page("unsubscribe", user.unsubscribe)
    match notice:
        case recipients.DueNotice(debt=debt):
            one = _entry(debt, today, links)
            return contexts.DueContext(debt=one.debt, days=one.days, user_name=user.name, link=one.link, unsubscribe=unsubscribe)
        case recipients.DigestNotice(debts=debts):
            entries = tuple(_entry(debt, today, links) for debt in debts[:MOST_IN_A_DIGEST])
            more = len(debts) - len(entries)
            return contexts.DigestContext(entries=entries, more=more, user_name=user.name, unsubscribe=unsubscribe)
        case recipients.ReminderNotice(debt=debt):
            return contexts.ReminderContext(
                at=notice.at.astimezone(zone),
                message=notice.message,
                contact=notice.contact,
                debt=None if debt is None else _debt(debt),
                days=None if debt is None or debt.due_date is None else (today - debt.due_date).days,
                user_name=user.name,
                link=None if debt is None else links.debt(debt.transaction_id, debt.contact_id),
                unsubscribe=unsubscribe,
            )
        case recipients.AccountNotice(purpose=page, token=token):
            link = links.page(page, token)
            return contexts.AccountContext(address=user.email, link=link, valid_hours=notice.valid_hours, user_name=user.name)


def _entry(debt: recipients.Debt, today: datetime.date, links: Links) -> contexts.Entry:
    due_date = cast(datetime.date, debt.due_date)  # recipients.load says so: it reminds of no due date that is none
    return contexts.Entry(_debt(debt), (today - due_date).days, links.debt(debt.transaction_id, debt.contact_id))


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
