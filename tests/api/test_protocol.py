"""Heads and bodies that two readers could take for different requests, on real connections: each is refused, and the line cut."""

import asyncio
import json

from tests.api.test_headers import BANNERS
from tests.api.test_slow_clients import head, line
from tests.fixtures.api import Server

SMUGGLED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*headers: bytes) -> bytes:
    return b"\r\n".join([b"POST /verify HTTP/1.1", b"Host: x", *headers, b"", SMUGGLED])


REFUSED = {
    "no version": b"GET /health\r\n\r\n",
    "another version": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a NUL in the method": b"G\x00T /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a URL that is not ASCII": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a URL that is none": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunks and a length": post(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two lengths": post(b"Content-Length: 34", b"Content-Length: 34"),
    "a list of lengths": post(b"Content-Length: 34, 34"),
    "a negative length": post(b"Content-Length: -1"),
    "a length with a sign": post(b"Content-Length: +34"),
    "a length of other digits": post("Content-Length: ٣٤".encode()),
    "a blank behind a name": post(b"Content-Length : 34"),
    "a blank behind another": post(b"Transfer-Encoding : chunked"),
    "a name that begins with a blank": post(b"X: a", b" Content-Length: 34"),
    "no name": post(b": 34"),
    "a line feed alone": post(b"X: a\nContent-Length: 34"),
    "a carriage return alone": post(b"X: a\rContent-Length: 34"),
    "a NUL": post(b"X: a\x00b"),
    "two encodings": post(b"Transfer-Encoding: gzip, chunked"),
    "something like chunks": post(b"Transfer-Encoding: xchunked"),
    "a chunk in Python's notation": post(b"Transfer-Encoding: chunked", b"", b"0x22"),
    "a chunk with a sign": post(b"Transfer-Encoding: chunked", b"", b"+22"),
    "a trailer": post(b"Transfer-Encoding: chunked", b"", b"0", b"X: y"),
    "another expectation": post(b"Expect: 200-ok", b"Content-Length: 34"),
}


async def test_what_could_mean_two_things_means_nothing(api: Server) -> None:
    async def ask(what: str, sent: bytes) -> None:
        async with line(api) as opened:
            opened.writer.write(sent)
            status, headers, body = await opened.answer()
            problem = json.loads(body)
            assert (status, problem["code"], headers["content-type"]) == (400, "invalid", "application/problem+json"), what
            assert headers["connection"] == "close", what
            assert not BANNERS & set(headers)
            assert await opened.reader.read() == b"", f"{what}: what came behind it was taken for a request"

    await asyncio.gather(*(ask(what, sent) for what, sent in REFUSED.items()))


async def test_what_is_too_long_is_refused_before_it_is_kept(api: Server) -> None:
    async def ask(sent: bytes) -> None:
        async with line(api) as opened:
            opened.writer.write(sent)
            status, headers, body = await opened.answer()
            assert (status, json.loads(body)["code"], headers["connection"]) == (413, "too_large", "close")

    await asyncio.gather(
        ask(head("GET", "/" + "a" * 9_000)), ask(head("A" * 9_000, "/health")), ask(head("GET", "/health", X="a" * 20_000))
    )


async def test_what_means_one_thing_is_answered_on_the_same_line(api: Server) -> None:
    """The control: the same shapes, well-formed."""
    async with line(api) as opened:
        for sent in (
            head("GET", "/health"),
            head("POST", "/verify", Transfer_Encoding="chunked") + b"5;a=b\r\nhello\r\n0\r\n\r\n",
            head("POST", "/verify", Content_Length="5 ") + b"hello",
            b"GET http://x/health HTTP/1.1\r\nHost: x\r\nX:\ta b\r\n\r\n",
        ):
            opened.writer.write(sent)
            status, headers, _ = await opened.answer()
            assert (status in (200, 400), headers["connection"]) == (True, "keep-alive")
            assert headers["content-type"] in ("text/plain; charset=utf-8", "text/html; charset=utf-8")
