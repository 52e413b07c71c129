"""What a device does by itself: keeps, proves, doubts, waits, and stays signed in."""

import asyncio
import datetime
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve

from api import tokens
from client import BrokenLog, Device, Refused, SignedOut, Unavailable, live, session, wire
from client.store import Store
from client.wire import Wire
from tests.client.conftest import Person, agree, until
from tests.client.test_scenarios import following, lunch
from tests.fixtures.api import PASSWORD, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

Answer = dict[str, Any]


class Between(httpx.AsyncHTTPTransport):
    """A network that does something to requests and answers of a path."""

    def __init__(self, path: str, change: Callable[[Answer], object] = lambda _: None) -> None:
        super().__init__()
        self.path, self.change = path, change
        self.requests: list[bytes] = []
        self.losing = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path != self.path:
            return response
        self.requests.append(request.content)
        if self.losing:
            raise httpx.ReadError("the reply is lost", request=request)
        answer = json.loads(await response.aread())
        self.change(answer)
        return httpx.Response(response.status_code, json=answer, request=request)


class Stranger(httpx.AsyncHTTPTransport):
    """A network that answers by itself to whatever is asked under a path."""

    def __init__(self, path: str, answer: Answer) -> None:
        super().__init__()
        self.path, self.answer = path, answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(self.path):
            return httpx.Response(**self.answer, request=request)
        return await super().handle_async_request(request)


def _take_out(answer: Answer) -> None:
    del answer["events"][1]


def _swap(answer: Answer) -> None:
    events = answer["events"]
    events[0], events[1] = events[1], events[0]


def _raise(answer: Answer) -> None:
    answer["events"][1]["changes"][0]["fields"]["amount"][1] = 10**6


def _forge(answer: Answer) -> None:
    answer["events"][2]["hash"] = "0" * 64


def _end_early(answer: Answer) -> None:
    del answer["events"][2]


@pytest.mark.parametrize("change", [_take_out, _swap, _raise, _forge, _end_early])
async def test_a_log_that_does_not_prove_itself_is_not_folded(
    anna: Person, api: Server, tmp_path: Path, change: Callable[[Answer], None]
) -> None:
    phone = await anna.device()
    ana = phone.create("contact", {"name": "Ana"})
    phone.create("transaction", lunch(ana, 1))
    phone.create("transaction", lunch(ana, 2))
    await phone.sync()
    async with Device(tmp_path / "doubtful", api.url, transport=Between("/api/sync/pull", change)) as doubtful:
        await doubtful.login(anna.email, PASSWORD)
        with pytest.raises(BrokenLog):
            await doubtful.sync()
        assert doubtful.head.version in (0, 2)
        assert doubtful.head.version == (2 if change is _end_early else 0)


async def test_a_push_stays_below_what_the_server_takes(anna: Person, api: Server, tmp_path: Path) -> None:
    network = Between("/api/sync/push")
    async with Device(tmp_path / "talkative", api.url, transport=network) as device:
        await device.login(anna.email, PASSWORD)
        for number in range(510):
            device.create("contact", {"name": f"contact {number}", "notes": "ñ" * 4_000 if number < 200 else "short"})
        await device.sync()
        assert device.head.version == 510
    sizes = [(len(content), len(json.loads(content)["events"])) for content in network.requests]
    assert all(size <= 1024 * 1024 and count <= 500 for size, count in sizes)
    assert len(sizes) == 2


def _open_to_others(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.stat().st_mode & 0o077]


async def test_what_the_user_did_survives_the_device(anna: Person, api: Server, tmp_path: Path) -> None:
    """The process ends at any moment without a word: its file has everything."""
    first = Device(tmp_path / "file", api.url)
    await first.login(anna.email, PASSWORD)
    ana = first.create("contact", {"name": "Ana"})
    await first.sync()
    first.create("transaction", lunch(ana, 5))
    async with Device(tmp_path / "file", api.url) as again:
        assert (again.id, again.pending, again.head) == (first.id, 1, first.head)
        await again.sync()
        assert again.balances() == {(ana, "EUR"): 5}
    assert _open_to_others(tmp_path) == []
    await first.close()


async def test_ids_are_in_the_order_in_which_they_were_made(anna: Person) -> None:
    phone = await anna.device()
    ids = []
    for number in range(5):
        ids.append(phone.create("contact", {"name": str(number)}))
        await asyncio.sleep(0.002)
    assert sorted(ids) == ids
    assert {UUID(one).version for one in ids} == {7}


async def test_an_id_in_capitals_is_the_same_id(anna: Person) -> None:
    """The log has it in small letters: what is expected of it before is not beside what is known after."""
    phone = await anna.device()
    ana = "01A204D8-1600-7000-8000-0000000C0001"
    assert phone.create("contact", {"name": "Ana"}, entity_id=ana) == ana.lower()
    await phone.sync()
    phone.update("contact", ana, {"name": "Ana M."})
    assert phone.shown() == {("contact", ana.lower()): {"name": "Ana M."}}
    await phone.sync()
    assert phone.state() == phone.shown()


