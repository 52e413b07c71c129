"""Settings: what the environment, a .env file and the command line's flags say, checked once at the edge."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from api import refusals
from debitum import crons, dot_env, parts, senders
from domain import retention
from notifications import links
from pipelines import spread
from storage import urls
from storage.backup import passphrase
from telemetry import levels, output

DAEMON_CEILING: Final = "DEBITUM_DAEMON_CEILING_MIB"
WEBSERVER_CEILING: Final = "DEBITUM_DAGSTER_CEILING_MIB"
LEAST_CEILING_MIB, LARGEST_CEILING_MIB = 200, 1_000_000
"""At rest they hold 100 to 135 MiB: below this they would be started again and again."""
COUNTS: Final = ("DEBITUM_RATE_AUTH_PER_MINUTE", "DEBITUM_RATE_USER_PER_SECOND", "DEBITUM_TRUSTED_PROXIES")
"""Read by the API alone."""

Value = TypeVar("Value")


class SettingsError(Exception):
    """One or more settings have values that cannot be used; the text has one line for each."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the supervisor needs to know. `environment` is everything that was set, for the children to read theirs from."""

    database_url: str | None = field(repr=False)
    database_direct_url: str | None = field(repr=False)
    data_dir: Path
    host: str
    port: int
    workers: int
    dagster_host: str
    dagster_port: int
    dagster_exposed: bool
    dagster_read_only: bool
    daemon_ceiling_mib: int
    dagster_ceiling_mib: int
    parts: frozenset[str]
    code_socket: Path | None
    public_url: str
    dagster_url: str
    production: bool
    keys: str | None = field(repr=False)
    reminder_cron: str
    snapshot_cron: str
    snapshot_url: str | None = field(repr=False)
    mail_from: str
    backup_passphrase: str | None = field(repr=False)
    log: output.Choice
    environment: Mapping[str, str] = field(repr=False)


def load(environment: Mapping[str, str], env_file: Path, flags: Mapping[str, str] | None = None) -> Settings:
    """Flags (by the name of their setting) go over the environment, which goes over `env_file`; empty means unset.

    Raises SettingsError, which names every setting that is wrong.
    """
    merged = {**_read(env_file), **{name: value for name, value in environment.items() if value}, **(flags or {})}
    reader = _Reader(merged)
    host = reader.read("DEBITUM_HOST", "127.0.0.1", _host)
    port = reader.read("DEBITUM_PORT", "8000", _port)
    dagster_host = reader.read("DEBITUM_DAGSTER_HOST", "127.0.0.1", _host)
    dagster_port = reader.read("DEBITUM_DAGSTER_PORT", "3000", _port)
    production = reader.read("DEBITUM_ENV", "development", _production)
    loaded = Settings(
        database_url=reader.read("DATABASE_URL", "", _database_url),
        database_direct_url=reader.read("DATABASE_DIRECT_URL", "", _database_url),
        data_dir=reader.read("DEBITUM_DATA_DIR", ".debitum", lambda value: Path(value).expanduser().resolve()),
        host=host,
        port=port,
        workers=reader.read("DEBITUM_WORKERS", "1", _workers),
        dagster_host=dagster_host,
        dagster_exposed=reader.read("DEBITUM_DAGSTER_EXPOSED", "0", _switch),
        dagster_read_only=reader.read("DEBITUM_DAGSTER_READ_ONLY", "0", _switch),
        dagster_port=dagster_port,
        daemon_ceiling_mib=reader.read(DAEMON_CEILING, "256", _ceiling),
        dagster_ceiling_mib=reader.read(WEBSERVER_CEILING, "384", _ceiling),
        parts=_parts(reader),
        code_socket=reader.read("DEBITUM_CODE_SOCKET", "", _socket),
        public_url=reader.read("DEBITUM_PUBLIC_URL", f"http://{reachable(host)}:{port}", _public_url),
        dagster_url=reader.read("DEBITUM_DAGSTER_URL", f"http://{reachable(dagster_host)}:{dagster_port}", _public_url),
        production=production,
        keys=reader.read("DEBITUM_KEYS", "", _key_ring),
        reminder_cron=reader.read("DEBITUM_REMINDER_CRON", "*/5 * * * *", crons.parse),
        snapshot_cron=reader.read("DEBITUM_SNAPSHOT_CRON", "0 * * * *", crons.parse),
        snapshot_url=reader.read("DEBITUM_SNAPSHOT_URL", "", _snapshot_url),
        mail_from=reader.read("MAIL_FROM", "Debitum <debitum@localhost>", str),
        backup_passphrase=_passphrase(reader),
        log=output.Choice(
            reader.read(output.FORMAT, "", output.parse_format),
            reader.read(output.LEVEL, "", levels.parse),
        ),
        environment=merged,
    )
    if loaded.parts >= {parts.API, parts.WEBSERVER} and loaded.port == loaded.dagster_port:
        reader.wrong.append(f"DEBITUM_DAGSTER_PORT: {port} is the port of the API (DEBITUM_PORT) already")
    _spread(loaded, reader)
    if loaded.database_url and urls.is_pooled(loaded.database_url) and not loaded.database_direct_url:
        reader.wrong.append(f"DATABASE_DIRECT_URL: {refusals.NOT_DIRECT}")
    if loaded.database_direct_url and urls.is_pooled(loaded.database_direct_url):
        reader.wrong.append(f"DATABASE_DIRECT_URL: {refusals.NOT_DIRECT}")
    _check_others(reader)
    if loaded.parts & parts.SEND:  # its files need not be anywhere else
        reader.wrong.extend(senders.wrong(reader.values))
    if production:
        _refuse_what_is_dangerous(loaded, reader)
    if reader.wrong:
        raise SettingsError("\n".join(reader.wrong))
    return loaded


