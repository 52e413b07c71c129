"""Asks what it costs to find what is due: some hundredth of all open debts, by the very step that a run of Dagster takes."""

import datetime
import sys
from typing import Final, NamedTuple, cast

import dagster as dg
import psycopg

from bench import apart, filling, harness
from bench.materialise import short
from domain import reminders
from pipelines.defs import resources
from pipelines.defs.reminders import assets
from storage import urls


class Plan(NamedTuple):
    """How much is measured: of the open debts of `ledgers` so many are due on each of DAYS days."""

    ledgers: int
    debts_a_day: int

    @property
    def debts(self) -> int:
        """All that are open."""
        return self.debts_a_day * DAYS

    @property
    def due(self) -> int:
        """Those of which somebody has to be told: each offset finds the debts of one day."""
        return self.debts_a_day * len(reminders.Settings().due_offsets_days)

    @property
    def messages(self) -> int:
        """One a channel."""
        return self.due * len(reminders.Settings().channels)


LONG, SHORT = Plan(ledgers=10_000, debts_a_day=3_334), Plan(ledgers=1_000, debts_a_day=334)
"""A million open debts with ten thousand that are due, and a fifth of it."""
DAYS: Final = 300
"""As many lie behind as ahead: of a debt that is long due nothing is said any more."""
CONTACTS: Final = 20
"""Of each ledger: five open debts of each."""
SETTLED_OF: Final = 100
"""Of so many ledgers one has a debt that is due today and has been paid back."""
TOLD_HOURS_AGO: Final = 1
"""The hour at which users are told was so long ago: no round crosses it, whenever this runs."""
ROUNDS: Final = 3
GOAL_SECONDS: Final = 2.0


class Looked(NamedTuple):
    """What one look found: debts that it had to look at, and messages that it put into the outbox."""

    candidates: int
    messages: int


def look(url: str) -> Looked:
    """The whole of the asset, as a run executes it: every source, page by page, each page in a transaction of its own.

    Dagster makes itself an instance in memory for it, which takes 0.2 s; a run has one, and takes a second to start instead.
    """
    result = cast("dg.MaterializeResult[None]", assets.due_reminders(database=resources.Database(url=url)))
    told = cast("dict[str, dg.IntMetadataValue]", result.metadata)
    return Looked(told["looked_at"].value or 0, told["dagster/row_count"].value or 0)


class Found(NamedTuple):
    """Rounds, in seconds: of the look that finds them, of the one after it that finds nothing new, and of bare statements."""

    whole: list[float]
    database: list[float]
    again: list[float]
    bare_find: list[float]
    bare_insert: list[float]
    peak_mb: list[float]
    candidates: list[int]


def measure(plan: Plan) -> Found:
    """In each round the outbox is empty at first."""
    found = Found(*([] for _ in Found._fields))
    with harness.database() as url, psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        today = _fill(connection, plan)
        for turn in range(ROUNDS + 1):
            connection.execute("truncate debitum.outbox cascade")
            filling.settle(connection)
            bare = _bare(connection, today)
            before = harness.database_seconds(connection)
            first = apart.run(look, url)
            between = harness.database_seconds(connection)
            _check(connection, plan, today)
            again = apart.run(look, url)
            _check(connection, plan, today)
            assert (first.result.messages, again.result.messages) == (plan.messages, 0)
            if turn:  # the first warms up what a server that has run for a while has warm
                found.whole.append(first.seconds)
                found.database.append(between - before)
                found.again.append(again.seconds)
                found.bare_find.append(bare[0])
                found.bare_insert.append(bare[1])
                found.peak_mb.append(first.peak_mb)
                found.candidates.append(first.result.candidates)
    return found


def _fill(connection: psycopg.Connection[tuple[object, ...]], plan: Plan) -> datetime.date:
    """Open debts, due in turn on each of the days around today, and some that are settled; the day that users have today."""
    told_at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=TOLD_HOURS_AGO)
    today = told_at.date()
    bound = {"ledgers": plan.ledgers, "debts": plan.debts, "today": today, "local_time": f"{told_at:%H:%M}"}
    connection.execute("set synchronous_commit = off")  # of this session alone, which only prepares
    connection.execute(_USERS, bound)
    connection.execute(_OPEN, bound)
    connection.execute(_SETTLED, bound)
    return today


def _bare(connection: psycopg.Connection[tuple[object, ...]], today: datetime.date) -> tuple[float, float]:
    """Of a statement that finds the same debts, and of one that puts as many messages into a table like the outbox.

    They know the three days and ask nobody: not what a user wants and in which zone, what is settled, or what has been told.
    """
    bound = {"today": today}
    find = harness.seconds(lambda: connection.execute(f"select count(*) from ({_DUE}) due", bound))
    connection.execute("create table bare (like debitum.outbox including all)")
    insert = harness.seconds(lambda: connection.execute(_BARE_INSERT, bound))
    connection.execute("drop table bare")
    return find, insert


