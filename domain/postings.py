"""Postings: the signed amounts that facts add to balances. A balance is their sum, and nothing else."""

from typing import Any

from msgspec import Struct, structs


class Posting(Struct, frozen=True):
    """`amount` minor units of `currency` between the user and a contact; positive: they owe the user."""

    contact_id: str
    transaction_id: str
    currency: str
    amount: int
    effective_date: str


def effect(transaction_id: str, fields: dict[str, Any]) -> Posting | None:
    """What a live transaction with `fields` adds to a balance; an item adds nothing."""
    if fields["type"] != "money":
        return None
    sign = 1 if fields["direction"] == "lent" else -1
    return Posting(fields["contact_id"], transaction_id, fields["currency"], sign * fields["amount"], fields["transaction_date"])


def difference(before: Posting | None, after: Posting | None) -> list[Posting]:
    """The lines that turn the effect `before` into `after`: its reversal, then the new one. None where they are equal."""
    if before == after:
        return []
    reversal = [] if before is None else [structs.replace(before, amount=-before.amount)]
    return reversal + ([] if after is None else [after])
