"""DATABASE_URL as each driver takes it. SQLAlchemy is not needed to read one, and the supervisor does without it.

A URL may say `pooler=transaction`: whoever answers there gives each transaction another connection of Postgres's, which does not
know what was prepared on the one before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote

import psycopg

PREPARE_THRESHOLD: Final = 3
"""Executions after which psycopg prepares a statement."""
_POOLER: Final = "pooler"
_POOLERS: Final = ("transaction",)
_PARTS: Final = re.compile(
    r"(?P<backend>\w+)(?:\+\w+)?://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?(?P<place>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)
"""As SQLAlchemy reads it: a password may hold all but @."""


class AddressError(ValueError):
    """It is no URL of a database."""


class PoolerError(ValueError):
    """A URL names a kind of pooler that there is not."""


@dataclass(frozen=True)
class _Url:
    backend: str
    login: str
    place: str
    query: tuple[tuple[str, str], ...]
    """A name may come twice: hosts that stand in for each other."""

    @classmethod
    def parse(cls, url: str) -> Self:
        if (found := _PARTS.fullmatch(url)) is None:
            raise AddressError("it is not a URL of a database")  # which may hold a password, and is not repeated
        user, password = found["user"], found["password"]
        login = "" if user is None else _quoted(user) + ("" if password is None else f":{_quoted(password)}") + "@"
        return cls(found["backend"], login, found["place"], tuple(parse_qsl(found["query"] or "")))

    def render(self, scheme: str, more: Mapping[str, str] | None = None) -> str:
        more = more or {}
        kept = [(name, value) for name, value in self.query if name != _POOLER and name not in more]
        query = sorted((*kept, *more.items()), key=itemgetter(0))
        options = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
        return f"{scheme}://{self.login}{self.place}{options and '?'}{options}"


def _quoted(text: str) -> str:
    return quote(unquote(text), safe=" +")


def backend(url: str) -> str:
    """Which kind of database `url` leads to: `postgresql` before `+` and a driver. Raises AddressError."""
    return _Url.parse(url).backend


def is_pooled(url: str) -> bool:
    """Whether a pooler in transaction mode answers at `url`. Raises PoolerError."""
    pooler = dict(_Url.parse(url).query).get(_POOLER)
    if pooler is not None and pooler not in _POOLERS:
        raise PoolerError(f"{_POOLER}={pooler} is none of {', '.join(_POOLERS)}")
    return pooler is not None


def libpq_url(url: str) -> str:
    """`url` without SQLAlchemy's driver suffix and `pooler`, as libpq's programs and psycopg take it."""
    return _Url.parse(url).render("postgresql")


def psycopg2_url(url: str, *, schema: str, lock_seconds: float | None = None) -> str:
    """`url` for Dagster's own storage: its SQL needs psycopg2, its tables live in `schema`, and it takes all times for UTC."""
    options = f"-csearch_path={schema} -ctimezone=UTC"
    if lock_seconds is not None:
        options += f" -clock_timeout={int(lock_seconds * 1000)}"
    return _Url.parse(url).render("postgresql+psycopg2", {"options": options})


def psycopg_url(url: str) -> str:
    """`url` for SQLAlchemy and psycopg."""
    return _Url.parse(url).render("postgresql+psycopg")


_ALIVE: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Over TCP: a server that is gone without a word is noticed within a minute, and not after the system's two hours."""


def connect_args(url: str, application_name: str) -> dict[str, Any]:
    """What a connection to `url` is made with. `application_name` shows in pg_stat_activity."""
    return _ALIVE | {"application_name": application_name, "prepare_threshold": None if is_pooled(url) else PREPARE_THRESHOLD}


async def async_connection(url: str, application_name: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A bare psycopg connection in autocommit."""
    return await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True, **connect_args(url, application_name))
