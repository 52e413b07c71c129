"""The API's settings, read once from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from storage.encryption import KeyRing, KeyRingError


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    """`signup` open or closed (registration), `queue_limit` pushes wait for the writer before others get a 503."""

    database_url: str
    keys: KeyRing
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    signup: Literal["open", "closed"] = "open"
    environment: Literal["development", "production"] = "development"
    pool_size: int = 8
    pool_timeout_seconds: float = 2.0
    queue_limit: int = 2_000
    direct_url: str = ""
    """Of the same database without a pooler, for LISTEN; empty: database_url."""
    cors_origins: tuple[str, ...] = ()
    """Pages of other origins that may use the API."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        try:
            keys = KeyRing.parse(_required(environment, "DEBITUM_KEYS"))
        except KeyRingError as error:
            raise SettingsError(str(error)) from error
        return cls(
            database_url=_required(environment, "DATABASE_URL"),
            keys=keys,
            host=environment.get("DEBITUM_HOST") or "127.0.0.1",
            port=_number(environment, "DEBITUM_PORT", 8000, least=0),
            direct_url=environment.get("DATABASE_DIRECT_URL", ""),
            cors_origins=tuple(one.strip() for one in environment.get("DEBITUM_CORS_ORIGINS", "").split(",") if one.strip()),
            workers=_number(environment, "DEBITUM_WORKERS", 1, least=1),
            signup="closed" if _choice(environment, "DEBITUM_SIGNUP", ("open", "closed")) == "closed" else "open",
            environment="production" if _choice(environment, "DEBITUM_ENV", ENVIRONMENTS) == "production" else "development",
        )


ENVIRONMENTS = ("development", "production")


def _required(environment: Mapping[str, str], name: str) -> str:
    if not (value := environment.get(name)):
        raise SettingsError(f"{name} is not set")
    return value


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name}: {text!r} is not a whole number of at least {least}")
    return int(text)


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environment.get(name) or choices[0]
    if value not in choices:
        raise SettingsError(f"{name}: {value!r} is none of {', '.join(choices)}")
    return value
