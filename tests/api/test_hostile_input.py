"""Input that tries to reach further than it should: a corpus against every route, and what once got through."""

import asyncio
import base64
import gzip
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api import pages, protocol
from api.app import ROUTES
from api.routing import Route
from tests.api import hostile
from tests.api.test_sync import event, lent, verify_chain
from tests.fixtures.api import PASSWORD, Client, Server, of_the_module

pytestmark, database_url, api, _, _ = of_the_module()
JSON = {"Content-Type": "application/json"}
CODES = {400: "invalid", 401: "unauthorized", 404: "not_found", 413: "too_large", 415: "unsupported_media_type"}
BODIES = hostile.bodies()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(api: Server) -> Client:
    """One user, as there is one server, for all that is thrown at them here."""
    return await api.register()


def path(route: Route) -> str:
    return route.path.replace("{id}", hostile.ID)


async def send(client: Client, route: Route, content: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
    return await client.http.request(route.method, path(route), content=content, headers=headers)


def refused(answer: httpx.Response, *statuses: int) -> list[str]:
    """The pointers of a problem with one of `statuses`."""
    assert answer.status_code in statuses, (answer.request.url, answer.request.content[:200], answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (answer.status_code, CODES[answer.status_code])
    return [error["pointer"] for error in problem.get("errors", ())]


async def test_each_body_is_right_before_it_is_damaged(alice: Client) -> None:
    assert len(BODIES) > 20
    for route, body in BODIES:
        answer = await send(alice, route, json.dumps(body).encode())
        if answer.status_code == 400:  # the members fit one by one, but not together, or not to what is there
            assert not set(refused(answer, 400)) - {"/item", "/currency", "/repeat", "/returned_at"}, (route.name, answer.text)
        else:
            assert answer.status_code in (200, 201, 202, 204, 401, 403, 404, 409), (route.name, answer.text)


@pytest.mark.parametrize("damage", hostile.VALUES.values(), ids=hostile.VALUES)
async def test_a_member_that_does_not_fit_is_pointed_to(alice: Client, damage: hostile.Damage) -> None:
    turn = list(hostile.VALUES.values()).index(damage)
    for route, body in BODIES if damage.everywhere else BODIES[turn % 3 :: 3]:
        names = [name for name, value in body.items() if not damage.fits(name, value)]
        for name in names if damage.everywhere else names[turn % max(len(names), 1) :][:1]:
            pointers = refused(await send(alice, route, hostile.damaged(body, name, damage.text)), 400)
            if damage.pointed:
                [pointer] = pointers
                assert pointer == f"/{name}" or pointer.startswith(f"/{name}/"), (route.name, pointer)


async def test_a_member_that_stands_there_twice_is_pointed_to(alice: Client) -> None:
    for route, body in BODIES:
        for name, value in body.items():
            assert refused(await send(alice, route, hostile.doubled(body, name)), 400) == [f"/{name}"]
            if isinstance(value, dict):
                inner = next(iter(value))
                again = f"{json.dumps(value)[:-1]}, {json.dumps(inner)}: {json.dumps(value[inner])}}}"
                content = hostile.damaged(body, name, again)
                assert refused(await send(alice, route, content), 400) == [f"/{name}/{inner}"]


async def test_an_unknown_member_is_pointed_to(alice: Client) -> None:
    for route, body in BODIES:
        if route.streams is not None:
            continue  # an export grows; what is not known of it is not taken over
        for name, pointer in (("colour", "/colour"), ("a/b~c", "/a~1b~0c"), ("", "/"), ("__proto__", "/__proto__")):
            assert refused(await send(alice, route, json.dumps(body | {name: 1}).encode()), 400) == [pointer]
        assert refused(await send(alice, route, json.dumps(body | {"a\x00b": 1}).encode()), 400) == ["/a\ufffdb"]


@pytest.mark.parametrize("content", hostile.WHOLE.values(), ids=hostile.WHOLE)
async def test_what_is_no_object_is_refused(alice: Client, content: bytes) -> None:
    turn = list(hostile.WHOLE.values()).index(content)
    for route, _ in BODIES[turn % 3 :: 3]:
        if content or not route.body_optional:
            refused(await send(alice, route, content), 400)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": 'application/json; charset="latin-1"'},
        {"Content-Type": "application/json;CHARSET=UTF-7"},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br"},
        {**JSON, "Content-Encoding": "identity, deflate"},
    ],
    ids=str,
)
async def test_other_types_and_encodings_are_refused(alice: Client, headers: dict[str, str]) -> None:
    """So a body is never larger than what came: a bomb stays as small as it is."""
    for route, body in BODIES[len(str(headers)) % 3 :: 3]:
        content = json.dumps(body).encode()
        content = gzip.compress(content) if "gzip" in headers.values() else content
        refused(await send(alice, route, content, headers), 415)