def require_keys(loaded: Settings) -> None:
    """Before anything is sealed, in production: keys that were drawn, and not a new ring for a database that may have another.

    Beside an embedded database they are made at the first start: both are in the data folder. Raises SettingsError.
    """
    if not loaded.production or loaded.keys:
        return
    file = loaded.data_dir / "secrets"
    try:
        if ring := _key_ring(file.read_text().strip()):
            _drawn(ring)
    except FileNotFoundError:
        if loaded.database_url:
            raise SettingsError(
                f"DEBITUM_KEYS: not set, and there is no {file}; this database may be sealed with other keys"
            ) from None
    except (OSError, UnicodeDecodeError):
        return  # what cannot be read is told of where the ring is read (debitum.rings)
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from error


def require_place(loaded: Settings) -> None:
    """Where the code server runs here, its socket needs a folder; inside the data folder that is made. Raises SettingsError."""
    socket = loaded.code_socket
    if socket is None or parts.CODE_SERVER not in loaded.parts or socket.is_relative_to(loaded.data_dir):
        return
    if not os.path.isdir(socket.parent):
        raise SettingsError(f"DEBITUM_CODE_SOCKET: there is no folder {socket.parent}")


def _refuse_what_is_dangerous(loaded: Settings, reader: "_Reader") -> None:
    """Collect what will do on a developer's machine, but not where others sign in."""
    said = reader.values.get("DEBITUM_PUBLIC_URL", "")
    reader.check("DEBITUM_PUBLIC_URL", said, partial(refusals.public_url, host=loaded.host))
    if loaded.keys:
        reader.check("DEBITUM_KEYS", loaded.keys, _drawn)
    if offers_dagster(loaded):
        reader.wrong.append(_offers_dagster(loaded))


def for_pages(loaded: Settings) -> Settings:
    """The same, for a process that runs Dagster's pages and nothing else. Raises SettingsError where production refuses that."""
    alone = replace(loaded, parts=frozenset({parts.WEBSERVER}))
    if alone.production and offers_dagster(alone):
        raise SettingsError(_offers_dagster(alone))
    return alone


