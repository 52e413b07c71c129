"""The parts of a running Debitum: their commands, and the environment that all of them get."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import psycopg

from debitum import folders, parts, probes, processes
from debitum.ceilings import Ceiling, always
from debitum.children import Plan
from debitum.settings import DAEMON_CEILING, WEBSERVER_CEILING, Settings, reachable
from storage import names, server, urls

API_GRACE_SECONDS: Final = 12.0
"""The API answers requests in flight within 10, and ends whatever is left within 2 more (api.app, api.server)."""
DAGSTER_GRACE_SECONDS: Final = 15.0
"""A run that is told to end writes its last events."""
API_ANSWERS: Final = "/health"
WEBSERVER_ANSWERS: Final = "/server_info"
"""Paths that only a part which works answers."""
ENDED_RUNS: Final = "200"
"""Runs at which each of the alerts looks in a tick, every 30 s: Dagster's own 5 are fewer than end meanwhile on a busy server."""
MIGRATION_REFUSED: Final = 3
"""How debitum.migration ends where the schema cannot be brought to this version; the reason is on its standard error."""
DAEMON: Final = "dagster-daemon"
"""The name of the part that only one supervisor of a database runs."""
FREED: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""What a burst of work took goes back to the system (bytes): glibc would keep it, for each thread apart. Only glibc reads it."""


def known(settings: Settings) -> dict[str, str]:
    """What every child gets that is known before Postgres runs."""
    return {
        **FREED,
        **settings.environment,
        "PYTHONUNBUFFERED": "1",  # the last words of a part that dies are in its log
        processes.MARK: str(settings.data_dir),
    }


def environment(settings: Settings, database_url: str, keys: str) -> dict[str, str]:
    """What every child gets: all that was set, and the value of each setting that has a default."""
    direct = settings.database_direct_url or database_url
    return {
        **known(settings),
        "DATABASE_URL": database_url,
        "DATABASE_DIRECT_URL": direct,
        "DEBITUM_DATA_DIR": str(settings.data_dir),
        "DEBITUM_KEYS": keys,
        "DEBITUM_ENV": "production" if settings.production else "development",
        "DEBITUM_HOST": settings.host,
        "DEBITUM_PORT": str(settings.port),
        "DEBITUM_WORKERS": str(settings.workers),
        "DEBITUM_DAGSTER_HOST": settings.dagster_host,
        "DEBITUM_DAGSTER_PORT": str(settings.dagster_port),
        "DEBITUM_PUBLIC_URL": settings.public_url,
        "DEBITUM_DAGSTER_URL": settings.dagster_url,
        "DEBITUM_REMINDER_CRON": settings.reminder_cron,
        "DEBITUM_SNAPSHOT_CRON": settings.snapshot_cron,
        "DEBITUM_SNAPSHOT_URL": settings.snapshot_url or "",
        "MAIL_FROM": settings.mail_from,
        "DAGSTER_HOME": str(settings.data_dir / "dagster"),
        "MPLCONFIGDIR": str(settings.data_dir / "dagster" / "matplotlib"),  # it keeps a list of fonts, and has no other home
        "DEBITUM_DAGSTER_DATABASE_URL": urls.psycopg2_url(direct, schema=names.DAGSTER_SCHEMA),
        "DEBITUM_CODE_SOCKET": str(code_socket(settings)),
        "DAGSTER_RUN_STATUS_SENSOR_FETCH_LIMIT": ENDED_RUNS,
        "DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": ENDED_RUNS,
    }


def listeners(settings: Settings) -> list[tuple[str, str, int, str]]:
    """The parts that run here and that people reach: name, host, port, and the setting of the port."""
    api = (parts.API, settings.host, settings.port, "DEBITUM_PORT (--port)")
    pages = (parts.WEBSERVER, settings.dagster_host, settings.dagster_port, "DEBITUM_DAGSTER_PORT (--dagster-port)")
    return [listener for listener in (api, pages) if listener[0] in settings.parts]


def addresses(settings: Settings) -> dict[str, str]:
    """Where people reach those of the parts that run here, by name."""
    return {name: f"http://{reachable(host)}:{port}" for name, host, port, _ in listeners(settings)}


def code_socket(settings: Settings) -> Path:
    """Where the code server listens: as set, or in the data folder."""
    return settings.code_socket or folders.code_socket(settings.data_dir)


def migration(settings: Settings) -> tuple[str, ...]:
    """The command that brings the schema to this version, and Dagster's tables where a part of Dagster's runs here."""
    return processes.python("debitum.migration", *(("dagster",) if settings.parts & parts.OF_DAGSTER else ()))


def api(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """The Sanic application; its first process stops the workers."""
    address = addresses(settings)[parts.API]
    return Plan(
        name=parts.API,
        command=processes.python("api"),
        environment=environment,
        log=_log(settings, parts.API),
        grace_seconds=API_GRACE_SECONDS,
        answers=probes.http(f"{address}{API_ANSWERS}"),
        address=address,
    )


def code(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Dagster's code server: holds the definitions, and starts a process for each run."""
    socket = Path(environment["DEBITUM_CODE_SOCKET"])
    return Plan(
        name=parts.CODE_SERVER,
        command=processes.python("pipelines", "code-server", "--socket", str(socket), "-m", "pipelines.location"),
        environment=environment,
        log=_log(settings, parts.CODE_SERVER),
        grace_seconds=DAGSTER_GRACE_SECONDS,
        answers=probes.unix_socket(socket),
        stale=socket,
        whole_group=True,
    )


