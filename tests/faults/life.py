"""Ledgers with a past, a present and things that are due; and what has to be true of every asset that follows from them."""

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import polars
from sqlalchemy import Connection, Engine, func, insert, select, text, update

from storage import balances, roles, tables
from storage.encryption import KeyRing
from storage.snapshots import audit, files, progress, questions
from storage.snapshots.places import Root
from storage.snapshots.schema import SNAPSHOTS
from storage.snapshots.tables import POSTINGS, TABLES
from tests.faults.providers import now
from tests.pipelines import postings
from tests.pipelines.postings import Posting
from tests.storage import rows

DAYS: Final = 4
"""Between the first ledger and today."""
LEDGERS: Final = balances.CHUNK_LEDGERS + 20
"""More than a run covers in one transaction."""
DUE: Final = 20
"""Of each kind of reminder."""
GRACE: Final = datetime.timedelta(minutes=6)
"""After midnight: the schedule asks for the day before at five past."""
JUST_IN_TIME, TOO_LATE = datetime.timedelta(hours=23), datetime.timedelta(hours=25)
OUTLIVED, KEPT = datetime.timedelta(days=40), datetime.timedelta(days=3)
_OLD: Final = "outlived"
"""The kind of messages that retention removes."""


@dataclass
class Life:
    """What was put into the database of `engine`, by hand, as if the API had recorded it in the past days.

    `root` is the data folder. `keys` are the reminders that must be in the outbox in the end, and no others.
    """

    engine: Engine
    root: Path
    ring: KeyRing
    today: datetime.date = field(default_factory=lambda: (now() - GRACE).date())
    keys: set[str] = field(default_factory=set)
    young: int = 0
    """Messages that retention must keep."""
    sends: bool = True
    """Whether anybody sends what is in the outbox."""

    @property
    def url(self) -> str:
        """Of the database."""
        return self.engine.url.render_as_string(hide_password=False)

    @property
    def files(self) -> Root:
        """Where the snapshots lie."""
        return Root(self.root)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction of the jobs role."""
        with self.engine.begin() as connection:
            roles.enter(connection, roles.JOBS)
            yield connection

    def midday(self, days_ago: int) -> datetime.datetime:
        """Of a past day; of today the first moment."""
        clock = datetime.time(12) if days_ago else datetime.time()
        return datetime.datetime.combine(self.today - datetime.timedelta(days_ago), clock, datetime.UTC)

    def past(self) -> None:
        """One ledger with a debt on each of the last days, which no file knows yet."""
        with self.engine.begin() as connection:
            ledger = postings.ledger(connection, created_at=self.midday(DAYS))
            for days_ago in range(DAYS, -1, -1):
                self._post(connection, ledger, days_ago)

    def changes(self, ledgers: int = LEDGERS) -> UUID:
        """Ledgers whose balances nobody has summed yet; the last one in the order in which they are summed."""
        with self.engine.begin() as connection:
            made = [postings.ledger(connection, created_at=self.midday(0)) for _ in range(ledgers)]
            for ledger in made:
                self._post(connection, ledger, 0)
        return max(made)

    def lost_day(self) -> None:
        """Yesterday's files are not there, and something had happened on that day."""
        yesterday = self.today - datetime.timedelta(days=1)
        for table in TABLES:
            files.path_of(self.files, table, yesterday).unlink(missing_ok=True)
        with self.engine.begin() as connection:
            self._post(connection, postings.ledger(connection, created_at=self.midday(1)), 1)

    def _post(self, connection: Connection, ledger: UUID, days_ago: int) -> None:
        """What is repaid in between leaves a row in the files and none in Postgres."""
        at, ana, ben = self.midday(days_ago), uuid.uuid4(), uuid.uuid4()
        postings.commit(connection, ledger, Posting(ana, 500 + days_ago, at=at), Posting(ben, -70, "JPY", at=at))
        postings.commit(connection, ledger, Posting(ben, 70, "JPY", at=at), Posting(ana, 3, "USD", at=at))

    def due(self) -> None:
        """Debts and reminders that came due between an hour and almost a day ago; and some that are too late to tell of."""
        with self.engine.begin() as connection:
            for late in (JUST_IN_TIME, datetime.timedelta(hours=1), TOO_LATE):
                for _ in range(DUE):
                    told = {self._debt(connection, now() - late), self._reminder(connection, now() - late)}
                    self.keys |= told if late < TOO_LATE else set()

    def _debt(self, connection: Connection, at: datetime.datetime) -> str:
        settings = {"channels": ["email"], "due_offsets_days": [0], "local_time": f"{at:%H:%M}"}
        ledger = self._ledger(connection, settings)
        return f"due:{ledger.money(ledger.contact(), due_date=at.date())}:{at:%F}:0:email"

    def _reminder(self, connection: Connection, at: datetime.datetime) -> str:
        at = at.replace(microsecond=0)
        return f"reminder:{self._ledger(connection, {}).reminder(at, message='Ask')}:{at:%FT%T}:email"

    def _ledger(self, connection: Connection, settings: dict[str, object]) -> rows.Ledger:
        ledger = rows.ledger(connection, settings=settings)
        sealed = self.ring.new_data_key(str(ledger.id))
        its = tables.ledgers.c.id == ledger.id
        connection.execute(update(tables.ledgers).where(its).values(data_key=sealed, created_at=self.midday(0)))
        return ledger

    def outlived(self) -> bytes:
        """Messages and counts of wrong passwords, old and young; the key of an old count."""
        with self.engine.begin() as connection:
            ledger = postings.ledger(connection, created_at=self.midday(0))
            for age in (OUTLIVED, KEPT):
                _message(connection, ledger, now() - age)
            key = uuid.uuid4().bytes
            connection.execute(insert(tables.login_attempts).values(key=key, failures=1, last_at=now() - OUTLIVED))
        self.young += 1
        return key

    # --- what must be true ------------------------------------------------------------------------------------------

    def wrong(self, before: datetime.datetime) -> list[str]:
        """What is not as it should be; empty: all is right, and no run from `before` goes on."""
        return self.under_way(before) or [text for _, text in self.all_wrong()]

    def under_way(self, before: datetime.datetime) -> list[str]:
        """Runs from before that moment that go on, or that Dagster believes to go on."""
        with self.engine.connect() as connection:
            if connection.scalar(_DAGSTER) is None:
                return []
            found = connection.execute(_UNDER_WAY, {"before": before.replace(tzinfo=None)})
            return [f"run {row.run_id} of {row.pipeline_name} is {row.status}" for row in found]

    def all_wrong(self) -> list[tuple[str, str]]:
        """What is not as it should be in the assets, and in which of them."""
        return [(name, text) for name, look in _ASSETS.items() for text in look(self)]


