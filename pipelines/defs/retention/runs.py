"""Removes old runs of Dagster with all that hangs on them, but never what is the last word on anything."""

import datetime
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as check_results
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as events
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import func, select

BUDGET_SECONDS: Final = 600.0
"""At 30 to 50 ms a run more than ten thousand, which is more than a busy day leaves; the rest is the next night's."""
PAGE_RUNS: Final = 100
ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_Type = dg.DagsterEventType
_OF_ASSETS: Final = {_Type.ASSET_MATERIALIZATION, _Type.ASSET_MATERIALIZATION_PLANNED, _Type.ASSET_OBSERVATION}
_OF_CHECKS: Final = {_Type.ASSET_CHECK_EVALUATION, _Type.ASSET_CHECK_EVALUATION_PLANNED}
_EVALUATED: Final = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class Pruned:
    """How many runs are gone, how many that are old stay as the last word on something, and for how many there was no time."""

    removed: int
    kept: int
    left: int


def remove(
    instance: dg.DagsterInstance,
    before: datetime.datetime,
    *,
    budget_seconds: float = BUDGET_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Pruned:
    """Remove runs that ended before `before`, oldest first. Safe to kill at any point, and to run twice.

    A run stays while it is the last of its job; while it holds the newest event of its type (materialised, observed, planned)
    of an asset or of one of its partitions; and while it evaluated a check last. Dagster reads the status of partitions from
    these events: nothing that it shows of assets changes.
    """
    old = dg.RunsFilter(statuses=ENDED, updated_before=before)
    until, newest = clock() + budget_seconds, _Newest(instance)
    removed, kept = 0, list[str]()
    # Dagster finds nothing behind a cursor that is gone: it has to be a run that stays.
    while page := instance.get_run_records(old, limit=PAGE_RUNS, ascending=True, cursor=kept[-1] if kept else None):
        for record in page:
            if clock() >= until:
                return Pruned(removed, len(kept), instance.get_runs_count(old) - len(kept))
            run = record.dagster_run
            said = _said(instance, run.run_id)
            if newest.is_of(run, said):
                kept.append(run.run_id)
            else:
                _delete(instance, run.run_id, {event.check for event in said if event.check})
                removed += 1
    return Pruned(removed, len(kept), 0)


@dataclass(frozen=True)
class _Said:
    """What an event of a run says something of: one asset, or one partition of it, or one check."""

    kind: dg.DagsterEventType
    asset: dg.AssetKey | None = None
    partition: str | None = None
    check: dg.AssetCheckKey | None = None


def _said(instance: dg.DagsterInstance, run_id: str) -> list[_Said]:
    records = instance.get_records_for_run(run_id, of_type=_OF_ASSETS | _OF_CHECKS).records
    return [said for record in records for said in _parts(record)]


def _parts(record: dg.EventLogRecord) -> Iterator[_Said]:
    event = record.event_log_entry.dagster_event
    assert event is not None
    kind = event.event_type
    if kind in _OF_ASSETS:
        planned = event.partitions_subset if kind == _Type.ASSET_MATERIALIZATION_PLANNED else None
        for partition in planned.get_partition_keys() if planned is not None else [event.partition]:
            yield _Said(kind, asset=event.asset_key, partition=partition)
    elif kind == _Type.ASSET_CHECK_EVALUATION:
        yield _Said(kind, check=event.asset_check_evaluation_data.asset_check_key)
    else:
        yield _Said(kind, check=event.asset_check_planned_data.asset_check_key)


@dataclass(frozen=True)
class _Newest:
    """What is the last word on jobs, assets and checks. What is remembered from one run to the next can only be outdone since."""

    instance: dg.DagsterInstance
    _run_of_job: dict[str, str | None] = field(default_factory=dict)
    _run_of_check: dict[dg.AssetCheckKey, str | None] = field(default_factory=dict)
    _runs_of_events: dict[tuple[dg.DagsterEventType, dg.AssetKey], dict[str | None, str]] = field(default_factory=dict)

    def is_of(self, run: dg.DagsterRun, said: Iterable[_Said]) -> bool:
        """Whether anything would be forgotten with `run`."""
        return self._of_job(run.job_name) == run.run_id or any(self._is_newest(run.run_id, each) for each in said)

    def _is_newest(self, run_id: str, said: _Said) -> bool:
        if said.asset is not None:
            return self._of_asset(said.kind, said.asset, said.partition) == run_id
        assert said.check is not None
        return said.kind == _Type.ASSET_CHECK_EVALUATION and self._of_check(said.check) == run_id

    def _of_job(self, job: str) -> str | None:
        if job not in self._run_of_job:
            last = self.instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ENDED), limit=1)
            self._run_of_job[job] = last[0].dagster_run.run_id if last else None
        return self._run_of_job[job]

    def _of_check(self, check: dg.AssetCheckKey) -> str | None:
        if check not in self._run_of_check:
            history = self.instance.event_log_storage.get_asset_check_execution_history(check, limit=1, status=_EVALUATED)
            self._run_of_check[check] = history[0].run_id if history else None
        return self._run_of_check[check]

    def _of_asset(self, kind: dg.DagsterEventType, asset: dg.AssetKey, partition: str | None) -> str | None:
        if (kind, asset) not in self._runs_of_events:
            is_of = (events.c.asset_key == asset.to_string(), events.c.dagster_event_type == kind.value)
            newest = select(func.max(events.c.id)).where(*is_of).group_by(events.c.partition)
            with _log(self.instance).index_connection() as connection:
                found = connection.execute(select(events.c.partition, events.c.run_id).where(events.c.id.in_(newest)))
                self._runs_of_events[kind, asset] = {row.partition: row.run_id for row in found}
        return self._runs_of_events[kind, asset].get(partition)


def _log(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    assert isinstance(instance.event_log_storage, SqlEventLogStorage)
    return instance.event_log_storage


def _delete(instance: dg.DagsterInstance, run_id: str, checks: Iterable[dg.AssetCheckKey]) -> None:
    """The run's row last: whoever is killed before finds it again."""
    log = _log(instance)
    with log.index_connection() as connection:
        for check in checks:  # Dagster itself keeps these for ever; asset and name come first in their index
            connection.execute(
                check_results.delete().where(
                    check_results.c.asset_key == check.asset_key.to_string(),
                    check_results.c.check_name == check.name,
                    check_results.c.run_id == run_id,
                )
            )
    log.delete_events(run_id)
    # Logs and outputs of steps: dagster.yaml leaves both where Dagster puts them by itself.
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    instance.run_storage.delete_run(run_id)
