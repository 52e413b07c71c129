"""Looks at what ended: the first failure of a row is told, not each; and a sign of life for the case that nobody looks.

The two that look at runs return nothing, never a SkipReason. Dagster ends a tick at one: they would fall behind by all runs but
one. And it refuses a tick that skips one run after it has seen another: the alert of that would be sent again and again.
"""

import datetime
import os
from typing import Final

import dagster as dg
import structlog
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from notifications import alerts
from pipelines.defs import resources
from pipelines.defs.alerts import runbook

INTERVAL_SECONDS: Final = 30
HEARTBEAT_SECONDS: Final = 60
WILL_RETRY: Final = "dagster/will_retry"
"""The tag of a failed run that Dagster starts again by itself."""

LOOKED_BACK: Final = 50
"""Runs, or evaluations, of the time before: more than there are between two looks of a sensor."""
_EVALUATED: Final = (AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED)

_log = structlog.get_logger(__name__)


@dg.run_failure_sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the operator (OPERATOR_EMAIL, OPERATOR_WEBHOOK) when a job fails that did not fail the time before.",
)
def tell_of_failed_runs(context: dg.RunFailureSensorContext, data_folder: resources.DataFolder) -> None:
    """One alert a row of failures; of a run that Dagster starts again, when it has failed for good."""
    run = context.dagster_run
    if run.tags.get(WILL_RETRY) == "true" or _failed_before(context.instance, run):
        return
    checks = sorted(key.name for key in _begun_to_fail(context.instance, run.run_id))
    why = f"It was stopped by what it checks: {', '.join(checks)}." if checks else "The error is at the end of its log."
    _tell(
        alerts.Alert(
            what=f"the job {run.job_name} failed",
            text=f"A run of {run.job_name} failed. {why}",
            link=f"{_dagster()}/runs/{run.run_id}",
            runbook=", ".join(map(runbook.of_check, checks)) or runbook.of_job(run.job_name),
        ),
        data_folder,
    )


def _failed_before(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the job's run before this one failed for good: several may have ended since this sensor looked last."""
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    earlier = dg.RunsFilter(job_name=run.job_name, statuses=ended, created_before=record.create_timestamp)
    runs = (one.dagster_run for one in instance.get_run_records(earlier, limit=LOOKED_BACK))
    last = next((one for one in runs if one.tags.get(WILL_RETRY) != "true"), None)
    return last is not None and last.status == dg.DagsterRunStatus.FAILURE


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the operator (OPERATOR_EMAIL, OPERATOR_WEBHOOK) when a check fails that did not fail the time before.",
)
def tell_of_failed_checks(context: dg.RunStatusSensorContext, data_folder: resources.DataFolder) -> None:
    """One alert for all checks of a run that have begun to fail."""
    failed = sorted(key.name for key in _begun_to_fail(context.instance, context.dagster_run.run_id))
    if not failed:
        return
    names = ", ".join(failed)
    _tell(
        alerts.Alert(
            what=f"the check {names} failed" if len(failed) == 1 else f"the checks {names} failed",
            text=f"In a run of {context.dagster_run.job_name}: {names}. Its page says what was found.",
            link=f"{_dagster()}/runs/{context.dagster_run.run_id}",
            runbook=", ".join(runbook.of_check(name) for name in failed),
        ),
        data_folder,
    )


def _begun_to_fail(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckKey]:
    found = []
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        evaluation = event.asset_check_evaluation_data
        history = instance.event_log_storage.get_asset_check_execution_history(evaluation.asset_check_key, limit=LOOKED_BACK)
        at = record.event_log_entry.timestamp
        before = [
            one.status for one in history if one.create_timestamp < at and one.run_id != run_id and one.status in _EVALUATED
        ]
        was_failing = before[:1] == [AssetCheckExecutionRecordStatus.FAILED]
        if not evaluation.passed and not was_failing:
            found.append(evaluation.asset_check_key)
    return found


@dg.sensor(
    minimum_interval_seconds=HEARTBEAT_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks HEARTBEAT_URL every minute, where it is set: a service outside that is not asked any more tells the operator "
        "that Dagster's daemon is dead, of which nothing in here can tell."
    ),
)
def heartbeat() -> dg.SkipReason:
    """A sign of life."""
    if not (url := os.environ.get("HEARTBEAT_URL")):
        return dg.SkipReason("HEARTBEAT_URL is not set.")
    return dg.SkipReason("It was heard." if alerts.reached(url) else "HEARTBEAT_URL did not answer well.")


def _tell(alert: alerts.Alert, data_folder: resources.DataFolder) -> None:
    told = alerts.tell(alert, os.environ, data_folder.root, now=datetime.datetime.now(datetime.UTC))
    for way in (way for way, taken in told.items() if not taken):
        _log.error("operator_not_told", provider=way)


def _dagster() -> str:
    return os.environ.get("DEBITUM_DAGSTER_URL") or "http://127.0.0.1:3000"