def _message(connection: Connection, ledger: UUID, finished_at: datetime.datetime) -> None:
    key = {"ledger_id": ledger, "id": uuid.uuid4(), "dedupe_key": str(uuid.uuid4()), "kind": _OLD, "channel": "email"}
    times = {"next_at": finished_at, "created_at": finished_at, "finished_at": finished_at}
    connection.execute(insert(tables.outbox).values(**key, **times, payload={}, state="sent"))


def _outbox(life: Life) -> Iterator[str]:
    """It has what is due, each once, and all of it is sent."""
    its = tables.outbox.c
    with life.begin() as connection:
        found = connection.execute(select(its.dedupe_key, its.state).where(its.kind.in_(("due", "reminder")))).all()
    there = [row.dedupe_key for row in found]
    if missing := life.keys - set(there):
        yield f"{len(missing)} reminders are missing, such as {min(missing)}"
    if surplus := set(there) - life.keys:
        yield f"{len(surplus)} reminders are nothing that is due, such as {min(surplus)}"
    if len(there) > len(set(there)):
        yield f"{len(there) - len(set(there))} reminders are there twice"
    if life.sends and (open_ := [row.dedupe_key for row in found if row.state != "sent"]):
        yield f"{len(open_)} reminders are not sent"


def _retention(life: Life) -> Iterator[str]:
    """What is old is gone, and what is young is there."""
    old, its = now() - datetime.timedelta(days=31), tables.outbox.c
    with life.begin() as connection:
        counts = tables.login_attempts
        left = connection.execute(select(func.count()).select_from(counts).where(counts.c.last_at < old)).scalar_one()
        messages = select(func.count()).select_from(tables.outbox).where(its.kind == _OLD)
        left += connection.execute(messages.where(its.finished_at < old)).scalar_one()
        kept = connection.execute(messages.where(its.finished_at >= old)).scalar_one()
    if left:
        yield f"{left} rows have outlived their horizon"
    if kept != life.young:
        yield f"{kept} messages of {life.young} are there that retention must keep"