def _offers_dagster(loaded: Settings) -> str:
    return (
        f"DEBITUM_DAGSTER_HOST: {loaded.dagster_host!r} is not of this machine alone, and Dagster's pages have no login; "
        "set DEBITUM_DAGSTER_EXPOSED=1 if whatever is in front of them asks for one"
    )


def offers_dagster(loaded: Settings) -> bool:
    """Whether Dagster's pages, which have no login, can be reached from elsewhere, and nobody has said that this is meant."""
    return parts.WEBSERVER in loaded.parts and not (loaded.dagster_exposed or refusals.is_loopback(loaded.dagster_host))


def reachable(host: str) -> str:
    """The address under which a server that listens on `host` is reached from this machine, ready for a URL."""
    if host == "0.0.0.0":  # noqa: S104 (it is read here, not bound)
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


class _Reader:
    """Reads settings and collects what is wrong with them, so that one start tells all of it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.wrong: list[str] = []

    def read(self, name: str, default: str, parse: Callable[[str], Value]) -> Value:
        """The parsed value of `name`; where it is wrong the parsed default, which is never used."""
        try:
            return parse(self.values.get(name) or default)
        except ValueError as error:
            self.wrong.append(f"{name}: {error}")
            return parse(default)

    def check(self, name: str, value: str, judge: Callable[[str], object]) -> None:
        """Collect what `judge` says against `value`."""
        try:
            judge(value)
        except ValueError as error:
            self.wrong.append(f"{name}: {error}")


def _parts(reader: _Reader) -> frozenset[str]:
    """What is to run here. Parts that run elsewhere could not reach an embedded database: to name some needs DATABASE_URL."""
    named = reader.read("DEBITUM_PARTS", ",".join(parts.ALL), parts.parse)
    if reader.read("DEBITUM_NO_DAGSTER", "0", _switch):
        if reader.values.get("DEBITUM_PARTS") and named & parts.OF_DAGSTER:
            reader.wrong.append("DEBITUM_PARTS: names parts of Dagster, which DEBITUM_NO_DAGSTER=1 leaves out")
        named = frozenset({parts.API})
    if reader.read("DEBITUM_NO_UI", "0", _switch):
        if reader.values.get("DEBITUM_PARTS") and parts.WEBSERVER in named:
            reader.wrong.append(f"DEBITUM_PARTS: names {parts.WEBSERVER}, which DEBITUM_NO_UI=1 leaves out")
        named -= {parts.WEBSERVER}
    if reader.values.get("DEBITUM_PARTS") and not named >= set(parts.ALL) and not reader.values.get("DATABASE_URL"):
        reader.wrong.append("DEBITUM_PARTS: needs DATABASE_URL, a database that the parts which run elsewhere reach too")
    return named


def _spread(loaded: Settings, reader: _Reader) -> None:
    """Check by whom steps are run; a worker is a mistake where no steps are queued for it."""
    reader.read(spread.BUCKETS, "1", spread.buckets)
    if reader.read(spread.EXECUTOR, spread.IN_PROCESS, spread.executor) == spread.CELERY:
        try:
            spread.celery(reader.values)
        except ValueError as error:
            reader.wrong.append(str(error))
    elif parts.WORKER in loaded.parts:
        reader.wrong.append(f"DEBITUM_PARTS: names {parts.WORKER}, which has nothing to do unless {spread.EXECUTOR}=celery")


def _passphrase(reader: _Reader) -> str | None:
    try:
        return passphrase.read(reader.values)
    except ValueError as error:
        reader.wrong.append(str(error))
        return None


def _socket(value: str) -> Path | None:
    if not value:
        return None
    from debitum import folders  # only who sets it pays for loading what that needs

    path = Path(value).expanduser().absolute()
    if len(os.fsencode(path)) >= folders.LONGEST_SOCKET_PATH:
        raise ValueError(f"{value!r} is too long for a socket: {folders.LONGEST_SOCKET_PATH - 1} bytes at most")
    return path


def _read(env_file: Path) -> dict[str, str]:
    try:
        return dot_env.read(env_file)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _port(value: str) -> int:
    return refusals.whole_number(value, 1, refusals.LARGEST_PORT)


def _workers(value: str) -> int:
    return refusals.whole_number(value, 1, refusals.MOST_WORKERS)


def _ceiling(value: str) -> int:
    return 0 if value == "0" else refusals.whole_number(value, LEAST_CEILING_MIB, LARGEST_CEILING_MIB)


def _count(value: str) -> int:
    return refusals.whole_number(value, 0, refusals.MOST)


def _switch(value: str) -> bool:
    if value.lower() not in ("0", "1", "true", "false", "yes", "no"):
        raise ValueError(f"{value!r} is neither 1 nor 0")
    return value.lower() in ("1", "true", "yes")


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", value):
        raise ValueError(f"{value!r} is not a host name or address")
    return value


def _production(value: str) -> bool:
    if value not in ("development", "production"):
        raise ValueError(f"{value!r} is neither development nor production")
    return value == "production"


def _public_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+[^\s]*", value):
        raise ValueError(f"{value!r} does not begin with http:// or https://")
    try:
        named = urlsplit(value).hostname and urlsplit(value).port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError(f"{value!r} has no host, or a port that is none, after http:// or https://")
    return value.rstrip("/")


def _check_others(reader: _Reader) -> None:
    """What other processes read by themselves, so that all that is wrong is told at once, and at the start."""
    reader.read("DEBITUM_CORS_ORIGINS", "", refusals.origins)
    reader.read("DEBITUM_SIGNUP", "", refusals.signup)
    reader.read("DEBITUM_METRICS_TOKEN", "", refusals.metrics_token)
    reader.read("DEBITUM_APP_LINK", "", links.read_app_link)
    reader.read("SENDGRID_WEBHOOK_KEY", "", refusals.webhook_key)
    for name in ("OPERATOR_WEBHOOK", "HEARTBEAT_URL"):
        reader.read(name, "", lambda value: _public_url(value) if value else None)
    try:
        retention.horizons(reader.values)
    except retention.HorizonError as error:
        reader.wrong.append(str(error))
    for name in COUNTS:
        reader.read(name, "0", _count)


def _database_url(value: str) -> str | None:
    """The value is never repeated: it may hold a password."""
    if not value:
        return None
    try:
        backend = urls.backend(value)
    except urls.AddressError as error:
        raise ValueError("is not a URL like postgresql://user:password@host/database") from error
    if backend not in ("postgresql", "postgres"):
        raise ValueError(f"is a URL of {backend}, not of postgresql")
    urls.is_pooled(value)
    return re.sub(r"^postgres(?=[:+])", "postgresql", value)


def _snapshot_url(value: str) -> str | None:
    """The value is never repeated: it may hold a password."""
    if not value:
        return None
    from storage.snapshots import places  # only who sets it pays for loading fsspec here

    places.parse(value)
    return value


def _key_ring(value: str) -> str | None:
    """`kid:base64[,kid:base64…]`, the current key first; the value is never repeated, not even the part that is a name."""
    if not value:
        return None
    from storage import encryption  # only who sets keys of his own pays for loading it here

    try:
        encryption.KeyRing.parse(value)
    except encryption.KeyRingError:
        form = f"name:base64[,name:base64…] with short alphanumeric names and keys of {encryption.KEY_BYTES} bytes"
        raise ValueError(f"is not of the form {form}") from None
    return value


def _drawn(ring: str) -> None:
    from storage import encryption

    refusals.keys(encryption.KeyRing.parse(ring).keys)
