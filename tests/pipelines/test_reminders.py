"""The asset that looks for what is due, and the check that messages leave the outbox, run by Dagster on a real database."""

import datetime
import importlib

import dagster as dg
import pytest
from sqlalchemy import Engine, select, update

from pipelines.defs import resources
from pipelines.defs.dispatch import assets as outbox_assets
from pipelines.defs.reminders import assets, schedules
from storage import tables
from tests.storage import rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture
def remind(database_url: str) -> dg.JobDefinition:
    definitions = dg.Definitions(
        assets=[assets.due_reminders, outbox_assets.waiting, outbox_assets.deliveries],
        asset_checks=[outbox_assets.messages_leave],
        jobs=[schedules.remind],
        schedules=[schedules.remind_schedule],
        resources={"database": resources.Database(url=database_url)},
    )
    return definitions.resolve_job_def("remind")


def _run(job: dg.JobDefinition) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance)


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (materialization,) = result.asset_materializations_for_node("due_reminders")
    return {name: value.value for name, value in materialization.metadata.items()}


def test_what_is_due_is_put_into_the_outbox_once(database: Engine, remind: dg.JobDefinition) -> None:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=2)
    with database.begin() as connection:
        settings = {"local_time": f"{at:%H:%M}", "channels": ["email", "push"]}
        ledger = rows.ledger(connection, settings=settings)
        contact = ledger.contact("Ada Lovelace")
        ledger.money(contact, 4_711, due_date=at.date())
        ledger.reminder(at, contact_id=contact)
    first, second = _run(remind), _run(remind)
    metadata = _metadata(first)
    preview = str(metadata.pop("preview"))
    assert metadata == {
        "dagster/row_count": 3,
        "looked_at": 2,
        "due_email": 1,
        "due_push": 1,
        "reminder_email": 1,
        "reminder_push": 0,
    }
    assert preview.count(f"{at:%F %H:%M}") >= 3
    assert str(ledger.id) not in preview
    assert "Ada" not in preview
    assert "4711" not in preview
    assert _metadata(second)["dagster/row_count"] == 0
    with database.connect() as connection:
        assert set(connection.scalars(select(tables.outbox.c.state))) == {"pending"}


def test_a_run_reads_all_pages(database: Engine, remind: dg.JobDefinition) -> None:
    now = datetime.datetime.now(datetime.UTC)
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        for number in range(1, 502):
            ledger.reminder(now - datetime.timedelta(seconds=number))
    assert _metadata(_run(remind))["reminder_email"] == 501


def test_a_run_finds_what_repeats(database: Engine, remind: dg.JobDefinition) -> None:
    now = datetime.datetime.now(datetime.UTC)
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        reminder = ledger.reminder(now - datetime.timedelta(days=30, minutes=2), repeat="FREQ=DAILY;INTERVAL=10")
    assert _metadata(_run(remind))["reminder_email"] == 1
    assert _metadata(_run(remind))["reminder_email"] == 0
    with database.connect() as connection:
        (key,) = connection.scalars(select(tables.outbox.c.dedupe_key))
    assert key == f"reminder:{reminder}:{now - datetime.timedelta(minutes=2):%FT%T}:email"


def _check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_the_check_fails_when_a_ready_message_waits_too_long(database: Engine, remind: dg.JobDefinition) -> None:
    assert _check(_run(remind)).passed
    with database.begin() as connection:
        rows.ledger(connection).reminder(datetime.datetime.now(datetime.UTC))
    assert _check(_run(remind)).passed
    long_ago = datetime.datetime.now(datetime.UTC) - outbox_assets.OVERDUE
    with database.begin() as connection:
        connection.execute(update(tables.outbox).values(next_at=long_ago))
    late = _check(_run(remind))
    assert not late.passed
    assert late.metadata["ready"].value == 1


@pytest.mark.parametrize(("setting", "cron"), [("* * * * *", "* * * * *"), ("", "*/5 * * * *"), (None, "*/5 * * * *")])
def test_the_schedule_ticks_as_the_environment_says(monkeypatch: pytest.MonkeyPatch, setting: str | None, cron: str) -> None:
    if setting is None:
        monkeypatch.delenv("DEBITUM_REMINDER_CRON", raising=False)
    else:
        monkeypatch.setenv("DEBITUM_REMINDER_CRON", setting)
    schedule = importlib.reload(schedules).remind_schedule
    assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_run_that_hangs_is_stopped_before_the_next_tick(remind: dg.JobDefinition) -> None:
    assert remind.tags["dagster/max_runtime"] == "240"
    assert assets.due_reminders.op.pool == "due_reminders"
