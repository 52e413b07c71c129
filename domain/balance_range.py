"""Balances stay within what every client can hold exactly."""

from domain import errors, money
from domain.fold import Ledger, Step


def check_range(ledger: Ledger, step: Step) -> None:
    """Raises errors.BalanceOutOfRange where `step` would take a balance beyond ± money.MAX_AMOUNT."""
    if ledger.balances is None:
        return
    moved: dict[tuple[str, str], int] = {}
    for posting in step.postings:
        account = (posting.contact_id, posting.currency)
        moved[account] = moved.get(account, 0) + posting.amount
    for account, amount in moved.items():
        if abs(ledger.balances.get(account, 0) + amount) > money.MAX_AMOUNT:
            raise errors.BalanceOutOfRange(f"the balance in {account[1]} would leave ±{money.MAX_AMOUNT}")
