"""How jobs that need nothing but Postgres are spread: in how many buckets, over whose processes. Read without loading Dagster."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

BUCKETS: Final = "DEBITUM_BALANCE_BUCKETS"
EXECUTOR: Final = "DEBITUM_EXECUTOR"
BROKER: Final = "DEBITUM_CELERY_BROKER"
BACKEND: Final = "DEBITUM_CELERY_BACKEND"
PROCESSES: Final = "DEBITUM_CELERY_PROCESSES"
TAKEOVER: Final = "DEBITUM_CELERY_TAKEOVER_SECONDS"

IN_PROCESS: Final = "in_process"
CELERY: Final = "celery"
EXECUTORS: Final = (IN_PROCESS, CELERY)
MOST_PROCESSES: Final = 64
MOST_BUCKETS: Final = 64
"""Each is a step, whose events Dagster keeps: some eight rows a run."""
TAKEOVER_SECONDS: Final = 120
"""Longer than a bucket takes but after a rebuild. One that takes longer is begun twice, which costs time and nothing else."""
LEAST_TAKEOVER, MOST_TAKEOVER = 5, 600
"""Seconds; after ten minutes the run itself is ended, and the next one does what is left."""
Default = TypeVar("Default", int, None)
_REDIS: Final = ("redis", "rediss", "redis+socket")
_BROKERS: Final = (*_REDIS, "amqp", "amqps", "pyamqp")


@dataclass(frozen=True, kw_only=True)
class Celery:
    """Where steps are put for workers, and their results for who put them; URLs, which may hold passwords."""

    broker: str = field(repr=False)
    backend: str = field(repr=False)
    processes: int | None
    """Of a worker; None: as many as there are processors."""
    takeover_seconds: int

    @property
    def is_redis(self) -> bool:
        """Whether the broker is Redis, which learns of a dead worker by a time alone."""
        return _scheme(self.broker) in _REDIS


def buckets(value: str) -> int:
    """How many buckets. Raises ValueError."""
    return _whole_number(value, 1, MOST_BUCKETS)


def executor(value: str) -> str:
    """Whose processes. Raises ValueError, also where what it needs is not installed."""
    if value not in EXECUTORS:
        raise ValueError(f"{value!r} is none of {', '.join(EXECUTORS)}")
    if value == CELERY and importlib.util.find_spec("dagster_celery") is None:
        raise ValueError("celery needs the package dagster-celery, which has to be installed beside Debitum")
    return value


def celery(environment: Mapping[str, str]) -> Celery:
    """What the settings say of Celery. Raises ValueError, whose text names the setting and never repeats a URL."""
    broker = environment.get(BROKER, "")
    if _scheme(broker) not in _BROKERS:
        raise ValueError(f"{BROKER}: must be a URL of {', '.join(_BROKERS)} where {EXECUTOR} is {CELERY}")
    return Celery(
        broker=broker,
        backend=environment.get(BACKEND) or (broker if _scheme(broker) in _REDIS else "rpc://"),
        processes=_number(environment, PROCESSES, None, 1, MOST_PROCESSES),
        takeover_seconds=_number(environment, TAKEOVER, TAKEOVER_SECONDS, LEAST_TAKEOVER, MOST_TAKEOVER),
    )


def _number(environment: Mapping[str, str], name: str, default: Default, least: int, most: int) -> int | Default:
    try:
        return _whole_number(value, least, most) if (value := environment.get(name)) else default
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""


def _whole_number(value: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
    return int(value)
