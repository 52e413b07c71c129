"""When balances are brought up to date, and when all of them are checked."""

import datetime

import dagster as dg

from pipelines import executors, runs
from pipelines.defs import resources
from pipelines.defs.balances import assets, checks
from storage import balances as store

INTERVAL_SECONDS = 10
"""A change is covered within a minute of it: this, the queue's second, and the start of a process on a busy machine."""
MAX_RUNTIME_SECONDS = 600
"""A run that is stopped has kept every chunk that it finished; the next one goes on from there."""

materialise_balances = dg.define_asset_job(
    "materialise_balances",
    selection=dg.AssetSelection.assets(assets.balances).without_checks() | dg.AssetSelection.checks(checks.sample_adds_up),
    description="Adds the new postings to the balances of the ledgers that changed, then checks a sample.",
    tags={
        "group": "ledger",
        "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
        "dagster/priority": "5",
        "dagster/retry_strategy": "ALL_STEPS",  # a bucket that is done costs a look, and the report is of all of them
    },
    executor_def=executors.of_postgres_alone(),
)

check_balances = dg.define_asset_job(
    "check_balances",
    selection=dg.AssetSelection.checks(checks.everything_adds_up),
    description="Compares every balance with the sum of its postings.",
    tags={"group": "ledger"},
    executor_def=executors.of_postgres_alone(),
)

check_balances_schedule = dg.ScheduleDefinition(
    name="check_balances_schedule",
    job=check_balances,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:00 UTC. A day missed needs no catching up: each run looks at everything.",
)


@dg.op(description="Finds the ledgers whose balances are wrong, throws these away and sums the postings from the first.")
def resum(context: dg.OpExecutionContext, database: resources.Database) -> None:
    """One transaction a ledger: whoever reads meanwhile sees the old sums or the new ones."""
    ledgers = sorted({found.ledger_id for found in store.differences(database.begin)})
    rows = 0
    for ledger_id in ledgers:
        with database.begin() as connection:
            rows += store.rebuild(connection, ledger_id)
    context.add_output_metadata({"ledgers": len(ledgers), "rows": rows})


@dg.job(
    description="After a check found balances wrong: sums their postings anew. Find out why they were wrong, too.",
    tags={"group": "ledger"},
    executor_def=executors.of_postgres_alone(),
)
def resum_balances() -> None:
    """Mend what is wrong; which ledgers that are is nothing that Dagster should be told, or remember."""
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
