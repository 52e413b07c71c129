"""However time is cut up into runs, with downtime of up to 24 hours: everything is told exactly once, in a digest or alone."""

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select, update

from domain import reminders as rules
from storage import due, outbox, recipients, roles, tables
from tests.storage import rows

START = datetime.datetime(2026, 10, 22, tzinfo=datetime.UTC)
"""Summer time ends in Europe on the 25th."""
MINUTE, DAY = datetime.timedelta(minutes=1), datetime.timedelta(days=1)
CLOCKS = st.sampled_from(["00:00", "02:30", "09:00", "23:45"])
CHANNELS = st.sampled_from([["email", "push"], ["push"], ["email"]])
GAPS = st.just(24 * 60) | st.integers(1, 24 * 60) | st.integers(1, 60)
MINUTES = st.integers(0, 5 * 24 * 60)
SETTINGS = st.fixed_dictionaries(
    {
        "due_offsets_days": st.lists(st.integers(-2, 2), min_size=2, max_size=4),
        "local_time": CLOCKS,
        "quiet_hours": st.none() | st.fixed_dictionaries({"from": CLOCKS, "to": CLOCKS}),
        "channels": CHANNELS,
        "digest": st.booleans(),
    },
    optional={"explicit_channels": CHANNELS},
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"])
RULES = st.sampled_from([None, None, "FREQ=DAILY", "FREQ=DAILY;INTERVAL=2;BYHOUR=2,9", "FREQ=WEEKLY;COUNT=2"])


@dataclass
class Plan:
    """A ledger and the runs over it."""

    settings: dict[str, Any]
    zone: str
    due_days: list[int]
    muted: bool
    asked: list[tuple[int, int | None, str | None]]
    """When, snoozed until (minutes from START), how it repeats."""
    gaps: list[int]
    """Minutes between runs."""
    sends: list[bool]
    """Whether what is ready goes out after each run."""


PLANS = st.builds(
    Plan,
    settings=SETTINGS,
    zone=ZONES,
    due_days=st.lists(st.integers(-1, 5), min_size=3, max_size=4),
    muted=st.booleans(),
    asked=st.lists(st.tuples(MINUTES, st.none() | MINUTES, RULES), min_size=1, max_size=3),
    gaps=st.lists(GAPS, min_size=6, max_size=8),
    sends=st.lists(st.sampled_from([True, True, False]), min_size=8, max_size=8),
)


@dataclass
class Household:
    """A ledger of a plan, and what was told of it so far: by key, how often."""

    connection: Connection
    plan: Plan
    ledger: rows.Ledger = field(init=False)
    told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.ledger = rows.ledger(self.connection, time_zone=self.plan.zone)
        contact, hushed = self.ledger.contact(), self.ledger.contact("Ben")
        stored = self.plan.settings | ({"muted_contacts": [str(hushed)]} if self.plan.muted else {})
        self.connection.execute(update(tables.users).values(reminder_settings=stored))
        for number, day in enumerate(self.plan.due_days):
            self.ledger.money(hushed if number % 3 == 2 else contact, due_date=START.date() + day * DAY)
        for minute, snooze, rule in self.plan.asked:
            snoozed = None if snooze is None else START + snooze * MINUTE
            at = START + minute * MINUTE
            self.ledger.reminder(at, snoozed_until=snoozed, repeat=rule, channels=["email", "push"], time_zone=self.plan.zone)

    def run(self, now: datetime.datetime) -> None:
        """One run of the job that looks for what is due."""
        for source in due.SOURCES:
            page = due.enqueue_page(self.connection, source, now=now, limit=3)
            while page.following is not None:
                page = due.enqueue_page(self.connection, source, now=now, cursor=page.following, limit=3)

    def send(self, now: datetime.datetime) -> datetime.datetime | None:
        """What is ready goes out; files take it, so that nobody needs a device. Until when quiet hours keep back the rest."""
        until: datetime.datetime | None = None
        for channel in rules.CHANNELS:
            for row in outbox.claim(self.connection, channel, now=now):
                notice = recipients.load(self.connection, row, local=True, keys=None, now=now)
                if isinstance(notice, recipients.Later):
                    assert outbox.postpone(self.connection, row, notice.at)
                    until = notice.at
                    continue
                assert isinstance(notice, recipients.About), notice
                if isinstance(notice, recipients.DigestNotice):
                    self.told.update(self._covered(row.dedupe_key))
                else:
                    self.told[row.dedupe_key] += 1
                attempt = outbox.start(self.connection, row, "files", now=now)
                assert attempt is not None
                outbox.finish(self.connection, row, attempt, "sent", "250", now=now)
        return until

    def expected(self, after: datetime.datetime, until: datetime.datetime) -> set[str]:
        """What the rules say of the whole time at once."""
        stored = self.connection.execute(select(tables.users.c.reminder_settings)).scalar_one()
        settings, window = rules.read_settings(stored), {"after": after, "until": until}
        debts = self.connection.execute(select(tables.transactions)).mappings()
        asked = self.connection.execute(select(tables.reminders)).mappings()
        found = [one for row in debts for one in rules.due_dates(due.debt_of(row), settings, self.plan.zone, **window)]
        found += [one for row in asked for one in rules.explicit(recipients.reminder_of(row), settings, **window)]
        return {one.key for one in found}

    def _covered(self, digest: str) -> list[str]:
        its = tables.outbox.c
        return list(self.connection.scalars(select(its.dedupe_key).where(its.payload["digest"].astext == digest)))


@hypothesis.settings(
    max_examples=15,
    phases=[hypothesis.Phase.generate],  # to find a smaller failure would take minutes: each example is a few hundred statements
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(PLANS)
def test_any_cut_of_time_tells_everything_once(database: Engine, plan: Plan) -> None:
    with database.connect() as connection, connection.begin() as everything:
        household = Household(connection, plan)
        roles.enter(connection, roles.JOBS)
        now = first = START + plan.gaps[0] * MINUTE
        for gap, sends in zip([0, *plan.gaps[1:]], plan.sends, strict=False):
            now += gap * MINUTE
            household.run(now)
            if sends:
                household.send(now + due.DIGEST_DELAY)
        if (until := household.send(now + 2 * DAY)) is not None:
            assert household.send(until) is None
        assert household.told == Counter(household.expected(first - rules.LATE, now))
        everything.rollback()