async def test_a_bomb_is_not_unpacked(alice: Client) -> None:
    bomb = gzip.compress(bytes(8 * 1024 * 1024))
    assert len(bomb) < protocol.STRANGERS_BYTES, "else its size alone is reason enough"
    for route, _ in BODIES[:3]:
        refused(await send(alice, route, bomb, {**JSON, "Content-Encoding": "gzip"}), 415)


async def test_a_body_beyond_the_limit_is_refused_however_it_comes(alice: Client) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65_536

    for content in (b" " * (1024 * 1024 + 1), in_pieces()):
        refused(await alice.http.post("/api/contacts", content=content, headers=JSON), 413)
    fits = b'{"name": "Ana"}'.ljust(1024 * 1024)
    assert (await alice.http.post("/api/contacts", content=fits, headers=JSON)).status_code == 201


async def test_depth_is_never_a_matter_of_luck(alice: Client) -> None:
    """Around the depth at which Python gives up, whichever part of the way is the deepest; also where it is remembered."""
    for depth in (100, 500, 900, *range(930, 1_000, 8)):
        nested = "[" * depth + "]" * depth
        refused(await alice.http.post("/api/contacts", content=f'{{"name": {nested}}}', headers=JSON), 400)
        item = json.dumps(event("contact", "CREATED", {"name": "the place"})).replace('"the place"', nested)
        answer = await alice.http.post("/api/sync/push", content=f'{{"events": [{item}]}}', headers=JSON)
        if answer.status_code != 200:
            refused(answer, 400)
            continue
        [result] = answer.json()["results"]
        assert (result["status"], result["code"]) == ("rejected", "invalid"), depth
    assert (await alice.http.get("/api/sync/rejections")).status_code == 200


ITEMS = {
    "1e400": ('"amount": 1', '"amount": 1e400', "/event_data/amount"),
    "beyond int64": ('"amount": 1', '"amount": 9223372036854775808', "/event_data/amount"),
    "a negative zero": ('"amount": 1', '"amount": -0', "/event_data/amount"),
    "a fraction": ('"amount": 1', '"amount": 1.0', "/event_data/amount"),
    "a NUL": ('"currency": "EUR"', '"currency": "EUR", "description": "\\u0000"', "/event_data/description"),
    "an unknown member": ('"amount": 1', '"amount": 1, "colour": 1', "/event_data/colour"),
    "a member twice": ('"amount": 1', '"amount": 1, "amount": 1', "/event_data/amount"),
    "a member twice outside": ('"base_seq": 0', '"base_seq": 0, "base_seq": 0', "/base_seq"),
    "an id twice": ('"base_seq": 0', f'"base_seq": 0, "aggregate_id": "{hostile.ID}"', "/aggregate_id"),
    "a negative base": ('"base_seq": 0', '"base_seq": -1', "/base_seq"),
    "500 lists": ('"currency": "EUR"', f'"currency": {"[" * 500}{"]" * 500}', "/event_data/currency"),
}


