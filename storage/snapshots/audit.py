"""Snapshots read back by other means than those that wrote them: Polars for the files, one plain sum in Postgres."""

import bisect
import datetime
import random
from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, Connection, DateTime, Text, Uuid, bindparam, text

from storage import days, erasure, history
from storage.snapshots import files
from storage.snapshots.places import File, Root
from storage.snapshots.tables import BALANCES

Account = tuple[str, str, str]
"""(ledger_id, contact_id, currency)."""


@dataclass(frozen=True)
class Difference:
    """An account whose file does not say what its postings do, in minor units; what is missing counts as 0."""

    ledger_id: str
    contact_id: str
    currency: str
    in_file: int
    posted: int


def differences(connection: Connection, root: Root, day: datetime.date) -> list[Difference]:
    """Every account of the day's file that is not the sum of its postings recorded before the day's end.

    Leaves out ledgers that may be erased from now on: their rows go from the files first, and from Postgres last.
    Holds the day's balances in memory twice; raises FileNotFoundError where the day has no file.
    """
    filed = _filed(files.path_of(root, BALANCES, day))
    posted = _posted(connection, days.end(day))
    leaving = {str(ledger_id) for ledger_id in erasure.leaving(connection)}
    differing = (account for account in filed.keys() | posted.keys() if filed[account] != posted[account])
    wrong = sorted(account for account in differing if account[0] not in leaving)
    return [Difference(*account, filed[account], posted[account]) for account in wrong]


def first_wrong(connection: Connection, root: Root) -> datetime.date | None:
    """The first final day that has `differences`, where those behind it have them too, as what is built on a wrong day does."""
    final = sorted(files.final_days(root, BALANCES))
    place = bisect.bisect_left(final, True, key=lambda day: bool(differences(connection, root, day)))
    return final[place] if place < len(final) else None


def disagreements(connection: Connection, root: Root, day: datetime.date, *, most: int) -> tuple[int, int]:
    """Of how many ledgers of the day's file the API's history says something else, and of how many that was asked.

    Ledgers are drawn at random, `most` at most; as in `differences`, those that may be leaving are left out.
    Raises FileNotFoundError where the day has no file.
    """
    sides: dict[str, Counter[tuple[str, bool]]] = {}
    for (ledger, _, currency), amount in _filed(files.path_of(root, BALANCES, day)).items():
        sides.setdefault(ledger, Counter())[currency, amount < 0] += abs(amount)
    leaving = {str(ledger_id) for ledger_id in erasure.leaving(connection)}
    here = sorted(sides.keys() - leaving)
    asked = random.sample(here, min(most, len(here)))
    wrong = 0
    for ledger in asked:
        told: Counter[tuple[str, bool]] = Counter()
        for level in history.at(history.changes(connection, UUID(ledger), day), [day]):
            told[level.currency, False], told[level.currency, True] = level.owed_to_you, level.you_owe
        wrong += told != sides[ledger]
    return wrong, len(asked)


def _filed(path: File) -> Counter[Account]:
    import polars  # 25 MiB, which the code server need not hold: runs compare, in processes of their own

    with path.open("rb") as file:
        frame = polars.read_parquet(file, columns=["ledger_id", "contact_id", "currency", "amount"])
    sums = frame.group_by("ledger_id", "contact_id", "currency").agg(polars.col("amount").sum())
    return Counter({(ledger, contact, currency): amount for ledger, contact, currency, amount in sums.iter_rows()})


def _posted(connection: Connection, end: datetime.datetime) -> Counter[Account]:
    rows = connection.execute(_POSTED, {"end": end})
    return Counter({(str(row.ledger_id), str(row.contact_id), row.currency): row.amount for row in rows})


_POSTED = (
    text("""
        select ledger_id, contact_id, currency, sum(amount)::bigint as amount
        from debitum.postings where recorded_at < :end group by ledger_id, contact_id, currency
    """)
    .bindparams(bindparam("end", type_=DateTime(timezone=True)))
    .columns(ledger_id=Uuid, contact_id=Uuid, currency=Text, amount=BigInteger)
)
