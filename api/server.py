"""Where the server begins: `main()` for `python -m api`."""

import gc
import os
import sys
from typing import Final, NoReturn

import structlog

from api import serving, workers
from api.app import GRACE_SECONDS, create_app
from api.settings import Settings, SettingsError
from storage import server as postgres
from telemetry import output

LAST_WORDS_SECONDS: Final = 3 * serving.CLOSE_SECONDS
"""What a worker may need after the grace, and a little more, before it is killed."""
YOUNG_OBJECTS: Final = 100_000
"""How many more objects have come than gone when Python looks for garbage: pushes of 500 from four devices keep 47,000 while
they are at work, 64 single changes 12,000, and it would look through them again and again. Requests leave no garbage
(tests/api/test_garbage.py)."""
_log = structlog.get_logger("api")


def main() -> None:
    """Serve until SIGTERM or SIGINT; exits with 2 where a setting is wrong, Postgres could forget, or the port cannot be had."""
    output.configure(output.Choice())  # until the settings say how
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        _give_up(str(error), output.Choice())
    output.configure(settings.log)
    _require_durability(settings)
    app = create_app(settings)
    try:
        listener = serving.listen(settings.host, settings.port)
    except OSError as error:
        _give_up(f"port {settings.port} of {settings.host} cannot be used: {error.strerror}", settings.log)
    host, port = listener.getsockname()[:2]
    _log.info("listening", host=host, port=port, workers=settings.workers)
    # What there is now stays as long as the process: no collection looks at it again, and forks go on sharing its pages.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()

    def serve(place: int) -> NoReturn:
        app.ctx.metrics.board.take(place)
        serving.run(app, listener)

    if settings.workers == 1:
        serve(0)
    workers.keep(settings.workers, listener, serve, grace_seconds=GRACE_SECONDS + LAST_WORDS_SECONDS)


def _require_durability(settings: Settings) -> None:
    """A Postgres that could forget what it has acknowledged is refused. One that does not answer yet may come up later."""
    try:
        found = postgres.inspect(settings.database_url, "debitum-api")
    except postgres.UnreachableError:
        _log.warning("database_unavailable")
        return
    if found.objection is not None:
        _give_up(found.objection, settings.log)


def _give_up(reason: str, choice: output.Choice) -> NoReturn:
    """In a log, a line of it; a person gets the sentence alone."""
    if output.is_json(choice, output.STANDARD_OUTPUT):
        _log.critical("cannot_start", reason=reason)
    else:
        sys.stderr.write(f"debitum api: {reason}\n")
    sys.exit(2)