@pytest.mark.parametrize(("before", "after", "pointer"), ITEMS.values(), ids=ITEMS)
async def test_an_item_of_a_push_costs_only_itself(alice: Client, before: str, after: str, pointer: str) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    bad = json.dumps(event("transaction", "CREATED", lent(ana["aggregate_id"], 1)))
    assert before in bad
    content = f'{{"events": [{json.dumps(ana)}, {bad.replace(before, after)}]}}'
    for _ in range(2):
        answer = await alice.http.post("/api/sync/push", content=content, headers=JSON)
        assert answer.status_code == 200, answer.text
        good, result = answer.json()["results"]
        assert good["status"] in ("accepted", "duplicate")
        assert (result["status"], result["code"]) == ("rejected", "invalid")
        assert [error["pointer"] for error in result["errors"]] == [pointer], "the second time from memory"


@pytest.mark.parametrize("text", ['"\\ud800"', "NaN", "\x00", '"\\x41"', "[" * 2_000], ids=ascii)
async def test_what_is_no_json_within_an_item_is_nothing_within_the_push(alice: Client, text: str) -> None:
    bad = json.dumps(event("contact", "CREATED", {"name": "the place"})).replace('"the place"', text)
    answer = await alice.http.post("/api/sync/push", content=f'{{"events": [{bad}]}}', headers=JSON)
    if answer.status_code == 200:
        assert [result["code"] for result in answer.json()["results"]] == ["invalid"]
    else:
        refused(answer, 400)


async def test_a_negative_zero_where_a_zero_fits_is_a_zero(alice: Client) -> None:
    """-0 is the same number; in the facts it is written as every other zero."""
    item = json.dumps(event("contact", "CREATED", {"name": "Zoe"})).replace('"base_seq": 0', '"base_seq": -0')
    answer = await alice.http.post("/api/sync/push", content=f'{{"events": [{item}]}}', headers=JSON)
    assert answer.json()["results"][0]["status"] == "accepted"
    pulled = await alice.http.post("/api/sync/pull", content='{"since": -0, "limit": 1000}', headers=JSON)
    verify_chain(pulled.json()["events"])
    assert b'"base_seq":0' in pulled.content
    assert b"-0," not in pulled.content


ODD = ("", "%ff", "%ed%a0%80", "-0", "NaN", "1e400", "null", "9223372036854775808", "0.5", "[]", "'--", "ß" * 700)


