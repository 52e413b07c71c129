"""Where the server begins: `create()` for each worker, `main()` for `python -m api`."""

import logging
import os
import sys
from functools import partial
from typing import Any

import structlog
from sanic import Sanic
from sanic.worker.loader import AppLoader

from api.app import create_app
from api.settings import Settings, SettingsError

_log = structlog.get_logger("api")


def create() -> "Sanic[Any, Any]":
    """The application with the environment's settings."""
    _configure_logging()
    return create_app(Settings.from_environment(os.environ))


def main() -> None:
    """Serve until SIGTERM or SIGINT; exits with 2 when a setting is wrong."""
    _configure_logging()
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"debitum api: {error}")
    loader = AppLoader(factory=partial(create))
    app = loader.load()
    app.prepare(
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        single_process=settings.workers == 1,
        access_log=False,
        motd=False,
    )
    if settings.workers == 1:
        Sanic.serve_single(primary=app)
    else:
        Sanic.serve(primary=app, app_loader=loader)


def _configure_logging() -> None:
    """One JSON object a line on standard output."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
