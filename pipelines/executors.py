"""Who runs the steps of a job: the run's own process, or workers of Celery's."""

import os

import dagster as dg

from pipelines import spread


def of_postgres_alone() -> dg.ExecutorDefinition:
    """For jobs that need nothing but Postgres, and do no harm where two of them are at it: as DEBITUM_EXECUTOR says.

    All others write into the data folder, or count on a pool to keep them apart. A step on a worker may outlive its run, so
    that no pool does. Raises ValueError where dagster-celery is not installed.
    """
    if spread.executor(os.environ.get(spread.EXECUTOR) or spread.IN_PROCESS) == spread.IN_PROCESS:
        return dg.in_process_executor  # a process per step would double what a run costs
    from pipelines import on_celery

    return on_celery.executor
