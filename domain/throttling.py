"""How long whoever has guessed a password wrong waits before the next guess is looked at."""

import datetime
from dataclasses import dataclass
from typing import Final

FORGOTTEN_AFTER: Final = datetime.timedelta(days=1)
"""After so long without a wrong password, those before no longer count."""


@dataclass(frozen=True)
class Rule:
    """After `free` wrong passwords in a row the next guess waits a second, and twice as long each time up to `most_seconds`."""

    free: int
    most_seconds: int

    def delay_seconds(self, failures: int) -> int:
        """How long after the latest of `failures` (1 or more) the next guess is looked at."""
        beyond = failures - self.free
        return 0 if beyond < 0 else min(2 ** min(beyond, self.most_seconds.bit_length()), self.most_seconds)

    @property
    def delays_seconds(self) -> tuple[int, ...]:
        """`delay_seconds` of 1, 2, 3 … failures; the last holds for more than there are entries."""
        return tuple(self.delay_seconds(failures) for failures in range(1, self.free + self.most_seconds.bit_length() + 1))

    def wait_seconds(self, failures: int, last_at: datetime.datetime, now: datetime.datetime) -> float:
        """How long to wait yet at `now`, the latest of `failures` being at `last_at`; 0: not at all.

        A failure that lies further ahead than any wait is a clock's mistake, and keeps nobody out.
        """
        since, delay = (now - last_at).total_seconds(), self.delay_seconds(failures)
        if delay == 0 or since < -self.most_seconds:
            return 0.0
        return max(0.0, delay - since)

    def next_count(self, failures: int, last_at: datetime.datetime, now: datetime.datetime) -> int:
        """How many failures there are with one more at `now`."""
        return 1 if now - last_at >= FORGOTTEN_AFTER else failures + 1


ACCOUNT: Final = Rule(free=5, most_seconds=60)
"""Of one account. Others can guess too: its owner never waits longer than a minute for what they did."""
ADDRESS: Final = Rule(free=30, most_seconds=900)
"""Of one network address, behind which may be a whole school: of many accounts a few guesses each."""
