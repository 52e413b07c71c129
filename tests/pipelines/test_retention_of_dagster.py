"""Retention of what Dagster itself keeps: on its own SQLite files, and on Postgres as we run it."""

import datetime
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.test_utils import create_run_for_test
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import Table, func, select

from domain import retention as horizons
from pipelines.defs import resources
from pipelines.defs.retention import assets, runs, ticks
from pipelines.defs.snapshots import schedules

NOW = datetime.datetime(2026, 11, 22, 2, 0, tzinfo=datetime.UTC)
BEFORE = NOW - timedelta(days=30)
SECOND = timedelta(seconds=1)
LONG_AGO = BEFORE - timedelta(days=300)
FIRST = datetime.date(2026, 1, 1)
DAYS = [(FIRST + timedelta(days=number)).isoformat() for number in range(12)]


@pytest.fixture
def template(template_with_dagster: str) -> str:
    return template_with_dagster


@pytest.fixture
def instance(instance_on_postgres: dg.DagsterInstance) -> dg.DagsterInstance:
    """Runs, events and ticks that are kept, as operators keep them."""
    return instance_on_postgres


@dg.asset(
    partitions_def=dg.DailyPartitionsDefinition(str(FIRST), end_date="2026-03-01"), backfill_policy=dg.BackfillPolicy.single_run()
)
def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    if "fails" in context.run.tags:
        raise dg.Failure("as it was asked to")
    for key in context.partition_keys:
        context.add_asset_metadata({"run": context.run.run_id}, context.asset_key, key)
    return dg.MaterializeResult()


@dg.asset(deps=[daily])
def overall(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    if "fails" in context.run.tags:
        raise dg.Failure("as it was asked to")
    return dg.MaterializeResult(metadata={"run": context.run.run_id})


@dg.asset_check(asset=overall)
def is_well(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="unwell" not in context.run.tags)


DEFINITIONS = dg.Definitions(
    assets=[daily, overall],
    asset_checks=[is_well],
    jobs=[
        dg.define_asset_job("write", selection=[daily, overall]),
        dg.define_asset_job("sum_up", selection=[overall]),
        dg.define_asset_job("sum_up_unchecked", selection=dg.AssetSelection.assets(overall).without_checks()),
    ],
    executor=dg.in_process_executor,
)


def run(instance: dg.DagsterInstance, job: str, ended_at: datetime.datetime = LONG_AGO, **options: Any) -> str:
    """A run of `job` that ended at that time."""
    done = DEFINITIONS.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **options)
    age(instance, done.run_id, ended_at)
    return done.run_id


def ended(instance: dg.DagsterInstance, job: str, at: datetime.datetime = LONG_AGO) -> str:
    """One of which nothing but its row is looked at: no step, no events."""
    made = create_run_for_test(instance, job_name=job, status=dg.DagsterRunStatus.SUCCESS)
    run_id: str = made.run_id
    age(instance, run_id, at)
    return run_id


def age(instance: dg.DagsterInstance, run_id: str, at: datetime.datetime, **values: str) -> None:
    changed = RunsTable.update().where(RunsTable.c.run_id == run_id).values(update_timestamp=at.replace(tzinfo=None), **values)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(changed)


def kept(instance: dg.DagsterInstance) -> set[str]:
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return set(connection.execute(select(RunsTable.c.run_id)).scalars())


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster's pages say of the partitions: which there are, their latest metadata, which failed."""
    log = instance.event_log_storage
    latest = {
        day: instance.fetch_materializations(dg.AssetRecordsFilter(daily.key, asset_partitions=[day]), limit=1).records
        for day in DAYS
    }
    return {
        "materialised": instance.get_materialized_partitions(daily.key),
        "metadata": {
            day: [one.asset_materialization and one.asset_materialization.metadata for one in found]
            for day, found in latest.items()
        },
        "failed": log.get_latest_asset_partition_materialization_attempts_without_materializations(daily.key),
        "ids": instance.get_latest_storage_id_by_partition(daily.key, dg.DagsterEventType.ASSET_MATERIALIZATION),
        "overall": instance.get_latest_materialization_event(overall.key),
        "check": log.get_latest_asset_check_execution_by_key([is_well.check_key]),
    }


RANGE = {schedules.RANGE_START: DAYS[0], schedules.RANGE_END: DAYS[-1]}


