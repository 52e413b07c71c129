"""How long what is over is kept: one horizon a kind, each a setting. None is for the log or what follows from it."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "DEBITUM_RETAIN_"
"""Of the settings."""
REJECTIONS_PER_LEDGER: Final = 1_000
"""Of one ledger the latest so many rejections are remembered, however young they are."""
MAXIMUM_DAYS: Final = 36_500
"""A hundred years: more is a slip of the keyboard, and would leave what a date can hold."""


class HorizonError(ValueError):
    """A retention setting is not a number of days that its kind may have."""


@dataclass(frozen=True)
class Kind:
    """A kind of thing that is removed: what it is in plain words, the days that it is kept, and the fewest that are safe."""

    name: str
    what: str
    default_days: int
    minimum_days: int = 0

    @property
    def setting(self) -> str:
        """The environment variable that holds the days."""
        return f"{PREFIX}{self.name.upper()}_DAYS"


OUTBOX: Final = Kind("outbox", "messages that were sent, given up or suppressed, with their delivery attempts", 30, 7)
"""At least 7 days: the row is what keeps a message from being sent a second time."""
ATTEMPTS: Final = Kind("attempts", "delivery attempts of finished messages that are kept longer than this", 90)
"""An attempt never outlives its message: this horizon matters where the outbox's is longer or none."""
SESSIONS: Final = Kind("sessions", "sessions that expired, with their refresh tokens, and where their devices took pushes", 7)
REFRESH_TOKENS: Final = Kind("refresh_tokens", "refresh tokens that expired", 7)
ONE_TIME_TOKENS: Final = Kind("one_time_tokens", "one-time tokens (verify, reset) that expired", 7)
REJECTIONS: Final = Kind("rejections", "commands that were refused, and of one ledger all but the latest 1,000", 90)
LOGIN_ATTEMPTS: Final = Kind("login_attempts", "counts of wrong passwords to which none was added for this long", 1, 1)
"""At least a day: until then they make the next guess wait."""
INVITES: Final = Kind("invites", "invitations that expired, used or not", 7)
PERSONAL_TOKENS: Final = Kind("personal_tokens", "personal tokens that expired", 7)
MAIL_EVENTS: Final = Kind("mail_events", "what a provider told of mails that came back, and may tell again", 30, 7)
"""At least 7 days: an event that is forgotten is believed again, also where the address works by now."""

DAGSTER_RUNS: Final = Kind("dagster_runs", "runs of Dagster, with their events, results of checks and files", 30, 7)
"""At least 7 days: whoever looks why a job failed looks at its runs. What a run says last of anything stays, see docs."""
DAGSTER_TICKS: Final = Kind("dagster_ticks", "ticks of Dagster's schedules and sensors", 14, 2)
"""At least 2 days: a schedule goes on from its last tick, and the rarest are daily."""

ROWS: Final = (
    OUTBOX,
    ATTEMPTS,
    SESSIONS,
    REFRESH_TOKENS,
    ONE_TIME_TOKENS,
    REJECTIONS,
    LOGIN_ATTEMPTS,
    INVITES,
    PERSONAL_TOKENS,
    MAIL_EVENTS,
)
"""Those that are rows of tables of ours."""
KINDS: Final = (*ROWS, DAGSTER_RUNS, DAGSTER_TICKS)

Horizons = Mapping[Kind, datetime.timedelta | None]
"""How long each kind is kept after it was over; None: for ever."""


def horizons(settings: Mapping[str, str]) -> Horizons:
    """The horizon of every kind: the default where the setting is absent, None where it is empty or "none".

    Raises HorizonError, naming the setting, for anything but a whole number of days of at least the kind's minimum, and for a
    setting that is of no kind: a slip of the pen would keep what is meant to go.
    """
    of_none = {name for name in settings if name.startswith(PREFIX)} - {kind.setting for kind in KINDS}
    if of_none:
        raise HorizonError(f"{min(of_none)}: there is nothing of this name to keep")
    return {kind: _horizon(kind, settings.get(kind.setting)) for kind in KINDS}


def before(kind: Kind, horizons: Horizons, now: datetime.datetime) -> datetime.datetime | None:
    """What of `kind` was over before this moment has outlived its horizon at `now`; None: nothing ever does."""
    horizon = horizons[kind]
    return None if horizon is None else now - horizon


def _horizon(kind: Kind, value: str | None) -> datetime.timedelta | None:
    if value is None:
        return datetime.timedelta(days=kind.default_days)
    if value.strip().lower() in ("", "none"):
        return None
    if not (value.strip().isascii() and value.strip().isdigit()):
        raise HorizonError(f"{kind.setting}: {value!r} is not a whole number of days, or none")
    days = int(value)
    if not kind.minimum_days <= days <= MAXIMUM_DAYS:
        raise HorizonError(f"{kind.setting}: {days} is not from {kind.minimum_days} to {MAXIMUM_DAYS} days, or none")
    return datetime.timedelta(days=days)
