"""One application on one listening socket, in this process: started, served until somebody says stop, and finished in order."""

import asyncio
import os
import socket
import sys
from typing import Any, Final, NoReturn

import structlog
from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server.async_server import AsyncioServer

from api.protocol import Protocol
from api.workers import STOPS

BACKLOG: Final = 1024
"""Connections that wait to be accepted: after a restart every device comes back in the same second."""
LOOK_SECONDS: Final = 0.02
CLOSE_SECONDS: Final = 0.5
"""After the grace: for giving connections to Postgres back, and as much again for the ends of requests that were cut."""
_log = structlog.get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one, and `::` is every address, also of IPv4. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name's addresses the IPv4 one: what localhost means to most programs.
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)


def run(app: "Sanic[Any, Any]", listener: socket.socket) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then end this process with exit code 0."""
    app.setup_loop()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_serve(app, listener))
    loop.run_until_complete(asyncio.sleep(0))  # the last lines of the log
    sys.stdout.flush()
    os._exit(0)  # not by returning: Python would wait for the threads of requests that were cut, however long they take


async def _serve(app: "Sanic[Any, Any]", listener: socket.socket) -> None:
    told = asyncio.Event()
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = await start(app, listener)
    await told.wait()
    await stop(server, grace_seconds=app.config.GRACEFUL_SHUTDOWN_TIMEOUT)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=CLOSE_SECONDS)


async def start(app: "Sanic[Any, Any]", listener: socket.socket) -> AsyncioServer:
    """`app` answering on `listener`, in the running loop; for `stop`."""
    # Sanic's own runner would do this; without it every answer has an empty header Alt-Svc.
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))
    server = await app.create_server(
        sock=listener, protocol=Protocol, backlog=BACKLOG, asyncio_server_kwargs={"start_serving": False}
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    return server


async def stop(server: AsyncioServer, *, grace_seconds: float) -> None:
    """Accept nothing more, answer what is in flight, say goodbye to WebSockets, then close what the application has opened.

    What is not answered within the grace is cut: its client knows that it does not know.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_seconds
    closing = server.close()
    await server.before_stop()  # Sanic itself listens to this, and ends the WebSockets
    await _drain(server, deadline)
    for connection in list(server.connections):
        if connection.transport is not None:  # Sanic may have done the same a moment ago
            connection.transport.abort()
    try:
        async with asyncio.timeout(max(deadline - loop.time(), CLOSE_SECONDS)):
            await closing
            await server.after_stop()
    except TimeoutError:
        _log.warning("stop_cut_short")


async def _drain(server: AsyncioServer, deadline: float) -> None:
    """Until every connection is closed: the idle ones now, the others after their answer, which says so."""
    server.app.config.KEEP_ALIVE = False  # for requests whose head is still to come
    for connection in server.connections:
        if connection.http is not None:
            connection.http.keep_alive = False
    while server.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)  # before the first look too: requests that have arrived are read meanwhile
        for connection in list(server.connections):
            connection.close_if_idle()
