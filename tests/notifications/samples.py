"""One context of every kind of mail there is; their golden files show what people get."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from notifications.contexts import (
    AccountContext,
    Context,
    Debt,
    DigestContext,
    DueContext,
    Entry,
    Item,
    Money,
    ReminderContext,
)

MADRID = ZoneInfo("Europe/Madrid")
LINK = "https://debitum.example/app/transactions/4be0643f-1d98-573b-97cd-ca98a65347dd?from=mail&kind=due"

TICKETS = Debt(
    contact="Ana Lucía",
    direction="lent",
    what=Money(1250, "EUR", 2),
    transaction_date=date(2026, 11, 3),
    due_date=date(2026, 11, 22),
    description="Concert tickets",
)
RENT = Debt(
    contact="Hana 花",
    direction="owed",
    what=Money(123_456, "JPY", 0, original_minor=200_000),
    transaction_date=date(2026, 10, 1),
    due_date=date(2026, 11, 23),
)
DRILL = Debt(
    contact="Łucja",
    direction="lent",
    what=Item("drill"),
    transaction_date=date(2026, 8, 30),
    due_date=date(2026, 11, 15),
    description="The green one, with its case & the <long> bits",
)
PLATES = Debt(
    contact="Nour نور",
    direction="owed",
    what=Item("plates", 12),
    transaction_date=date(2026, 11, 20),
    due_date=date(2026, 11, 25),
)

UNSUBSCRIBE = "https://debitum.example/unsubscribe?token=AZrAsfoAcACQvLxiK0bnyQAKvPtcnYjx41U7HsYQXWpd"

READERS = {"en": "en-GB", "de": "de-DE", "ar": "ar-EG"}
"""By the language of their golden files: who reads them. Egypt writes Arabic digits, where `ar` alone writes Latin ones."""

SAMPLES: dict[str, tuple[str, Context]] = {
    "due-lent-today": ("due", DueContext(debt=TICKETS, days=0, user_name="Sam", link=LINK, unsubscribe=UNSUBSCRIBE)),
    "due-owed-tomorrow": ("due", DueContext(debt=RENT, days=-1)),
    "due-item-lent-overdue": ("due", DueContext(debt=DRILL, days=7, user_name="Sam", link=LINK)),
    "due-items-owed-soon": ("due", DueContext(debt=PLATES, days=-3, user_name="Sam")),
    "digest": (
        "digest",
        DigestContext(
            entries=(Entry(DRILL, 7, LINK), Entry(TICKETS, 0, LINK), Entry(RENT, -1, LINK), Entry(PLATES, -3, LINK)),
            more=3,
            user_name="Sam",
            unsubscribe=UNSUBSCRIBE,
        ),
    ),
    "digest-of-one": ("digest", DigestContext(entries=(Entry(RENT, -1),))),
    "reminder-debt": (
        "reminder",
        ReminderContext(
            at=datetime(2026, 11, 22, 18, 5, tzinfo=MADRID),
            message="Ask Ana whether she wants to pay in two parts.\n\nShe has a new number: it is in the notes, and it works "
            "only in the evening, when she is at home & not <driving>.",
            debt=TICKETS,
            days=0,
            user_name="Sam",
            link=LINK,
            unsubscribe=UNSUBSCRIBE,
        ),
    ),
    "reminder-contact": (
        "reminder",
        ReminderContext(at=datetime(2026, 11, 22, 9, 0, tzinfo=MADRID), message="Bring the plates back", contact="Nour نور"),
    ),
    "reminder-bare": ("reminder", ReminderContext(at=datetime(2026, 11, 22, 9, 0, tzinfo=MADRID), user_name="Sam")),
    "verify": (
        "verify",
        AccountContext(
            address="sam@example.org",
            link="https://debitum.example/verify?token=qcGFmPZ0y5iLhYvY4JmK3sX1r7tB9nDwE2aHuUoVx8k",
            valid_hours=24,
            user_name="Sam",
        ),
    ),
    "reset": (
        "reset",
        AccountContext(
            address="sam@example.org",
            link="https://debitum.example/reset?token=qcGFmPZ0y5iLhYvY4JmK3sX1r7tB9nDwE2aHuUoVx8k",
            valid_hours=1,
            user_name="Sam",
        ),
    ),
    "welcome": (
        "welcome",
        AccountContext(
            address="sam@example.org",
            link="https://debitum.example/reset?token=qcGFmPZ0y5iLhYvY4JmK3sX1r7tB9nDwE2aHuUoVx8k",
            valid_hours=72,
            user_name="Sam",
        ),
    ),
    "invite": (
        "invite",
        AccountContext(
            address="sam@example.org",
            link="https://debitum.example/join?invite=qcGFmPZ0y5iLhYvY4JmK3sX1r7tB9nDwE2aHuUoVx8k",
            valid_hours=336,
        ),
    ),
}