async def test_a_lost_reply_to_a_refresh_signs_nobody_out(anna: Person, api: Server, tmp_path: Path) -> None:
    network = Between("/api/auth/refresh")
    late = 0.0

    def clock() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=late)

    async with Device(tmp_path / "file", api.url, transport=network, clock=clock) as device:
        await device.login(anna.email, PASSWORD)
        late, network.losing = 570.0, True  # past the moment at which a token is exchanged
        for _ in range(3):
            with pytest.raises(Unavailable):
                await device.sync()
        network.losing = False
        await device.sync()
        assert len(network.requests) == 4


async def test_signing_out_with_a_token_that_has_expired_ends_the_session_too(
    anna: Person, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LIFETIME", datetime.timedelta(minutes=-1))
    device = await anna.device()
    monkeypatch.undo()
    await device.logout()
    async with api.http() as http:
        answer = await http.post("/api/auth/login", json={"email": anna.email, "password": PASSWORD})
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        sessions = (await http.get("/api/auth/sessions", headers=headers)).json()["items"]
    assert device.id not in {one["device_id"] for one in sessions}


async def test_who_is_signed_out_keeps_what_waits(anna: Person) -> None:
    phone, laptop = await anna.device("phone"), await anna.device("laptop")
    phone.create("contact", {"name": "Ana"})
    await phone.logout()
    phone.create("contact", {"name": "Bo"})
    for work in (phone.sync, phone.follow):
        with pytest.raises(SignedOut):
            await work()
    with pytest.raises(Refused) as wrong:
        await phone.login(anna.email, "not the password")
    assert wrong.value.code == "invalid_credentials"
    await phone.login(anna.email, PASSWORD)
    assert (await agree(phone, laptop)).version == 2


async def test_a_following_device_outlives_its_tokens(anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LIFETIME", datetime.timedelta(seconds=3))
    monkeypatch.setattr(live, "EARLY_SECONDS", 2)
    monkeypatch.setattr(session, "EARLY_SECONDS", 2)
    phone, laptop = await anna.device("phone"), await anna.device("laptop")
    async with following(phone):
        first = laptop.create("contact", {"name": "Ana"})
        await laptop.sync()
        await until(lambda: phone.get("contact", first))
        await asyncio.sleep(4)
        second = laptop.create("contact", {"name": "Bo"})
        await laptop.sync()
        await until(lambda: phone.get("contact", second))


async def test_pauses_grow_to_a_bound_and_are_not_in_step() -> None:
    dice = random.Random(1)
    pauses = [[live.pause(failures, dice) for _ in range(200)] for failures in range(1, 30)]
    for failures, some in enumerate(pauses, start=1):
        bound = min(live.LONGEST_PAUSE_SECONDS, live.FIRST_PAUSE_SECONDS * 2 ** (failures - 1))
        assert 0.9 * bound < max(some) <= bound
        assert min(some) < 0.1 * bound


@pytest.mark.parametrize(
    ("problem", "said", "seconds"),
    [
        ({"type": "/docs/problems/unavailable", "code": "unavailable"}, "7", 7),
        ({"type": "/docs/problems/unavailable", "code": "unavailable"}, "9" * 400, wire.LONGEST_WAIT_SECONDS),
        ({"message": "busy"}, "7", 0),
    ],
    ids=["the server", "for ever", "another"],
)
async def test_the_server_alone_says_when_to_come_back(tmp_path: Path, problem: dict[str, str], said: str, seconds: int) -> None:
    def busy(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"Retry-After": said}, json=problem, request=request)

    async with Device(tmp_path / "file", "http://busy", transport=httpx.MockTransport(busy)) as device:
        with pytest.raises(Unavailable) as told:
            await device.login("anna@example.org", PASSWORD)
        assert told.value.retry_after == seconds


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else "deep"


@pytest.mark.parametrize(
    "notes",
    ["ñ" * 500_000, float("nan"), float("inf"), "\ud83d", _deep(99)],
    ids=["long", "nan", "infinite", "half a character", "deep"],
)
async def test_what_no_request_can_hold_is_refused_at_once(anna: Person, notes: Any) -> None:
    """In the queue it would keep back everything behind it for ever."""
    phone = await anna.device()
    with pytest.raises(ValueError, match=r"900000 at most|not JSON compliant|surrogates not allowed|in each other"):
        phone.create("contact", {"name": "Ana", "notes": notes})
    assert (phone.pending, phone.shown()) == (0, {})
    phone.create("contact", {"name": "Bo"})
    phone.create("contact", {"name": "Cy", "notes": _deep(98)})  # which is only wrong
    assert (await phone.sync()).version == 1
    assert [one["code"] for one in phone.attention().rejections] == ["invalid"]


@pytest.mark.parametrize("path", ["/api/sync/", "/api/sync/push", "/api/auth/"], ids=["all", "push", "refresh"])
@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 200},
        {"status_code": 204},
        {"status_code": 200, "json": {"status": "ok"}},
        {"status_code": 200, "json": []},
        {"status_code": 200, "json": {"results": [], "version": 9, "hash": None}},
        {"status_code": 200, "json": {"events": [], "version": 9, "hash": None, "has_more": True}},
        {"status_code": 401, "json": {"code": "unauthorized", "message": "Pay first"}},
        {"status_code": 409, "json": {"code": "reset", "common_version": 0}},
        {"status_code": 200, "html": "<form>Welcome to our hotel</form>"},
        {"status_code": 302, "headers": {"Location": "http://portal.example/"}},
        {"status_code": 401},
        {"status_code": 403, "json": {"message": "Forbidden"}},
        {"status_code": 404, "json": []},
    ],
)
async def test_the_answer_of_another_says_nothing(
    anna: Person, api: Server, tmp_path: Path, answer: dict[str, Any], path: str
) -> None:
    """The network of a hotel answers in the server's place until somebody signs in there: nobody is signed out of here."""
    late = datetime.timedelta(seconds=595 if path == "/api/auth/" else 0)  # a token is exchanged before anything is asked
    async with Device(tmp_path / "file", api.url) as here:
        await here.login(anna.email, PASSWORD)
    there = Device(
        tmp_path / "file", api.url, transport=Stranger(path, answer), clock=lambda: datetime.datetime.now(datetime.UTC) + late
    )
    async with there:
        there.create("contact", {"name": "Ana"})
        with pytest.raises(Unavailable):
            await there.sync()
        if path != "/api/sync/push":
            with pytest.raises(Unavailable):
                await there.first_screen()
        if path == "/api/auth/":
            with pytest.raises(Unavailable):
                await there.login(anna.email, PASSWORD)
        assert (there.pending, there.head.version, there.attention().rejections) == (1, 0, [])
    async with Device(tmp_path / "file", api.url) as here:
        assert (await here.sync()).version == 1