async def test_parameters_and_paths(alice: Client) -> None:
    for route in (route for route in ROUTES if route.method == "GET"):
        assert refused(await alice.http.get(path(route), params={"colour": "red"}), 400) == ["/colour"]
        for turn, name in enumerate(route.query.__struct_encode_fields__):
            for odd in ODD[turn % 6 :: 6]:
                answer = await alice.http.get(f"{path(route)}?{name}={odd if odd[:1] == '%' else httpx.QueryParams({'': odd})}")
                if answer.status_code not in (200, 404):
                    refused(answer, 400)
            assert refused(await alice.http.get(f"{path(route)}?{name}=1&{name}=1"), 400) == [f"/{name}"]
        if "{id}" in route.path:
            for odd in (*ODD[1::3], "..%2f..%2fetc", "%00", hostile.ID + "0", "x" * 5_000):
                answer = await alice.http.get(
                    path(route).replace(hostile.ID, odd if odd[:1] in ".%" else httpx.URL(path=odd).path)
                )
                assert answer.status_code in (400, 404), answer.text


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-Match", "x", 400),
        ("If-Match", '"1", "2"', 400),
        ("If-Match", 'W/"x"', 400),
        ("If-Match", "-1", 400),
        ("If-Match", "9" * 19, 400),
        ("If-Match", "٣", 400),
        ("Idempotency-Key", "", 400),
        ("Idempotency-Key", "x" * 3_000, 400),
        ("Idempotency-Key", "\xff", 400),
        ("Authorization", "Bearer", 401),
        ("Authorization", "Basic YTpi", 401),
        ("Authorization", "Bearer \xff\xfe", 401),
        ("Authorization", "Bearer debitum_\xff", 401),
        ("Authorization", "Bearer a.b.c", 401),
        ("Authorization", "Bearer " + "x" * 7_000, 401),
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.", 401),
        ("Authorization", "Bearer " + "[" * 2_000, 401),
        ("Accept-Encoding", "\xff;q=nan, gzip;q=1e400", 200),
        ("X-Request-ID", "\xff", 200),
        ("X-Forwarded-For", "\xff, ::::", 200),
        ("Origin", "\xff", 200),
        ("Cookie", "a=\x01; =; \xff", 200),
        ("Host", "\xff", 200),
    ],
    ids=ascii,
)
async def test_headers(alice: Client, name: str, value: str, status: int) -> None:
    contact = await alice.http.post("/api/contacts", json={"name": "Ana"})
    sent = {name.encode(): value.encode("utf-8" if value == "٣" else "latin-1")}
    answer = await alice.http.patch(f"/api/contacts/{contact.json()['id']}", json={"name": "Bo"}, headers=sent)
    assert answer.headers["X-Request-ID"].isascii()
    assert answer.headers["X-Request-ID"] != value
    if status != 200:
        refused(answer, status)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", 4400),
        ("{", 4400),
        ("null", 4400),
        ("[" * 2_000, 4400),
        ('{"type": "auth"}', 4401),
        ('{"type": "auth", "token": null}', 4401),
        ('{"type": "auth", "token": 1}', 4400),
        ('{"type": "auth", "token": "\\ud800"}', 4400),
        ('{"type": "auth", "token": "x", "token": "x"}', 4400),
        ('{"type": "auth", "token": "x", "colour": 1}', 4400),
        ('{"type": "other", "token": "x"}', 4400),
        (b"\xff\xfe", 4400),
        ('{"type": "auth", "token": "a\\u0000b"}', 4401),
        (json.dumps({"type": "auth", "token": "dbt_" + "x" * 5_000}), 4401),
        ("x" * (64 * 1024 + 1), 4413),
        ("x" * (1024 * 1024 + 1), 1009),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_first_words_to_the_feed(api: Server, message: str | bytes, code: int) -> None:
    async with connect(f"{api.url.replace('http', 'ws')}/api/sync/ws") as socket:
        await socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FORMS: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "a NUL": (b"token=%00&new_password=%00%00%00%00%00%00%00%00", FORM),
    "half an escape": (b"token=%&new_password=%f", FORM),
    "not UTF-8": (b"token=\xff&new_password=\xff\xff\xff\xff\xff\xff\xff\xff", FORM),
    "a lone surrogate": (b"token=%ed%a0%80&new_password=%ed%a0%80%ed%a0%80%ed%a0%80", FORM),
    "another charset": ("token=x".encode("utf-16"), {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"}),
    "no charset": (b"token=x", {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}),
    "very many": (b"&".join(b"token=x" for _ in range(20_000)), FORM),
    "a long token": (b"token=" + b"x" * 8_000 + b"&new_password=longenough", FORM),
    "the longest that is meant": (urlencode({"token": "é" * 200, "email": "é" * 254, "new_password": "😀" * 128}).encode(), FORM),
    "a longer one": (b"token=" + b"x" * 8_200, FORM),
    "very many parts": (b"x" * 8_200, {"Content-Type": "multipart/form-data; boundary=x"}),
    "JSON": (b'{"token": "x"}', JSON),
    "parts without an end": (
        b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\nx",
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    "parts without a border": (b"x", {"Content-Type": "multipart/form-data"}),
    "a part without a name": (b"--x\r\n\r\nx\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
    "a file": (
        b'--x\r\nContent-Disposition: form-data; name="token"; filename="a"\r\n\r\nx\r\n--x--\r\n',
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    "an odd name of a file": (
        b"--x\r\nContent-Disposition: form-data; name*=utf-9''%ff; filename*=x\r\nContent-Type: ;;\r\n\r\nx\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    "too large": (b"token=" + b"x" * (1024 * 1024), FORM),
}


@pytest.mark.parametrize(("content", "headers"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("page", ["/verify", "/reset", "/join", "/unsubscribe"])
async def test_forms(alice: Client, page: str, content: bytes, headers: dict[str, str]) -> None:
    """Sanic takes a second of the event loop for a mebibyte of parts, or of letters that are written as %41."""
    answer = await alice.http.post(page, content=content, headers=headers)
    if len(content) > pages.MAX_FORM_BYTES:
        refused(answer, 413)
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("page", ["/verify", "/reset"])
async def test_links(alice: Client, page: str) -> None:
    for token in ("%00", "%ff", "%ed%a0%80", '"><script>', "x" * 5_000):
        shown = await alice.http.get(f"{page}?token={token}")
        assert shown.status_code == 200
        assert "<script" not in shown.text


async def test_a_member_name_with_a_nul_costs_only_its_own_item(alice: Client) -> None:
    bad = event("contact", "CREATED", {"name": "x", "a\x00b": 1})
    good = event("contact", "CREATED", {"name": "Ana"})
    results = (await alice.push(bad, good))["results"]
    assert [(result["status"], result.get("code")) for result in results] == [("rejected", "invalid"), ("accepted", None)]
    assert (await alice.push(bad))["results"][0] == results[0], "it is remembered"


@pytest.mark.parametrize(
    "body",
    [
        {"reminder_settings": {"local_time": "09:00\n"}},
        {"reminder_settings": {"quiet_hours": {"from": "22:00\n", "to": "07:00"}}},
        {"locale": "en\n"},
        {"default_currency": "EUR\n"},
    ],
    ids=str,
)
async def test_a_line_break_at_the_end_is_no_part_of_a_pattern(alice: Client, body: dict[str, Any]) -> None:
    assert (await alice.http.patch("/api/me", json=body)).status_code == 400


async def test_an_address_ends_where_it_ends(alice: Client, api: Server) -> None:
    async with api.http() as http:
        answer = await http.post("/api/auth/register", json={"email": "a@example.org\n", "password": PASSWORD})
    assert answer.status_code == 400
    assert (await alice.http.post("/api/contacts", json={"name": "Ana", "email": "a@example.org\n"})).status_code == 400


@pytest.mark.parametrize("text", ["\u200b\ufeff", "\x1c", "\x85", "\ufeff"], ids=ascii)
async def test_a_name_is_blank_to_python_as_it_is_to_json_schema(alice: Client, text: str) -> None:
    status = 201 if "\u200b" in text else 400
    assert (await alice.http.post("/api/contacts", json={"name": text})).status_code == status


@pytest.mark.parametrize("path", ["/api/contacts", "/api/transactions"])
async def test_a_number_beyond_what_postgres_holds_is_refused(api: Server, path: str) -> None:
    alice = await api.register(f"{uuid.uuid4().hex}@example.org")
    assert (await alice.http.get(path, params={"changed_since": 2**70})).status_code == 400
    await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    await alice.post("/api/contacts", {"name": "Bo"}, status=201)
    name = f"{path.removeprefix('/api/')} by recent"
    fits, beyond, nested = (
        base64.urlsafe_b64encode(f'["{name}", {key}, "{uuid.uuid4()}"]'.encode()).decode() for key in ("1", str(2**70), "[[[]]]")
    )
    assert (await alice.http.get(path, params={"sort": "recent", "cursor": fits})).status_code == 200
    for crafted in (beyond, nested, "W1tb" * 500):
        answer = await alice.http.get(path, params={"sort": "recent", "cursor": crafted})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/cursor")
