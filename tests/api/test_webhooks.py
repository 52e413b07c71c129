"""What SendGrid tells: believed where it is signed and fresh, once; and what follows for an address."""

import base64
import datetime
import json
import uuid
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine, text

from api.settings import Settings, SettingsError
from storage import account_mails, outbox, recipients, roles
from tests.api.test_identity import _mail_token
from tests.fixtures.api import Client, Server, of_the_module, serve

KEY = ec.generate_private_key(ec.SECP256R1())
_DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
PUBLIC_KEY = base64.b64encode(_DER).decode()


pytestmark, database_url, api, alice, bob = of_the_module(sendgrid_webhook_key=PUBLIC_KEY)


def event(email: str, kind: str = "bounce", **members: Any) -> dict[str, Any]:
    return {"email": email, "timestamp": 1, "event": kind, "sg_event_id": uuid.uuid4().hex, "more": [1], **members}


def signed(
    content: bytes, *, age: datetime.timedelta = datetime.timedelta(0), key: ec.EllipticCurvePrivateKey = KEY
) -> dict[str, str]:
    at = str(int((datetime.datetime.now(datetime.UTC) - age).timestamp()))
    signature = base64.b64encode(key.sign(at.encode() + content, ec.ECDSA(hashes.SHA256()))).decode()
    return {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": at,
        "Content-Type": "application/json",
    }


async def tell(api: Server, *events: dict[str, Any], **how: Any) -> httpx.Response:
    content = json.dumps(events, ensure_ascii=False).encode()
    return await api.http().post("/webhooks/sendgrid", content=content, headers=signed(content, **how))


async def problem(client: Client) -> str | None:
    found = (await client.get("/api/me"))["mail_problem"]
    return None if found is None else str(found["kind"])


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"kind": "bounce", "type": "bounce"}, "bounced"),
        ({"kind": "bounce", "type": "blocked"}, None),
        ({"kind": "dropped", "reason": "Bounced Address"}, "bounced"),
        ({"kind": "dropped", "reason": "Invalid"}, "bounced"),
        ({"kind": "dropped", "reason": "Spam Reporting Address"}, "complained"),
        ({"kind": "spamreport"}, "complained"),
        ({"kind": "deferred"}, None),
        ({"kind": "delivered"}, None),
        ({"kind": "some kind of tomorrow"}, None),
    ],
)
async def test_what_lasts_is_kept_and_its_user_is_told(
    alice: Client, bob: Client, api: Server, members: dict[str, Any], kind: str | None
) -> None:
    other = event("nobody@example.org", "spamreport", reason="Ünïcode")
    assert (await tell(api, event(alice.user["email"].upper(), **members), other)).status_code == 204
    assert await problem(alice) == kind
    assert await problem(bob) is None


@pytest.mark.parametrize("registered", ["Bücher", "xn--bcher-kva", "bu\u0308cher"])
@pytest.mark.parametrize("told", ["bücher", "xn--bcher-kva"])
async def test_an_address_is_known_in_each_way_to_write_its_domain(api: Server, registered: str, told: str) -> None:
    name = uuid.uuid4().hex
    ana = await api.register(f"{name}@{registered}.example")
    assert ana.user["email"] == f"{name}@bücher.example"
    await tell(api, event(f"{name.upper()}@{told}.example"))
    assert await problem(ana) == "bounced"


async def test_what_was_told_before_is_not_believed_again(alice: Client, api: Server, database: Engine) -> None:
    """SendGrid tells the same many times, also after its user has proven the address anew."""
    same = event(alice.user["email"])
    await tell(api, same, same)
    assert await problem(alice) == "bounced"
    token = _mail_token(database, alice.user["id"])
    assert (await api.http().post("/api/auth/verify", json={"token": token})).status_code == 201
    assert await problem(alice) is None
    await tell(api, same)
    assert await problem(alice) is None
    await tell(api, event(alice.user["email"], "spamreport"))
    assert await problem(alice) == "complained"


