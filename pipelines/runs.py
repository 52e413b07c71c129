"""Whether a job is under way, for what must not ask twice."""

import datetime

import dagster as dg

UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def is_under_way(instance: dg.DagsterInstance, job: str, *, now: datetime.datetime, max_runtime_seconds: int) -> bool:
    """Whether a run of `job` is queued or running.

    One that is older than twice its longest runtime does not count: nothing may wait for ever for a run that only Dagster
    still believes in, and a run too many does no harm (its pool keeps it in the queue).
    """
    presumed_dead = datetime.timedelta(seconds=2 * max_runtime_seconds)
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNDER_WAY, created_after=now - presumed_dead)) > 0
