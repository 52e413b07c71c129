"""Ledgers that somebody keeps for long, an import or another process: who waits for one makes all others of a batch wait."""

import time

from api import problems

SECONDS = 5.0
"""For so long nobody waits again for a ledger that another process keeps."""


class Held:
    """Which of them; shared by all that writes in a process."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        """By id (time.monotonic)."""

    def keep(self, ledger_id: str, seconds: float) -> None:
        """For so long, or until `free`."""
        self._until[ledger_id] = time.monotonic() + seconds

    def free(self, ledger_id: str) -> None:
        """It may be waited for again."""
        self._until.pop(ledger_id, None)

    def __contains__(self, ledger_id: str) -> bool:
        if not self._until:
            return False
        if time.monotonic() < self._until.get(ledger_id, 0.0):
            return True
        self.free(ledger_id)
        return False


def refusal() -> problems.Unavailable:
    """What they are told who would write to one."""
    return problems.Unavailable("this ledger is being written by an import, or by another server")
