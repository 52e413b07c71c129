"""Balances stay within what every client can hold exactly, and all sums within what databases do."""

from domain import errors, money
from domain.fold import Ledger, Step


def check_range(ledger: Ledger, step: Step) -> None:
    """Raises errors.BalanceOutOfRange where `step` takes a balance or the ledger's turnover beyond what domain.money allows."""
    if ledger.turnover + sum(abs(posting.amount) for posting in step.postings) > money.MAX_TURNOVER:
        raise errors.BalanceOutOfRange("the ledger has moved as much as one can")
    if ledger.balances is None:
        return
    moved: dict[tuple[str, str], int] = {}
    for posting in step.postings:
        account = (posting.contact_id, posting.currency)
        moved[account] = moved.get(account, 0) + posting.amount
    for account, amount in moved.items():
        if abs(ledger.balances.get(account, 0) + amount) > money.MAX_AMOUNT:
            raise errors.BalanceOutOfRange(f"the balance in {account[1]} would leave ±{money.MAX_AMOUNT}")
