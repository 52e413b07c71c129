"""Starts the job that sends when there is something to send."""

import datetime
import os

import dagster as dg

from notifications import channels
from pipelines import runs
from pipelines.defs import resources
from pipelines.defs.dispatch import jobs
from storage import circuits, ready

INTERVAL_SECONDS = 5
"""A mail about an account should be on its way within 20 s: this, a run's start, and both once more where one is just ending.

Dagster's own loop over sensors is no shorter (bench.arrival measures it).
"""


@dg.sensor(
    job=jobs.dispatch,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks every 5 seconds whether a message is ready, and starts dispatch if it is not running already.",
)
def messages_are_ready(context: dg.SensorEvaluationContext, database: resources.Database) -> dg.RunRequest | dg.SkipReason:
    """One run at a time, and none when there is nothing to do."""
    now = datetime.datetime.now(datetime.UTC)
    with database.begin() as connection:
        usable = circuits.usable(connection, channels.names(os.environ), now=now)
        is_ready = ready.anything(connection, now=now, channels=usable)
    if not is_ready:
        blocked = sorted(set(channels.names(os.environ)) - usable)
        down = f" Down: {', '.join(blocked)}." if blocked else ""
        return dg.SkipReason(f"Nothing is ready to be sent.{down}")
    if runs.is_under_way(context.instance, jobs.dispatch.name, now=now, max_runtime_seconds=jobs.MAX_RUNTIME_SECONDS):
        return dg.SkipReason("A run is under way.")
    return dg.RunRequest()
