"""`debitum probe`: whether the parts that the settings name answer, for the health check of a container."""

import asyncio
from collections.abc import Iterator
from typing import Final

from debitum import database, parts, plans, probes
from debitum.probes import Probe
from debitum.settings import Settings
from storage import server

DAEMON_SILENCE_SECONDS: Final = 120.0
"""Dagster's daemon gives a sign of life every 30 s; a busy machine may delay it."""


def silent(settings: Settings) -> list[str]:
    """The names of those parts that do not answer."""
    return asyncio.run(_silent(settings))


async def _silent(settings: Settings) -> list[str]:
    asked = dict(_questions(settings))
    answers = await asyncio.gather(*(ask() for ask in asked.values()))
    return [name for name, answered in zip(asked, answers, strict=True) if not answered]


def _questions(settings: Settings) -> Iterator[tuple[str, Probe]]:
    addresses = plans.addresses(settings)
    if parts.API in addresses:
        yield parts.API, probes.http(f"{addresses[parts.API]}{plans.API_ANSWERS}")
    if parts.WEBSERVER in addresses:
        yield parts.WEBSERVER, probes.http(f"{addresses[parts.WEBSERVER]}{plans.WEBSERVER_ANSWERS}")
    if parts.CODE_SERVER in settings.parts:
        yield parts.CODE_SERVER, probes.unix_socket(plans.code_socket(settings))
    if parts.DAEMON in settings.parts:
        yield parts.DAEMON, lambda: asyncio.to_thread(_daemon_lives, settings)


def _daemon_lives(settings: Settings) -> bool:
    """Whether a daemon works on the database: where this one waits for its turn, it is another's."""
    if (url := database.running_url(settings)) is None:
        return False
    try:
        seen = server.daemon_seen_seconds(url, "debitum-probe")
    except server.UnreachableError:
        return False
    return seen is not None and seen < DAEMON_SILENCE_SECONDS