def test_no_partition_loses_its_status(instance: dg.DagsterInstance) -> None:
    """Forty days in one run, the last of them four times again, the last but one failed, all long ago."""
    whole = run(instance, "write", tags=RANGE)
    superseded = [run(instance, "write", partition_key=DAYS[-1]) for _ in range(3)]
    newest = run(instance, "write", partition_key=DAYS[-1])
    failures = [run(instance, "write", partition_key=DAYS[-2], tags={"fails": ""}) for _ in range(2)]
    before = shown(instance)
    assert (len(before["materialised"]), list(before["failed"])) == (len(DAYS), [DAYS[-2]])
    assert runs.remove(instance, BEFORE) == runs.Pruned(removed=4, kept=3, left=0)
    assert kept(instance) == {whole, newest, failures[-1]}
    assert not kept(instance) & {*superseded, failures[0]}
    assert shown(instance) == before
    assert runs.remove(instance, BEFORE) == runs.Pruned(removed=0, kept=3, left=0)


@pytest.mark.parametrize("page_runs", [1, 100])
def test_one_second_either_side_of_the_horizon(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, page_runs: int
) -> None:
    monkeypatch.setattr(runs, "PAGE_RUNS", page_runs)
    old, at, young = (ended(instance, "nothing", BEFORE + shift) for shift in (-SECOND, timedelta(0), SECOND))
    last = ended(instance, "nothing")
    assert runs.remove(instance, BEFORE) == runs.Pruned(removed=1, kept=1, left=0)
    assert kept(instance) == {at, young, last}
    assert old not in kept(instance)


def test_the_last_run_of_every_job_stays(instance: dg.DagsterInstance) -> None:
    """Or the first failure after a long quiet would not be known from the second."""
    old = [ended(instance, job) for job in ("nothing", "nothing", "nothing_else", "nothing")]
    assert runs.remove(instance, BEFORE).removed == 2
    assert kept(instance) == set(old[2:])


def test_what_has_not_ended_stays(instance: dg.DagsterInstance) -> None:
    under_way = [each for each in dg.DagsterRunStatus if each not in runs.ENDED]
    for status in under_way:
        age(instance, create_run_for_test(instance, job_name="nothing").run_id, LONG_AGO, status=status.value)
    ended(instance, "nothing", NOW)
    assert runs.remove(instance, BEFORE) == runs.Pruned(0, 0, 0)
    assert len(kept(instance)) == len(under_way) + 1


