"""`debitum ui`: Dagster's pages beside a supervisor that runs without them, for as long as somebody looks."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from debitum import database, instance, parts, plans, probes, processes, rings
from debitum.children import Child
from debitum.saying import Voice
from debitum.settings import Settings
from debitum.supervisor import STOPPED_BY

LOOK_SECONDS: Final = 1.0
"""Between two looks whether the supervisor still runs, which stops Postgres when it ends."""


class PagesRunError(Exception):
    """Somebody runs the pages already; the text says where."""


class NothingToShowError(Exception):
    """Nothing runs that the pages could show; the text says what to do."""


def show(settings: Settings, say: Voice) -> None:
    """Until a signal of STOPPED_BY, or the supervisor ends. `settings` are those of the pages alone (settings.for_pages).

    Raises PagesRunError, NothingToShowError, processes.PortInUseError, database.DatabaseError.
    """
    note = instance.holder(settings.data_dir)
    if note is None:
        raise NothingToShowError(f"nothing runs on {settings.data_dir}: start `debitum up --no-ui` first, and leave it running")
    if parts.WEBSERVER in note.addresses:
        raise PagesRunError(f"already running: {parts.WEBSERVER} is at {note.addresses[parts.WEBSERVER]}")
    if (url := database.running_url(settings)) is None:
        raise NothingToShowError("the supervisor of this data folder has no Postgres running yet: try again in a moment")
    for _, host, port, setting in plans.listeners(settings):
        processes.check_port(host, port, setting)
    asyncio.run(_show(settings, plans.environment(settings, url, rings.text(settings)), say))


async def _show(settings: Settings, environment: dict[str, str], say: Voice) -> None:
    stopping = asyncio.Event()
    for number in STOPPED_BY:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    socket = Path(environment["DEBITUM_CODE_SOCKET"])
    if not await probes.unix_socket(socket)():
        raise NothingToShowError(f"no code server answers at {socket}: it is just starting, or `debitum up` runs without Dagster")
    child = Child(plans.webserver(settings, environment), say)
    running = asyncio.create_task(child.run())
    while not stopping.is_set() and instance.holder(settings.data_dir) is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
    text = "stopping" if stopping.is_set() else "the supervisor has ended, and so do its pages"
    say(text, "stopping")
    await child.stop()
    await running
