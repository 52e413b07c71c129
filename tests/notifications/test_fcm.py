"""The FCM channel against an HTTP server in Google's place: the contract, and what each answer means."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from notifications.channel import ChannelDown, Outcome, Permanent, Sent, SettingError, TargetGone, Transient, Unknown
from notifications.fcm import FcmPush
from notifications.message import Message, PushTarget, Registration
from tests.fakes.fcm import SENT, Google, fcm, new_private_key, refusal
from tests.fakes.http import DRIBBLE, HANG, RESET, Answer, Asked, Reply
from tests.notifications.contract import NOW, PUSH, ChannelContract, Delivery

TOKEN = "dQw4w9WgXcQ:APA91b-a-registration"
TARGET = PushTarget(UUID(int=1), UUID(int=2), Registration("token", TOKEN))
MESSAGE = msgspec.structs.replace(PUSH, to=TARGET)


@pytest.fixture(scope="module")
def private_key() -> str:
    return new_private_key()


def channel_to(google: Google, *, timeout_seconds: float = 5.0) -> FcmPush:
    return FcmPush(google.write_account(), endpoint=google.url, timeout_seconds=timeout_seconds)


@pytest.fixture
def google(tmp_path: Path, private_key: str) -> Iterator[Google]:
    with Google(tmp_path, private_key) as fake:
        yield fake


class TestFcm(ChannelContract):
    kind = "push"
    message = MESSAGE

    @pytest.fixture
    def channel(self, google: Google) -> Iterator[FcmPush]:
        made = channel_to(google)
        yield made
        made.close()

    @pytest.fixture
    def delivered(self, google: Google) -> Callable[[], list[Delivery]]:
        return lambda: [_delivery(asked) for asked in google.pushes]

    def test_a_request_is_what_the_api_wants(self, channel: FcmPush, google: Google) -> None:
        linked = msgspec.structs.replace(MESSAGE, link="debitum://debt/1", collapse_key="k" * 90)
        assert channel.send(linked, now=NOW) == Sent("200 projects/debitum-test/messages/4711")
        [asked] = google.pushes
        assert (asked.method, asked.path) == ("POST", "/v1/projects/debitum-test/messages:send")
        assert asked.headers["authorization"] == "Bearer ya29.secret"
        sent = asked.json["message"]
        assert sent["token"] == TOKEN
        assert sent["notification"] == {"title": MESSAGE.subject, "body": MESSAGE.text}
        assert sent["data"] == {"key": MESSAGE.key, "kind": "due", "link": "debitum://debt/1"}
        assert sent["android"]["collapse_key"] == sent["apns"]["headers"]["apns-collapse-id"] == "k" * 64
        assert sent["android"]["ttl"] == "43200s"

    def test_a_push_lives_from_when_it_is_sent(self, channel: FcmPush, google: Google) -> None:
        """Not from when it was first to be sent, which is a day ago where it was suppressed meanwhile."""
        now = MESSAGE.created_at + timedelta(days=1)
        assert isinstance(channel.send(MESSAGE, now=now), Sent)
        [asked] = google.pushes
        assert int(asked.json["message"]["apns"]["headers"]["apns-expiration"]) == now.timestamp() + 12 * 3600

    def test_an_installation_is_a_target_too(self, channel: FcmPush, google: Google) -> None:
        target = PushTarget(UUID(int=1), UUID(int=2), Registration("fid", "dQw4w9WgXcQ"))
        assert isinstance(channel.send(msgspec.structs.replace(MESSAGE, to=target), now=NOW), Sent)
        sent = google.pushes[0].json["message"]
        assert (sent["fid"], "token" in sent) == ("dQw4w9WgXcQ", False)

    def test_a_user_without_a_registration_is_no_target(self, channel: FcmPush, google: Google) -> None:
        assert isinstance(channel.send(PUSH, now=NOW), Permanent)
        assert google.asked == []


def _delivery(asked: Asked) -> Delivery:
    sent = asked.json["message"]
    return Delivery(sent["android"]["collapse_key"], sent["notification"]["title"], sent["notification"]["body"])


def send(google: Google, reply: Reply, *, message: Message = MESSAGE, timeout_seconds: float = 5.0) -> Outcome:
    google.reply = reply
    channel = channel_to(google, timeout_seconds=timeout_seconds)
    try:
        return channel.send(message, now=NOW)
    finally:
        channel.close()


BAD_REQUEST = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "message.data"}]}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(404, "NOT_FOUND", fcm("UNREGISTERED")), TargetGone),
        (refusal(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT")), TargetGone),
        (refusal(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), BAD_REQUEST), Permanent),
        (refusal(400, "INVALID_ARGUMENT"), Permanent),
        (refusal(404, "NOT_FOUND"), Permanent),
        (refusal(403, "PERMISSION_DENIED", fcm("SENDER_ID_MISMATCH")), Permanent),
        (refusal(403, "PERMISSION_DENIED"), ChannelDown),
        (refusal(401, "UNAUTHENTICATED"), ChannelDown),
        (refusal(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")), ChannelDown),
        (refusal(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED")), Transient),
        (refusal(500, "INTERNAL", fcm("INTERNAL")), Unknown),
        (refusal(502, "UNKNOWN"), Unknown),
        (refusal(503, "UNAVAILABLE", fcm("UNAVAILABLE")), Transient),
        (Answer(200, b"not JSON"), Unknown),
        (Answer(200, {}), Unknown),
        (Answer(400, {"error": "x"}), Unknown),
        (RESET, Unknown),
    ],
)
def test_what_an_answer_means(google: Google, reply: Reply, kind: type[Outcome]) -> None:
    """And it was asked once: by itself the library asks up to five times."""
    outcome = send(google, reply)
    assert isinstance(outcome, kind), outcome
    assert TOKEN not in outcome.detail
    assert len(google.pushes) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_it_is_asked_no_earlier_than_it_wants(google: Google, status: int) -> None:
    began = time.monotonic()
    outcome = send(google, refusal(status, "BUSY", headers={"Retry-After": "60"}))
    assert isinstance(outcome, Transient)
    assert outcome.retry_at == NOW + timedelta(seconds=60)
    assert time.monotonic() - began < 30, "the library waited by itself"


@pytest.mark.parametrize("reply", [HANG, DRIBBLE])
def test_the_whole_attempt_has_a_limit(google: Google, reply: Reply) -> None:
    began = time.monotonic()
    assert send(google, reply, timeout_seconds=0.4) == Unknown("no end after 0.4 s")
    assert time.monotonic() - began < 5
    assert len(google.pushes) == 1


def test_a_token_that_is_refused_is_asked_for_anew_the_next_time(google: Google) -> None:
    google.reply = refusal(401, "UNAUTHENTICATED")
    channel = channel_to(google)
    assert isinstance(channel.send(MESSAGE, now=NOW), ChannelDown)
    google.reply = SENT
    assert isinstance(channel.send(MESSAGE, now=NOW), Sent)
    channel.close()
    assert [asked.path for asked in google.asked].count("/token") == 2


@pytest.mark.parametrize(
    ("grant", "kind"),
    [
        (Answer(400, {"error": "invalid_grant", "error_description": "account not found"}), ChannelDown),
        (Answer(503, {"error": "internal_failure"}), Transient),
        (RESET, Transient),
    ],
)
def test_without_an_access_token_nothing_is_sent(google: Google, grant: Reply, kind: type[Outcome]) -> None:
    google.grant = grant
    assert isinstance(send(google, SENT), kind)
    assert google.pushes == []


def test_nobody_else_is_asked(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth looks something up at another host, in the background."""
    import socket

    hosts, resolve = [], socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        hosts.append(host)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert isinstance(send(google, SENT), Sent)
    assert set(hosts) == {"127.0.0.1"}


def test_secrets_reach_no_log(google: Google, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        send(google, SENT)
        send(google, refusal(404, "NOT_FOUND", fcm("UNREGISTERED")))
    for secret in (TOKEN, "ya29.secret", MESSAGE.subject):
        assert secret not in caplog.text


@pytest.mark.parametrize("content", [None, "{", "{}", "[]", '{"type": "service_account", "private_key": "canary"}'])
def test_a_bad_setting_is_named_and_not_repeated(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "account.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingError, match="FCM_CREDENTIALS") as caught:
        FcmPush(file)
    assert "canary" not in str(caught.value)


def test_a_key_that_is_none_and_an_endpoint_that_is_none_are_named(google: Google) -> None:
    with pytest.raises(SettingError, match=r"^FCM_ENDPOINT: "):
        FcmPush(google.write_account(), endpoint="localhost")
    google.write_account().write_text(google.account.read_text().replace("BEGIN PRIVATE KEY", "BEGIN A KEY"))
    with pytest.raises(SettingError, match=r"^FCM_CREDENTIALS: .* is not the JSON file of a service account$"):
        FcmPush(google.account, endpoint=google.url)
