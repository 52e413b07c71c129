"""Who the fuzzer is: a signed-in user with a little of everything, whose texts all hold a word that nobody else may read."""

import itertools
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx

from tests.fixtures.api import PASSWORD

ELSEWHERE: Final = {"X-Forwarded-For": "203.0.113.7"}
"""Whoever guesses as much as the fuzzer has to wait: we sign in from another address, where a proxy's word is believed."""


@dataclass
class User:
    """Signs in again when the fuzzer has signed them out."""

    http: httpx.Client
    email: str
    token: str
    canary: str
    """Stands in all their texts."""
    ids: list[str] = field(default_factory=list)
    """Of everything that is theirs, for somebody else to try."""

    @classmethod
    def registered(cls, url: str) -> Self:
        """A new user with things of every kind."""
        http = httpx.Client(base_url=url, timeout=30)
        canary = f"canary-{uuid.uuid4().hex}"
        email = f"{canary}@example.org"
        answer = http.post("/api/auth/register", json={"email": email, "password": PASSWORD, "name": canary})
        assert answer.status_code == 201, answer.text
        signed_in = answer.json()
        user = cls(http, email, signed_in["access_token"], canary, [signed_in["device_id"], signed_in["ledger_id"]])
        user._settle_in()
        return user

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def sign_in(self) -> str:
        """An access token of a new session, on the device that they have."""
        body = {"email": self.email, "password": PASSWORD, "device": {"id": self.ids[0], "name": self.canary}}
        while (answer := self.http.post("/api/auth/login", json=body, headers=ELSEWHERE)).status_code == 429:
            # The fuzzer has guessed our password, and nobody looks at the next guess before that.
            time.sleep(int(answer.headers["Retry-After"]))
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that is not an error."""
        for _ in range(2):
            answer = self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})
            if answer.status_code != 401:
                break
            self.token = self.sign_in()  # it has expired while somebody else was busy
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def _settle_in(self) -> None:
        word = self.canary
        for number in range(3):
            contact = self._add("contacts", {"name": f"{word} {number}", "notes": word, "phone": word})
            debt = {"contact_id": contact, "direction": "lent", "currency": "EUR", "description": word}
            lent = [self._add("transactions", debt | {"amount": amount, "due_date": "2026-01-02"}) for amount in (100, 1_000)]
            self._add("reminders", {"transaction_id": lent[0], "remind_at": "2099-01-01T09:00:00Z", "message": word})
        self._add("tokens", {"name": word, "scope": "read"})
        self.ask("DELETE", f"/api/transactions/{lent[1]}")
        listed = [self.ask("GET", path)["items"] for path in ("/api/auth/sessions", "/api/devices", "/api/events")]
        self.ids += [item["id"] for item in itertools.chain(*listed)]

    def _add(self, what: str, body: dict[str, Any]) -> str:
        made: str = self.ask("POST", f"/api/{what}", body)["id"]
        self.ids.append(made)
        return made

    def state(self) -> Any:
        """What must be the same whatever somebody else does."""
        paths = ("/api/sync/hash", "/api/me", "/api/tokens", "/api/reminders", "/api/sync/rejections")
        devices = self.ask("GET", "/api/devices")["items"]
        return [*(self.ask("GET", path) for path in paths), [(device["id"], device["push"]) for device in devices]]