def webserver(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Dagster's pages. They have no login: where they listen is DEBITUM_DAGSTER_HOST, whatever the API's host is."""
    address = addresses(settings)[parts.WEBSERVER]
    options = ["-h", settings.dagster_host, "-p", str(settings.dagster_port), "-w", str(folders.workspace())]
    if settings.dagster_read_only:
        options.append("--read-only")
    return Plan(
        name=parts.WEBSERVER,
        command=processes.python("pipelines", "webserver", *options),
        environment=environment,
        log=_log(settings, parts.WEBSERVER),
        grace_seconds=DAGSTER_GRACE_SECONDS,
        answers=probes.http(f"{address}{WEBSERVER_ANSWERS}"),
        address=address,
        whole_group=True,
        ceiling=_ceiling(settings.dagster_ceiling_mib, WEBSERVER_CEILING, always),
    )


def daemon(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Dagster's daemon: schedules, sensors, the queue of runs."""
    return Plan(
        name=DAEMON,
        command=processes.python("pipelines", "daemon", "-w", str(folders.workspace())),
        environment=environment,
        log=_log(settings, DAEMON),
        grace_seconds=DAGSTER_GRACE_SECONDS,
        whole_group=True,
        ceiling=_ceiling(settings.daemon_ceiling_mib, DAEMON_CEILING, _nothing_is_launched(environment["DATABASE_DIRECT_URL"])),
    )


def worker(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Takes steps of runs from Celery's broker. SIGTERM goes to its first process alone: the others may end their steps."""
    ready = settings.data_dir / "dagster" / "worker.ready"
    return Plan(
        name=parts.WORKER,
        command=processes.python("pipelines", "worker", str(ready)),
        environment=environment,
        log=_log(settings, parts.WORKER),
        grace_seconds=DAGSTER_GRACE_SECONDS,
        answers=probes.file(ready),
        stale=ready,
    )


def _ceiling(mib: int, setting: str, quiet: Callable[[], Awaitable[bool]]) -> Ceiling | None:
    return Ceiling(mib=mib, setting=setting, quiet=quiet) if mib else None


def _nothing_is_launched(url: str) -> Callable[[], Awaitable[bool]]:
    """A run that the daemon has taken from the queue, and not yet given to the code server, would be lost with it."""

    async def quiet() -> bool:
        try:
            return not await asyncio.to_thread(server.launching_runs, url, "debitum")
        except psycopg.OperationalError:
            return False

    return quiet


def _log(settings: Settings, name: str) -> Path:
    return settings.data_dir / "logs" / f"{name}.log"
