"""Ledgers that an import or another process holds for long: a push that waited for one would make its whole batch wait."""

import time

from api import problems

SECONDS = 5.0
"""How long nobody waits again for a ledger that another process holds."""


class Held:
    """The ids of such ledgers, for all that writes in a process."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        """By id, in the time of time.monotonic."""

    def hold(self, ledger_id: str, seconds: float) -> None:
        """It is held for `seconds`, or until `release`."""
        self._until[ledger_id] = time.monotonic() + seconds

    def release(self, ledger_id: str) -> None:
        """It may be waited for again."""
        self._until.pop(ledger_id, None)

    def __contains__(self, ledger_id: str) -> bool:
        if not self._until:
            return False
        if time.monotonic() < self._until.get(ledger_id, 0.0):
            return True
        self.release(ledger_id)
        return False


def refusal() -> problems.Unavailable:
    """The answer to a write to such a ledger."""
    return problems.Unavailable("this ledger is being written by an import, or by another server")
