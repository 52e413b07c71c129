"""The API's settings, read once from the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self, TypeVar, get_args

from api import refusals
from storage import urls
from storage.encryption import KeyRing, KeyRingError
from telemetry import output

Environment = Literal["development", "production"]
Given = TypeVar("Given")
Value = TypeVar("Value")


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    """`signup`: who may register; `queue_limit` pushes wait for the writer before others get a 503."""

    database_url: str
    keys: KeyRing
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    signup: refusals.Signup = "open"
    environment: Environment = "development"
    pool_size: int = 8
    pool_timeout_seconds: float = 2.0
    queue_limit: int = 2_000
    request_seconds: float = 30.0
    """What a request may take once it has come in; imports and streamed answers have more."""
    direct_url: str = ""
    """Of the same database without a pooler, for LISTEN; empty: database_url."""
    cors_origins: tuple[str, ...] = ()
    """Pages of other origins that may use the API."""
    public_url: str = ""
    """How people reach the server; empty: nobody has said so."""

    sendgrid_webhook_key: str = ""
    """By which SendGrid signs what it tells; empty: it is not listened to."""
    metrics_token: str = field(default="", repr=False)
    """What whoever reads /metrics has to send; empty: programs of this machine read it, nobody else."""
    auth_per_minute: int | None = None
    """Requests of an address to /api/auth; None: as many as it likes."""
    user_per_second: int | None = None
    """Requests of a user; None: as many as they like."""
    trusted_proxies: int = 0
    """Proxies in front, each of which appends to X-Forwarded-For; 0: the header is ignored, anybody can write it."""
    log: output.Choice = field(default_factory=output.Choice)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        try:
            keys = KeyRing.parse(_required(environment, "DEBITUM_KEYS"))
        except KeyRingError as error:
            raise SettingsError(str(error)) from error
        settings = cls(
            database_url=_required(environment, "DATABASE_URL"),
            keys=keys,
            host=environment.get("DEBITUM_HOST") or "127.0.0.1",
            port=_number(environment, "DEBITUM_PORT", 8000, most=refusals.LARGEST_PORT),
            direct_url=environment.get("DATABASE_DIRECT_URL", ""),
            cors_origins=_read(environment, "DEBITUM_CORS_ORIGINS", refusals.origins),
            sendgrid_webhook_key=_read(environment, "SENDGRID_WEBHOOK_KEY", refusals.webhook_key),
            public_url=environment.get("DEBITUM_PUBLIC_URL", ""),
            metrics_token=_read(environment, "DEBITUM_METRICS_TOKEN", refusals.metrics_token),
            auth_per_minute=_number(environment, "DEBITUM_RATE_AUTH_PER_MINUTE", AUTH_PER_MINUTE) or None,
            user_per_second=_number(environment, "DEBITUM_RATE_USER_PER_SECOND", USER_PER_SECOND) or None,
            trusted_proxies=_number(environment, "DEBITUM_TRUSTED_PROXIES", 0),
            workers=_number(environment, "DEBITUM_WORKERS", 1, least=1, most=refusals.MOST_WORKERS),
            log=_log(environment),
            signup=_read(environment, "DEBITUM_SIGNUP", refusals.signup),
            environment=_read(environment, "DEBITUM_ENV", _environment),
        )
        settings.require_a_direct_way()
        if settings.environment == "production":
            settings.refuse_what_is_dangerous()
        return settings

    def require_a_direct_way(self) -> None:
        """LISTEN belongs to a session, which a pooler's clients do not have. Raises SettingsError."""
        try:
            if urls.is_pooled(self.direct_url or self.database_url):
                raise SettingsError(f"DATABASE_DIRECT_URL: {refusals.NOT_DIRECT}")
            urls.is_pooled(self.database_url)
        except urls.PoolerError as error:
            raise SettingsError(f"DATABASE_URL: {error}") from error

    def refuse_what_is_dangerous(self) -> None:
        """What may do on a developer's machine, but not where others sign in. Raises SettingsError."""
        _accepted("DEBITUM_KEYS", self.keys.keys, refusals.keys)
        _accepted("DEBITUM_PUBLIC_URL", self.public_url, partial(refusals.public_url, host=self.host))


AUTH_PER_MINUTE, USER_PER_SECOND = 60, 200
"""The wire's figures: a household behind one address can sign in, a device that catches up is not slowed down."""


def _required(environment: Mapping[str, str], name: str) -> str:
    if not (value := environment.get(name)):
        raise SettingsError(f"{name} is not set")
    return value


def _accepted(name: str, given: Given, check: Callable[[Given], Value]) -> Value:
    try:
        return check(given)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _read(environment: Mapping[str, str], name: str, check: Callable[[str], Value], default: str = "") -> Value:
    return _accepted(name, environment.get(name) or default, check)


def _log(environment: Mapping[str, str]) -> output.Choice:
    try:
        return output.Choice.from_environment(environment)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int = refusals.MOST) -> int:
    return _read(environment, name, partial(refusals.whole_number, least=least, most=most), str(default))


def _environment(text: str) -> Environment:
    match text:
        case "" | "development":
            return "development"
        case "production":
            return "production"
    raise ValueError(f"{text!r} is none of {', '.join(get_args(Environment))}")