def _balances(life: Life) -> Iterator[str]:
    """No ledger waits, and every balance is the sum of its postings."""
    with life.begin() as connection:
        dirty = connection.scalar(select(func.count()).select_from(tables.ledgers).where(tables.ledgers.c.dirty))
        behind = connection.scalar(_BEHIND)
    if dirty or behind:
        yield f"{dirty} ledgers are dirty, the balances of {behind} are behind"
    yield from (f"a balance is wrong: {one}" for one in balances.differences(life.begin))


def _days(life: Life) -> Iterator[str]:
    """Every day that is over has all its files, final; they say what Postgres says, and nothing half done lies beside them."""
    with life.begin() as connection:
        first = progress.first_day(connection)
        assert first is not None
        if missing := progress.unfinished(life.files, first, life.today):
            yield f"no final files of {', '.join(map(str, missing))}"
            return
        for day in (first + datetime.timedelta(number) for number in range((life.today - first).days)):
            yield from (f"the file of {day} is wrong: {one}" for one in audit.differences(connection, life.files, day))
            lines = polars.read_parquet(str(files.path_of(life.files, POSTINGS, day)), hive_partitioning=False).height
            posted = connection.scalar(_POSTED, {"day": day})
            if lines != posted:
                yield f"{lines} postings of {posted} are in the file of {day}"
    for left in (life.root / SNAPSHOTS).rglob(".building-*"):
        yield f"{left} was left over"


def _analytics(life: Life) -> Iterator[str]:
    """What stands beside the days is there, and knows the ledgers that there were when it was written last."""
    if not (life.root / questions.DATABASE).exists():
        yield "there is no analytics.duckdb"
        return
    _, [(known,)] = questions.query(life.files, f"select count(*) from dim_ledger where created_on < date '{life.today}'")
    with life.begin() as connection:
        there = connection.scalar(_OLDER_LEDGERS, {"today": life.today})
    if known != there:
        yield f"dim_ledger has {known} of {there} ledgers from before today"


_ASSETS: Final = {
    "outbox": _outbox,
    "retention": _retention,
    "balances": _balances,
    "snapshots": _days,
    "analytics": _analytics,
}
_DAGSTER: Final = text("select to_regclass('dagster.runs')")
_UNDER_WAY: Final = text("""
    select run_id, pipeline_name, status from dagster.runs
    where status not in ('SUCCESS', 'FAILURE', 'CANCELED') and create_timestamp < :before
""")
_BEHIND: Final = text("""
    select count(*) from debitum.ledgers left join debitum.projection_marks on ledger_id = id
    where version > coalesce(covered_seq, 0)
""")
_POSTED: Final = text("select count(*) from debitum.postings where (recorded_at at time zone 'UTC')::date = :day")
_OLDER_LEDGERS: Final = text("select count(*) from debitum.ledgers where (created_at at time zone 'UTC')::date < :today")
