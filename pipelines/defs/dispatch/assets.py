"""The outbox and the deliveries as the asset graph shows them; the rows belong to Postgres, not to Dagster."""

import datetime
import os

import dagster as dg

from notifications import channels
from pipelines import markdown
from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from storage import circuits, ready

OVERDUE = datetime.timedelta(minutes=15)
"""A message that has waited this long says that sending has stopped: a tick, a run and a few messages take far less."""
RECENTLY = datetime.timedelta(hours=1)
ENOUGH = 10
"""One message of so many may be given up: an address that is none is no fault of a provider's."""

waiting = dg.AssetSpec(
    "outbox",
    deps=["due_reminders"],
    group_name="delivery",
    kinds={"table", "postgres"},
    owners=["team:operations"],
    description=(
        "The table of messages to send: those that due_reminders found, and mails about accounts that the API puts in. Each "
        "message is in here once, however often it is found. The sensor messages_are_ready starts the job dispatch as soon "
        "as one is ready."
    ),
)

deliveries = dg.AssetSpec(
    "deliveries",
    deps=["outbox"],
    group_name="delivery",
    kinds={"table", "postgres"},
    owners=["team:operations"],
    description=(
        "Mails and pushes that went out. The job dispatch takes messages from the outbox, looks again at whether each is "
        "still wanted, and hands it to the mail or push provider; every attempt is written down before it is made. Its runs "
        "report here what was sent, failed, given up (dead), no longer wanted (suppressed) or never answered (unknown)."
    ),
)


@dg.asset_check(
    asset=waiting.key,
    description=runbook.described(
        "messages_leave",
        "Fails when a message that is ready has waited for more than 15 minutes: then sending has stopped.",
    ),
)
def messages_leave(database: resources.Database) -> dg.AssetCheckResult:
    """Whether the oldest message that is ready is young."""
    now = datetime.datetime.now(datetime.UTC)
    with database.begin() as connection:
        backlog = ready.backlog(connection, now=now)
    waited = now - backlog.oldest if backlog.oldest is not None else datetime.timedelta(0)
    minutes = int(waited.total_seconds()) // 60
    return dg.AssetCheckResult(
        passed=waited <= OVERDUE,
        description=f"{backlog.ready} messages are ready; the oldest has waited for {minutes} minutes.",
        metadata={"ready": backlog.ready, "oldest_pending_seconds": round(waited.total_seconds())},
    )


@dg.asset_check(
    asset=deliveries.key,
    description=runbook.described(
        "messages_arrive",
        "Fails when more than one in ten of the messages of the last hour was given up, because it was refused or because every "
        "attempt had failed: then a provider answers, but takes nothing.",
    ),
)
def messages_arrive(database: resources.Database) -> dg.AssetCheckResult:
    """Whether providers take what they are handed."""
    with database.begin() as connection:
        ended = ready.ended(connection, since=datetime.datetime.now(datetime.UTC) - RECENTLY)
    return dg.AssetCheckResult(
        passed=ended.given_up * ENOUGH <= ended.given_up + ended.sent,
        description=f"Of the messages of the last hour {ended.sent} were taken by a provider, and {ended.given_up} given up.",
        metadata={"sent": ended.sent, "given_up": ended.given_up},
    )


@dg.asset_check(
    asset=deliveries.key,
    description=runbook.described(
        "providers_are_up",
        "Fails while a mail or push provider refuses everything (a key that is wrong, a server that is gone). Its messages "
        "wait, and lose no attempt; every five minutes one of them tries whether it is up again.",
    ),
)
def providers_are_up(database: resources.Database) -> dg.AssetCheckResult:
    """Whether no provider's circuit is open."""
    with database.begin() as connection:
        down = circuits.opened(connection, channels.names(os.environ))
    names = ["channel", "provider", "down since", "it says", "next try"]
    rows = [(one.channel, one.provider, f"{one.opened_at:%F %T}Z", one.detail, f"{one.retry_at:%T}Z") for one in down]
    return dg.AssetCheckResult(
        passed=not down,
        description=", ".join(f"{one.provider} ({one.channel}): {one.detail}" for one in down) or "All are up.",
        metadata={"down": len(down), "providers": dg.MetadataValue.md(markdown.table(names, rows, otherwise="All are up."))},
    )