async def test_a_feed_that_is_redirected_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the network of a hotel, to a page where somebody is to sign in."""
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.0)
    syncs = 0

    async def sync() -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 3:
            raise SignedOut("enough")

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as portal:
        url = f"http://127.0.0.1:{portal.sockets[0].getsockname()[1]}"
        nobody = session.Session(Wire(url), Store(":memory:"), lambda: datetime.datetime.now(datetime.UTC), {})
        with pytest.raises(SignedOut, match="enough"):
            await live.follow(url, nobody, sync, lambda _: False, asyncio.Event(), random.Random(1))


async def test_a_feed_may_say_more_than_heads() -> None:
    """A later server does, and somebody on the way could: what is no head is left alone."""
    said: list[str | bytes] = ['{"type": "hello"}', "<form>Welcome to our hotel</form>", "[]"]
    said += ['{"type": "ready", "version": 1, "hash": null}', '{"type": "more"}', b"\xff\xfe"]
    said += ['{"type": "head", "version": 2, "hash": null}']
    met: list[tuple[int, str | None]] = []

    async def talk(socket: ServerConnection) -> None:
        for message in said:
            await socket.send(message)
        await socket.wait_closed()

    async def sync() -> None:
        if (2, None) in met:
            raise SignedOut("enough")

    def is_news(head: tuple[int, str | None]) -> bool:
        met.append(head)
        return head == (2, None)

    async with serve(talk, "127.0.0.1", 0) as feed:
        with pytest.raises(SignedOut, match="enough"):
            await _follow(feed, sync, is_news)
    assert set(met) <= {(1, None), (2, None)}


async def test_a_feed_that_ends_before_it_has_begun_is_left_alone_ever_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy shakes hands, and has no server behind it: all its devices would be back every half second."""
    failed: list[int] = []

    def pause(failures: int, _: random.Random | random.SystemRandom) -> float:
        failed.append(failures)
        return 0.0

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        if len(failed) == 3:
            await socket.send('{"type": "ready", "version": 1, "hash": null}')

    async def sync() -> None:
        if len(failed) == 5:
            raise SignedOut("enough")

    monkeypatch.setattr(live, "pause", pause)
    async with serve(talk, "127.0.0.1", 0) as feed:
        with pytest.raises(SignedOut, match="enough"):
            await _follow(feed, sync, lambda _: False)
    assert failed == [1, 2, 3, 1, 2]


async def _follow(feed: WebSocketServer, sync: live.Sync, is_news: live.IsNews) -> None:
    """As somebody who is signed in for an hour."""
    url = f"http://127.0.0.1:{next(iter(feed.sockets)).getsockname()[1]}"
    store = Store(":memory:")
    store.remember(access_token="a", expires_at=datetime.datetime.now(datetime.UTC).timestamp() + 3_600)
    somebody = session.Session(Wire(url), store, lambda: datetime.datetime.now(datetime.UTC), {})
    await asyncio.wait_for(live.follow(url, somebody, sync, is_news, asyncio.Event(), random.Random(1)), 10)


async def test_the_readme_shows_what_works(api: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [shown] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    script = shown.replace("http://127.0.0.1:8000", api.url).replace("phone.sqlite", str(tmp_path / "phone.sqlite"))
    await asyncio.to_thread(exec, script, {})
    said = capsys.readouterr().out
    assert "Head(version=2, hash='" in said
    assert "'EUR'): 900}" in said
    assert "Attention(conflicts=[], rejections=[])" in said