def test_with_a_run_goes_all_that_hangs_on_it(instance: dg.DagsterInstance) -> None:
    old = [run(instance, "sum_up", tags={"unwell": ""}) for _ in range(2)]
    latest = run(instance, "sum_up")
    files = [Path(instance.storage_directory()) / run_id / "step" / "result" for run_id in (*old, latest)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    before, before_tags = shown(instance), rows(instance, AssetEventTagsTable)
    assert runs.remove(instance, BEFORE).removed == 2
    assert [rows(instance, table, {latest}) for table in BY_RUN] == [0] * len(BY_RUN)
    assert (rows(instance, AssetEventTagsTable), before_tags) == (1, 3)
    assert [file.exists() for file in files] == [False, False, True]
    assert shown(instance) == before
    event = instance.get_latest_materialization_event(overall.key)
    assert event is not None
    assert event.run_id == latest
    assert [one.run_id for one in instance.event_log_storage.get_asset_check_execution_history(is_well.check_key, 50)] == [latest]


BY_RUN: list[Table] = [RunTagsTable, SqlEventLogStorageTable, AssetCheckExecutionsTable]


def rows(instance: dg.DagsterInstance, table: Table, but: set[str] | None = None) -> int:
    """How many there are, but of these runs."""
    opened = instance.run_storage.connect if table is RunTagsTable else instance.event_log_storage.index_connection  # type: ignore[attr-defined]
    counted = select(func.count()).select_from(table)
    with opened() as connection:
        found: int = connection.execute(counted.where(table.c.run_id.not_in(but)) if but else counted).scalar_one()
    return found


def test_the_last_word_on_a_check_stays_also_where_all_else_was_done_anew(instance: dg.DagsterInstance) -> None:
    evaluated = run(instance, "sum_up", tags={"unwell": ""})
    failed, unchecked = run(instance, "sum_up", tags={"fails": ""}), run(instance, "sum_up_unchecked")
    before = shown(instance)
    assert runs.remove(instance, BEFORE) == runs.Pruned(removed=0, kept=3, left=0)
    assert kept(instance) == {evaluated, failed, unchecked}
    assert shown(instance) == before


def test_killed_at_any_point_it_goes_on_where_it_was(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run(instance, "sum_up")
    latest = run(instance, "sum_up")

    def killed(run_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(instance.run_storage, "delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.remove(instance, BEFORE)
    assert len(kept(instance)) == 2
    assert runs.remove(instance, BEFORE).removed == 1
    assert kept(instance) == {latest}
    assert [rows(instance, table, {latest}) for table in BY_RUN] == [0] * len(BY_RUN)


def test_what_there_is_no_time_for_is_left_and_counted(instance: dg.DagsterInstance) -> None:
    for _ in range(5):
        ended(instance, "nothing")
    assert runs.remove(instance, BEFORE, budget_seconds=2, clock=counting()) == runs.Pruned(removed=1, kept=0, left=4)
    assert runs.remove(instance, BEFORE) == runs.Pruned(removed=3, kept=1, left=0)


def counting() -> Callable[[], float]:
    """A clock on which every look takes a second."""
    seconds = iter(range(1_000))
    return lambda: float(next(seconds))


def tick(instance: dg.DagsterInstance, selector: str, at: datetime.datetime, status: TickStatus = TickStatus.SUCCESS) -> float:
    made = TickData(
        f"origin-{selector}",
        selector,
        InstigatorType.SENSOR,
        status,
        at.timestamp(),
        selector_id=selector,
        run_ids=[] if status is TickStatus.SUCCESS else None,
        error=SerializableErrorInfo("", [], None) if status is TickStatus.FAILURE else None,
    )
    return instance.create_tick(made).timestamp


def test_one_second_either_side_of_the_horizon_of_ticks(instance: dg.DagsterInstance) -> None:
    for status in TickStatus:
        for shift in (-SECOND, timedelta(0), SECOND):
            tick(instance, status.value, BEFORE + shift, status)
    done = ticks.remove(instance, BEFORE)
    assert (done.rows, done.complete) == (len(TickStatus), True)
    for status in TickStatus:
        left = [each.timestamp for each in instance.get_ticks(f"origin-{status.value}", status.value)]
        assert left == [(BEFORE + SECOND).timestamp(), BEFORE.timestamp()]
    assert ticks.remove(instance, BEFORE).rows == 0


def test_the_last_tick_stays(instance: dg.DagsterInstance) -> None:
    """A schedule that was stopped long ago goes on from there."""
    for selector in ("one", "another"):
        for hours in range(3):
            tick(instance, selector, LONG_AGO + timedelta(hours=hours))
    assert ticks.remove(instance, BEFORE).rows == 4
    last = (LONG_AGO + timedelta(hours=2)).timestamp()
    assert [[each.timestamp for each in instance.get_ticks(f"origin-{one}", one)] for one in ("one", "another")] == [
        [last],
        [last],
    ]


@pytest.mark.parametrize(("setting", "removed"), [("30", 1), ("none", 0)])
def test_the_report_tells_of_runs_and_ticks(
    instance: dg.DagsterInstance, jobs: resources.Database, monkeypatch: pytest.MonkeyPatch, setting: str, removed: int
) -> None:
    for kind in (horizons.DAGSTER_RUNS, horizons.DAGSTER_TICKS):
        monkeypatch.setenv(kind.setting, setting)
    now = datetime.datetime.now(datetime.UTC)
    for over_at in (now - timedelta(days=31), now - timedelta(days=31), now - timedelta(days=29)):
        ended(instance, "nothing", over_at)
    for at in (now - timedelta(days=31), now - timedelta(days=29), now):
        tick(instance, "one", at)
    result = dg.materialize([assets.retention_report], instance=instance, resources={"database": jobs})
    (written,) = result.asset_materializations_for_node("retention_report")
    metadata = {name: value.value for name, value in written.metadata.items()}
    assert (metadata["dagster_runs"], metadata["dagster_ticks"], metadata["dagster_runs_kept"]) == (2 * removed, removed, 0)
    before = f"{now - timedelta(days=30):%F}" if removed else "kept for ever"
    assert f"| {2 * removed} | {horizons.DAGSTER_RUNS.what} | {before}" in str(metadata["report"])
    assert f"| {removed} | {horizons.DAGSTER_TICKS.what} | {before}" in str(metadata["report"])
