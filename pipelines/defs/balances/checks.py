"""Whether balances are the sums that they should be."""

import itertools
import uuid
from collections import Counter

import dagster as dg

from pipelines import markdown
from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from pipelines.defs.balances import assets
from storage import balances as store

SAMPLE_LEDGERS = 200
"""Some milliseconds of work, so that it can follow every run."""
ENOUGH_DIFFERENCES = 50


@dg.asset_check(
    asset=assets.balances,
    description=runbook.described(
        "sample_adds_up",
        "After every run: are the balances of some ledgers, chosen by chance, the sums of their postings?",
    ),
)
def sample_adds_up(database: resources.Database) -> dg.AssetCheckResult:
    """Compare a sample."""
    with database.begin() as connection:
        found = store.sample_differences(connection, start=uuid.uuid4(), ledgers=SAMPLE_LEDGERS)
    return _result(found)


@dg.asset_check(
    asset="postings",  # and not balances, whose next run, after any change, would hide what was found
    description=runbook.described(
        "everything_adds_up",
        "Once a day: is every balance the sum of its postings? Compares all of them, page by page.",
    ),
)
def everything_adds_up(database: resources.Database) -> dg.AssetCheckResult:
    """Compare everything; stops when it has seen enough to be sure that something is badly wrong."""
    return _result(list(itertools.islice(store.differences(database.begin), ENOUGH_DIFFERENCES + 1)))


def _result(found: list[store.Difference]) -> dg.AssetCheckResult:
    counted = Counter(row.currency for row in found)  # `debitum verify` names the ledgers to whoever asks
    preview = markdown.table(["currency", "balances that differ"], sorted(counted.items()), otherwise="No difference.")
    how_many = f"more than {ENOUGH_DIFFERENCES}" if len(found) > ENOUGH_DIFFERENCES else str(len(found))
    return dg.AssetCheckResult(
        passed=not found,
        description=f"Balances that are not the sum of their postings: {how_many}."
        if found
        else "Every balance compared adds up.",
        metadata={"differences": len(found), "preview": dg.MetadataValue.md(preview)},
    )
