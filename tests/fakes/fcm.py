"""Google's place on loopback: access tokens, and pushes by FCM's HTTP v1."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.http import Answer, Asked, FakeHttp, Reply

SENT = Answer(200, {"name": "projects/debitum-test/messages/4711"})
GRANTED = Answer(200, {"access_token": "ya29.secret", "expires_in": 3600, "token_type": "Bearer"})


def new_private_key() -> str:
    """A key of a service account (PEM)."""
    key = rsa.generate_private_key(65_537, 2_048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


class Google(FakeHttp):
    """Gives out access tokens, and answers a push with `reply`; `account` is the file by which one signs in to it."""

    reply: Reply = SENT
    grant: Reply = GRANTED

    def __init__(self, folder: Path, private_key: str) -> None:
        super().__init__(lambda asked: self.grant if asked.path == "/token" else self.push(asked))
        self._private_key = private_key
        self.account = folder / "account.json"

    def push(self, asked: Asked) -> Reply:
        """The answer to a push."""
        return self.reply

    @property
    def pushes(self) -> list[Asked]:
        """What was asked beside tokens."""
        return [asked for asked in self.asked if asked.path != "/token"]

    def write_account(self) -> Path:
        """The file of a service account that gets its tokens here."""
        account = {
            "type": "service_account",
            "project_id": "debitum-test",
            "private_key_id": "1",
            "private_key": self._private_key,
            "client_email": "debitum@debitum-test.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }
        self.account.write_text(json.dumps(account))
        return self.account


def refusal(status: int, name: str, *details: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    """An error as Google's APIs write it."""
    error = {"code": status, "status": name, "message": f"about {status}", "details": list(details)}
    return Answer(status, {"error": error}, headers or {})


def fcm(code: str) -> dict[str, Any]:
    """The detail of an error by which FCM says what it means."""
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
