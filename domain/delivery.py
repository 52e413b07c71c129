"""What follows from an attempt to send a message: it is over, or it is tried again, and when at the earliest."""

import datetime
from typing import Final, Literal

from msgspec import Struct

Channel = Literal["email", "push"]
"""The two ways to a person; the outbox's column `channel`."""
Outcome = Literal["sent", "transient", "permanent", "channel_down", "target_gone", "unknown"]

MAX_ATTEMPTS: Final[dict[Channel, int]] = {"email": 5, "push": 3}
"""Calls after which a message is dead; a push that comes an hour late helps nobody."""
BACKOFF_SECONDS: Final = 120
"""The longest wait after the first failure; it doubles with each. A provider that restarts is back by then."""
BACKOFF_CAP_SECONDS: Final = 3600
EXHAUSTED: Final = "attempts_exhausted"
"""The reason of a message that is dead because its last allowed call failed."""


class Verdict(Struct, frozen=True):
    """The state of a message after an attempt, and why it is over where it was not sent."""

    state: Literal["sent", "dead", "pending"]
    reason: str | None


def verdict(channel: Channel, outcome: Outcome, calls: int) -> Verdict:
    """What an `outcome` makes of a message for which `calls` were made, this one included.

    After `unknown` the message may have arrived. It is tried again all the same: to lose it would be worse.
    """
    match outcome:
        case "sent":
            return Verdict("sent", None)
        case "permanent" | "target_gone":
            return Verdict("dead", outcome)
        case "transient" | "unknown" if calls >= MAX_ATTEMPTS[channel]:
            return Verdict("dead", EXHAUSTED)
        case _:
            return Verdict("pending", None)


def next_at(calls: int, jitter: float, *, now: datetime.datetime, retry_at: datetime.datetime | None) -> datetime.datetime:
    """When a message may be tried again after the `calls`-th call: never before the provider's `retry_at`. `jitter`: 0 … 1."""
    return max(now + datetime.timedelta(seconds=backoff_seconds(calls, jitter)), retry_at or now)


def backoff_seconds(calls: int, jitter: float) -> float:
    """How long to wait after the `calls`-th call: full jitter, 0 … the doubled limit, so that a crowd does not return at once."""
    return float(min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2 ** max(calls - 1, 0)) * jitter)
