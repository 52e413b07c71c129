"""When what is due is looked for."""

import os

import dagster as dg

from pipelines import executors
from pipelines.defs.reminders import assets

DEFAULT_CRON = "*/5 * * * *"

remind = dg.define_asset_job(
    "remind",
    selection=dg.AssetSelection.assets(assets.due_reminders) | dg.AssetSelection.checks_for_assets("outbox", "deliveries"),
    description="Puts what is due into the outbox, and checks that messages leave it and arrive, and that no provider is down.",
    tags={"group": "reminders", "dagster/max_runtime": str(assets.MAX_RUNTIME_SECONDS), "dagster/priority": "5"},
    executor_def=executors.of_postgres_alone(),
)

remind_schedule = dg.ScheduleDefinition(
    name="remind_schedule",
    job=remind,
    cron_schedule=os.environ.get("DEBITUM_REMINDER_CRON") or DEFAULT_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every tick of DEBITUM_REMINDER_CRON. Missed ticks need no catching up: each run looks 24 hours back.",
)
