"""What is still open: repayments are allocated to the debts they name, then to the oldest ones of the other direction.

`storage.allocation` states the same closed form as one window query; the tests hold the two against each other.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """A money transaction of one (contact, currency).

    `amount` in minor units; `ripe`: its due_date, or else its transaction_date; `seq`: of the fact that created it.
    """

    id: UUID
    direction: Literal["lent", "owed"]
    amount: int
    ripe: datetime.date
    seq: int
    repays: UUID | None = None
    deleted: bool = False

    @property
    def age(self) -> tuple[datetime.date, int, UUID]:
        """What "oldest first" sorts by; the id only decides between entries of one fact."""
        return (self.ripe, self.seq, self.id)


def open_amounts(entries: Iterable[Entry]) -> dict[UUID, int]:
    """What is open of each live entry, 0 … its amount, in minor units; all entries are of one contact and currency.

    A link (`repays`) counts while both ends are live, of opposite direction, and the debt itself names nothing. What links
    exceed their debt by, and whatever is not linked, pays the other direction's entries, oldest first. Hence one of the
    two directions has nothing open, and Σ open(lent) − Σ open(owed) = Σ lent − Σ owed, the balance.
    """
    live = sorted((entry for entry in entries if not entry.deleted), key=lambda entry: entry.age)
    free = _free_amounts(live)
    pools: defaultdict[str, int] = defaultdict(int)
    for entry in live:
        pools["owed" if entry.direction == "lent" else "lent"] += free[entry.id]
    opened = {}
    for entry in live:
        paid = min(free[entry.id], pools[entry.direction])
        pools[entry.direction] -= paid
        opened[entry.id] = free[entry.id] - paid
    return opened


def _free_amounts(live: list[Entry]) -> dict[UUID, int]:
    """What is left of each entry when the links are applied; of a debt's links the last ones carry the excess."""
    by_id = {entry.id: entry for entry in live}
    free = {entry.id: entry.amount for entry in live}
    for link in live:
        debt = _debt_of(link, by_id)
        if debt is not None:
            applied = min(link.amount, free[debt.id])
            free[debt.id] -= applied
            free[link.id] -= applied
    return free


def _debt_of(link: Entry, by_id: Mapping[UUID, Entry]) -> Entry | None:
    """The live debt that `link` counts against; None where it counts as unlinked."""
    debt = by_id.get(link.repays) if link.repays is not None else None
    if debt is None or debt.direction == link.direction or debt.repays is not None:
        return None
    return debt
