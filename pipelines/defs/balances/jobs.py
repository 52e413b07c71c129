"""When balances are brought up to date, and when all of them are checked."""

import datetime
import uuid

import dagster as dg

from pipelines import runs
from pipelines.defs import resources
from pipelines.defs.balances import assets, checks
from storage import balances as store

INTERVAL_SECONDS = 10
"""A change is covered within a minute of it: this, the queue's second, and the start of a process on a busy machine."""
MAX_RUNTIME_SECONDS = 600
"""A run that is stopped has kept every chunk that it finished; the next one goes on from there."""

_sample = dg.AssetSelection.checks(checks.sample_adds_up)
_everything = dg.AssetSelection.checks(checks.everything_adds_up)

materialise_balances = dg.define_asset_job(
    "materialise_balances",
    selection=dg.AssetSelection.assets(assets.balances).without_checks() | _sample,
    description="Adds the new postings to the balances of the ledgers that changed, then checks a sample.",
    tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS), "dagster/priority": "5"},
)

check_balances = dg.define_asset_job(
    "check_balances",
    selection=_everything,
    description="Compares every balance with the sum of its postings.",
)

check_balances_schedule = dg.ScheduleDefinition(
    name="check_balances_schedule",
    job=check_balances,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:00 UTC. A day missed needs no catching up: each run looks at everything.",
)


class Mistaken(dg.Config):
    """Which ledgers to sum anew: the ids that a check found."""

    ledger_ids: list[str]


@dg.op(description="Throws away the balances of the named ledgers and sums their postings from the first.")
def resum(context: dg.OpExecutionContext, config: Mistaken, database: resources.Database) -> None:
    """One transaction a ledger: whoever reads meanwhile sees the old sums or the new ones."""
    for ledger_id in config.ledger_ids:
        with database.begin() as connection:
            rows = store.rebuild(connection, uuid.UUID(ledger_id))
        context.log.info(f"ledger {ledger_id}: {rows} balances")


@dg.job(description="For a ledger that a check found wrong: sums its postings anew. Find out why it was wrong, too.")
def resum_balances() -> None:
    """Mend single ledgers."""
    resum()


@dg.sensor(
    job=materialise_balances,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks every 10 seconds whether a ledger changed, and brings balances up to date if that is not under way.",
)
def ledgers_changed(context: dg.SensorEvaluationContext, database: resources.Database) -> dg.RunRequest | dg.SkipReason:
    """One run at a time, and none when there is nothing to do. No run key: the ledgers themselves say what is left to do."""
    with database.begin() as connection:
        if not store.any_dirty(connection):
            return dg.SkipReason("No ledger has changed.")
    now = datetime.datetime.now(datetime.UTC)
    name = materialise_balances.name
    if runs.is_under_way(context.instance, name, now=now, max_runtime_seconds=MAX_RUNTIME_SECONDS):
        return dg.SkipReason("A run is under way.")
    return dg.RunRequest()
