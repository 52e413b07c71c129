"""A pull as one would write it in an afternoon, and an answer of nothing: `python -m bench.plain`, with DATABASE_URL.

A Sanic handler, a pool of connections, and json_agg; nobody is asked who they are.
"""

import asyncio
import json
import os
import socket
from typing import Any, Final

import psycopg
from sanic import HTTPResponse, Request, Sanic

from api import serving

POOL: Final = 8
PULL: Final = """
    select json_build_object(
        'events', (
            select json_agg(fact::jsonb || jsonb_build_object('hash', encode(hash, 'hex')) order by seq)
            from (select * from debitum.events where ledger_id = ledgers.id and seq > %(since)s order by seq limit %(limit)s) page
        ),
        'version', version, 'hash', encode(head_hash, 'hex'), 'has_more', version > %(since)s + %(limit)s
    )::text
    from debitum.ledgers where id = %(ledger)s
"""


def create_app(url: str) -> "Sanic[Any, Any]":
    """Two routes."""
    app = Sanic("plain", configure_logging=False)
    app.config.update(ACCESS_LOG=False, MOTD=False)
    pool: asyncio.Queue[psycopg.AsyncConnection[tuple[Any, ...]]] = asyncio.Queue()

    @app.before_server_start
    async def start(app: "Sanic[Any, Any]") -> None:
        for _ in range(POOL):
            pool.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=3))

    @app.post("/pull")
    async def pull(request: Request) -> HTTPResponse:
        connection = await pool.get()
        try:
            cursor = await connection.execute(PULL, json.loads(request.body))
            row = await cursor.fetchone()
        finally:
            pool.put_nowait(connection)
        assert row is not None
        return HTTPResponse(row[0], content_type="application/json")

    @app.get("/nothing")
    async def nothing(_: Request) -> HTTPResponse:
        return HTTPResponse(b"{}", content_type="application/json")

    return app


def main() -> None:
    """Serve until told to stop."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    print(json.dumps({"event": "listening", "host": host, "port": port}), flush=True)
    serving.run(create_app(os.environ["DATABASE_URL"]), listener)


if __name__ == "__main__":
    main()