def _check(connection: psycopg.Connection[tuple[object, ...]], plan: Plan, today: datetime.date) -> None:
    """In the outbox is what is due and not settled, each once a channel, and nothing else."""
    assert connection.execute(_WRONG, {"today": today}).fetchone() == (plan.messages, plan.messages, 0)


_USERS: Final = """
    insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                               created_at)
    select md5('user ' || n)::uuid, md5('ledger ' || n)::uuid, n || '@example.org', '', 'UTC', 'en', 'EUR',
           jsonb_build_object('local_time', %(local_time)s::text), now()
    from generate_series(0, %(ledgers)s - 1) n
"""
_COLUMNS: Final = """
    ledger_id, id, created_seq, created_at, changed_seq, updated_at, marks, contact_id, type, direction, amount, currency,
    description, transaction_date, due_date, due_changed_at, repays
"""
_OPEN: Final = f"""
    insert into debitum.transactions ({_COLUMNS})
    select md5('ledger ' || n %% %(ledgers)s)::uuid, md5('debt ' || n)::uuid, n / %(ledgers)s + 1, then_, n / %(ledgers)s + 1,
           then_, '{{}}', md5('contact ' || n %% %(ledgers)s || ' ' || n / %(ledgers)s %% {CONTACTS})::uuid, 'money', 'lent',
           1 + n %% 997, 'EUR', 'lunch and taxi to the concert', due - 30, due, then_, null
    from generate_series(0, %(debts)s - 1) n
    cross join lateral (
        select %(today)s::date + (n %% {DAYS} - {DAYS // 2})::integer as due, now() - interval '1 year' as then_
    ) at
"""  # numbers of ours
_SETTLED: Final = f"""
    insert into debitum.transactions ({_COLUMNS})
    select md5('ledger ' || n)::uuid, md5(what || n)::uuid, seq, then_, seq, then_, '{{}}',
           md5('settled contact ' || n)::uuid, 'money', direction, 500, 'EUR', what, %(today)s::date, due, due_set_at,
           case when what = 'repayment' then md5('settled debt' || n)::uuid end
    from generate_series(0, %(ledgers)s - 1, {SETTLED_OF}) n
    cross join lateral (select now() - interval '1 year' as then_) at
    cross join lateral (values ('settled debt', 1000001, 'lent', %(today)s::date, then_),
                               ('repayment', 1000002, 'owed', null, null)) as of (what, seq, direction, due, due_set_at)
"""
_DUE: Final = """
    select ledger_id, id, description, due_date, %(today)s::date - due_date as after from debitum.transactions
    where due_date in (%(today)s::date + 1, %(today)s::date, %(today)s::date - 7) and deleted_seq is null and returned_at is null
"""
_BARE_INSERT: Final = f"""
    insert into bare (ledger_id, id, dedupe_key, kind, channel, payload, next_at, created_at)
    select ledger_id, gen_random_uuid(), concat_ws(':', 'due', id, due_date, after, channel), 'due', channel,
           jsonb_build_object('transaction_id', id, 'due_date', due_date, 'offset_days', after), now(), now()
    from ({_DUE}) due cross join (values ('email'), ('push')) as of (channel)
"""
_WRONG: Final = f"""
    with wanted as (
        select ledger_id, concat_ws(':', 'due', id, due_date, after, channel) as dedupe_key
        from ({_DUE}) due cross join (values ('email'), ('push')) as of (channel)
        where description <> 'settled debt'
    )
    select count(dedupe_key), count(outbox.id), count(*) filter (where dedupe_key is null or outbox.id is null)
    from wanted full join debitum.outbox using (ledger_id, dedupe_key)
"""


def _rows(plan: Plan, found: Found) -> list[harness.Row]:
    row, name = harness.row, f"reminders_{short(plan.debts)}"
    return [
        row(name, found.whole, "s", goal=GOAL_SECONDS),
        row(f"{name}_database", found.database, "s of the database", goal=GOAL_SECONDS),
        row(f"{name}_again", found.again, "s"),
        row(f"{name}_bare_find", found.bare_find, "s"),
        row(f"{name}_bare_insert", found.bare_insert, "s"),
        row(f"{name}_peak", found.peak_mb, "MB"),
    ]


def main() -> None:
    """Run it; with --long in the size of the goal, else a fifth of it."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    found = measure(plan)
    harness.report(
        "reminders_long" if is_long else "reminders",
        _rows(plan, found),
        plan=plan._asdict(),
        rounds=ROUNDS,
        open_debts=plan.debts,
        due=plan.due,
        messages=plan.messages,
        looked_at=found.candidates[0],
    )


if __name__ == "__main__":
    main()