@pytest.mark.parametrize("kind", ["bounce", "spamreport"])
async def test_reminders_stop_and_mails_about_the_account_go_on(alice: Client, api: Server, database: Engine, kind: str) -> None:
    await tell(api, event(alice.user["email"], kind))
    now, ledger_id = datetime.datetime.now(datetime.UTC), uuid.UUID(alice.ledger_id)
    with database.begin() as connection:
        connection.execute(text("update debitum.users set email_verified_at = now()"))
        connection.execute(text("delete from debitum.outbox"))
        roles.enter(connection, roles.JOBS)
        reminder = outbox.Outgoing(ledger_id=ledger_id, dedupe_key="k", kind="reminder", channel="email", payload={}, next_at=now)
        outbox.enqueue(connection, [reminder, account_mails.reset(ledger_id, now=now)], now=now)
        reset, other = outbox.claim(connection, "email", now=now)
        assert isinstance(recipients.load(connection, reset, local=False, keys=None, now=now), recipients.AccountNotice)
        assert recipients.load(connection, other, local=False, keys=None, now=now) == recipients.Suppressed("address_refuses")


async def test_who_did_not_sign_is_not_listened_to(alice: Client, api: Server) -> None:
    content = json.dumps([event(alice.user["email"])]).encode()
    good = signed(content)
    signature, timestamp = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"
    old = datetime.timedelta(minutes=11)
    bad = [
        {},
        good | {signature: ""},
        good | {signature: "not base64"},
        good | {timestamp: ""},
        good | {timestamp: "1e9"},
        good | {timestamp: str(int(good[timestamp]) + 1)},
        signed(content + b" "),
        signed(content, key=ec.generate_private_key(ec.SECP256R1())),
        signed(content, age=old),
        signed(content, age=-old),
    ]
    for headers in bad:
        response = await api.http().post(
            "/webhooks/sendgrid", content=content, headers={"Content-Type": "application/json"} | headers
        )
        assert (response.status_code, response.json()["code"]) == (403, "bad_signature"), headers
    for raw in (good[signature].encode() + b"\xff", b"\xe9"):
        raw_headers = [(name.encode(), value.encode()) for name, value in (good | {signature: ""}).items()] + [
            (signature.encode(), raw)
        ]
        assert (await api.http().post("/webhooks/sendgrid", content=content, headers=raw_headers)).status_code == 403
    assert (await api.http().post("/webhooks/sendgrid", content=b"\xff", headers=signed(b"\xff"))).status_code == 403
    assert await problem(alice) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'[{"event": "bounce"}]', b'[{"sg_event_id": 1, "event": "bounce", "email": "a"}]']
)
async def test_what_is_signed_and_makes_no_sense_is_refused(api: Server, content: bytes) -> None:
    response = await api.http().post("/webhooks/sendgrid", content=content, headers=signed(content))
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "strange",
    [
        {"event": "account_status_change", "sg_event_id": "x", "timestamp": 1, "type": "compliance_suspend"},
        {"event": "bounce", "sg_event_id": 1, "email": "a"},
        {"event": "bounce", "sg_event_id": "a\x00b", "email": "a\x00b@example.org"},
        {"event": "bounce", "sg_event_id": "x" * 201, "email": "a@example.org"},
    ],
)
async def test_what_comes_with_something_strange_is_not_lost(alice: Client, api: Server, strange: dict[str, Any]) -> None:
    """SendGrid sends a delivery again as a whole, for a day, and then never."""
    assert (await tell(api, strange, event(alice.user["email"]), strange)).status_code == 204
    assert await problem(alice) == "bounced"


async def test_what_is_about_the_account_at_the_provider_is_taken(api: Server) -> None:
    about = {"event": "account_status_change", "sg_event_id": "x", "timestamp": 1, "type": "compliance_suspend"}
    assert (await tell(api, about)).status_code == 204


async def test_without_a_key_there_is_nothing(api_settings: Settings) -> None:
    async with serve(api_settings) as deaf:
        assert (await tell(deaf)).status_code == 404


async def test_a_key_that_is_none_is_refused() -> None:
    environment = {"DATABASE_URL": "postgresql://x", "DEBITUM_KEYS": "k1:" + base64.b64encode(bytes(range(32))).decode()}
    assert Settings.from_environment(environment | {"SENDGRID_WEBHOOK_KEY": PUBLIC_KEY}).sendgrid_webhook_key == PUBLIC_KEY
    with pytest.raises(SettingsError, match="SENDGRID_WEBHOOK_KEY"):
        Settings.from_environment(environment | {"SENDGRID_WEBHOOK_KEY": "nonsense"})
