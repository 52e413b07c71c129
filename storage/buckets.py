"""Buckets: all ledgers in a number of parts, by a hash of their ids, for work that is done side by side."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextualSelect, text


@dataclass(frozen=True)
class Bucket:
    """The `number`-th, from 0 on, of `count` parts of all ledgers. Each ledger is in exactly one of them."""

    number: int = 0
    count: int = 1

    @property
    def is_part(self) -> bool:
        """Whether there are ledgers that are in another."""
        return self.count > 1

    def binds(self) -> dict[str, int]:
        """What `split` statements bind."""
        return {"bucket": self.number, "buckets": self.count} if self.is_part else {}


EVERY_LEDGER: Final = Bucket()

_CONDITION: Final = "(uuid_hash_extended({ledger}, 0) & 9223372036854775807) % :buckets = :bucket"
"""Without its sign: what is left of a negative number is negative, and such ledgers would be in no bucket."""


def of(count: int) -> list[Bucket]:
    """All buckets, where there are `count`."""
    return [Bucket(number, count) for number in range(count)]


def split(statement: str, *, ledger: str = "id", **columns: Any) -> dict[bool, TextualSelect]:
    """`statement` for all ledgers (False), and for those of a bucket (True): {of_bucket} in it is a condition on column `ledger`.

    Two statements, for the planner guesses that few rows meet a condition on a hash: without buckets, plans stay as they were.
    """
    conditions = {False: "true", True: _CONDITION.format(ledger=ledger)}
    return {is_part: text(statement.format(of_bucket=here)).columns(**columns) for is_part, here in conditions.items()}
