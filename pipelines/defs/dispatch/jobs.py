"""The job that sends."""

import datetime
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import dagster as dg
import msgspec

from notifications import channels
from notifications.links import Links, read_app_link
from pipelines.defs import resources
from pipelines.defs.dispatch import delivery
from pipelines.defs.dispatch.delivery import Lane, Tally
from storage import circuits, ready, suppressions

BUDGET = datetime.timedelta(seconds=60)
"""How long one run goes on; what is left is the next run's, which the sensor starts."""
SENDERS = 4
"""Calls at a time to the providers of each kind: a call is mostly waiting, and one that hangs holds up a quarter."""
MAX_RUNTIME_SECONDS = 150
"""The budget, the last call of each lane, and ample time to start."""
DEFAULT_PUBLIC_URL = "http://127.0.0.1:8000"


@dg.op(
    pool="dispatch",
    description="Claims messages in small batches, sends mails and pushes side by side, and writes down what became of each.",
)
def send(context: dg.OpExecutionContext, database: resources.Database, data_folder: resources.DataFolder) -> None:
    """Drain both kinds of channels at once, each sender in its own thread, and report."""
    public_url = (os.environ.get("DEBITUM_PUBLIC_URL") or DEFAULT_PUBLIC_URL).rstrip("/")
    links = Links(public_url, read_app_link(os.environ.get("DEBITUM_APP_LINK", "")))
    keys = resources.key_ring()
    with ExitStack() as stack:
        sets = [stack.enter_context(channels.up_or_down(os.environ, data_folder.root)) for _ in range(SENDERS)]
        begin = stack.enter_context(delivery.transactions(database.url))
        lanes = [Lane(begin, ways, links, _now, keys) for each in sets for ways in (each.email, each.push)]
        start = delivery.prepare(begin, now=_now())
        tallies = delivery.drain_all(lanes, BUDGET, start)
    counts = _metadata(tallies)
    metadata = counts | {"unknown": counts["unknown"] + start.unknown} | _backlog(database)
    context.add_output_metadata(metadata)
    context.log_event(dg.AssetObservation("deliveries", metadata=metadata))  # a materialisation would hide the check of before


@dg.job(
    description="Sends what is ready in the outbox. Safe to start by hand, and safe to run twice: each message has one holder.",
    # The outbox itself tries again; a run that was killed left its messages to the next one.
    tags={
        "group": "delivery",
        "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
        "dagster/max_retries": "0",
        "dagster/priority": "10",
    },
)
def dispatch() -> None:
    """Everything that is ready, until nothing is or the time is over."""
    send()


def _metadata(tallies: Sequence[tuple[str, Tally]]) -> dict[str, int]:
    counts = Counter[str]()
    for kind, tally in tallies:
        for name, count in msgspec.structs.asdict(tally).items():
            counts[name] += count
            if count:
                counts[f"{kind}_{name}"] += count
    return dict(counts)


def _backlog(database: resources.Database) -> dict[str, int]:
    now = _now()
    with database.begin() as connection:
        backlog = ready.backlog(connection, now=now)
        refusing = suppressions.suppressed(connection)
        down = len(circuits.opened(connection, channels.names(os.environ)))
    waited = (now - backlog.oldest).total_seconds() if backlog.oldest is not None else 0
    addresses = {f"addresses_{why}": count for why, count in refusing.items()}
    waiting = {"still_ready": backlog.ready, "oldest_pending_seconds": round(waited)}
    return {**waiting, "providers_down": down, **addresses}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
