"""What must be true of every ledger after a load: the log is whole, and the balances are what it says."""

from typing import Final

import psycopg

from bench import harness
from storage import balances, urls


def check(url: str, events: int) -> None:
    """So many events are in the logs, seqs have no gaps, and balances are the sums of the postings.

    The ledgers of `bench.bare` have events that are no log.
    """
    with psycopg.connect(urls.libpq_url(url)) as connection:
        [(found, gaps)] = connection.execute(_LOG).fetchall()
    assert found == events, f"{found} events, {events} acknowledged"
    assert gaps == 0
    begin = harness.as_jobs(url)
    balances.materialise(begin)
    assert list(balances.differences(begin)) == []


_LOG: Final = """
    select coalesce(sum(events), 0)::bigint, count(*) filter (where events <> version or last <> version)
    from debitum.ledgers
    cross join lateral (select count(*) as events, coalesce(max(seq), 0) as last from debitum.events where ledger_id = ledgers.id)
        counted
    where ledgers.data_key <> '\\x00'
"""
