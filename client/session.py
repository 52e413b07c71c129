"""Who is signed in on a device: the device's id and tokens, kept across restarts and exchanged before they expire."""

import asyncio
import datetime
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from client import answers
from client.answers import Shape
from client.errors import AnotherAccount, MailFollows, SignedOut, Unavailable
from client.store import Store
from client.wire import Wire

EARLY_SECONDS = 60
"""A token is exchanged this long before it expires."""

REGISTER = "/api/auth/register"
"""Where the tokens may follow by mail."""
RETRIES = 4
PATIENCE_SECONDS = 2.0
"""The longest wait for a place: somebody sits there who signs in, and is told of a longer one."""

Clock = Callable[[], datetime.datetime]


class Session:
    """Signs in, sends requests as the user, signs out."""

    def __init__(self, wire: Wire, store: Store, clock: Clock, device: Mapping[str, Any]) -> None:
        self._wire = wire
        self._store = store
        self._clock = clock
        self._device = dict(device)

    async def enter(self, path: str, **credentials: Any) -> None:
        """Register or log in at `path`. Raises Refused, Unavailable, AnotherAccount, MailFollows."""
        answer = await self._patiently(path, {**credentials, "device": self._device})
        if answer is None:
            raise MailFollows("what to do next is in a mail to this address")
        known = self._store.remembered("ledger_id")
        if known is not None and known != answer["ledger_id"]:
            with suppress(Unavailable):
                await self._wire.ask("POST", "/api/auth/logout", token=answer["access_token"])
            raise AnotherAccount("this device belongs to another account")
        self._keep(answer)

    async def _patiently(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask again when the server says so: it checks a few passwords at a time, and turns others away."""
        shape = _registered if path == REGISTER else answers.is_session
        for _ in range(RETRIES):
            try:
                return await self._wire.ask("POST", path, json=body, shape=shape)
            except Unavailable as error:
                if not 0 < error.retry_after <= PATIENCE_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after * random.uniform(0.5, 1.5))  # noqa: S311  # spreads a crowd, hides nothing
        return await self._wire.ask("POST", path, json=body, shape=shape)

    async def leave(self) -> None:
        """Sign out, here in any case; where the server cannot be told, its session ends by itself some day."""
        try:
            with suppress(Unavailable, SignedOut):
                await self.ask("POST", "/api/auth/logout")
        finally:
            self._store.remember(access_token=None, refresh_token=None, expires_at=None)

    async def ask(
        self, method: str, path: str, json: Any = None, *, query: Mapping[str, Any] | None = None, shape: Shape = lambda _: True
    ) -> Any:
        """A request of the signed-in user; a token that is not good any more is exchanged once. See Wire.ask."""
        token = await self.token()
        try:
            return await self._wire.ask(method, path, token=token, json=json, query=query, shape=shape)
        except SignedOut:
            newer = await self._exchanged(token)
            return await self._wire.ask(method, path, token=newer, json=json, query=query, shape=shape)

    async def token(self) -> str:
        """An access token that is good for a while yet. Raises SignedOut, Unavailable."""
        token = self._store.remembered("access_token")
        if token is None:
            raise SignedOut("nobody is signed in on this device")
        return await self._exchanged(token) if self.seconds_left() < EARLY_SECONDS else str(token)

    def seconds_left(self) -> float:
        """How long the access token is good for."""
        expires_at = self._store.remembered("expires_at")
        return float(expires_at or 0) - self._clock().timestamp()

    async def _exchanged(self, stale: str) -> str:
        """An access token after `stale`. One exchange at a time: a refresh token that comes twice ends the session."""
        async with self._store.alone("token"):
            if (newer := self._store.remembered("access_token")) not in (None, stale):
                return str(newer)
            token = self._store.remembered("refresh_token")
            if token is None:
                raise SignedOut("nobody is signed in on this device")
            body = {"refresh_token": token}
            answer = await self._wire.ask("POST", "/api/auth/refresh", json=body, shape=answers.is_session)
            self._keep(answer)
            return str(answer["access_token"])

    def _keep(self, answer: Mapping[str, Any]) -> None:
        self._store.remember(
            ledger_id=answer["ledger_id"],
            user=answer["user"],
            access_token=answer["access_token"],
            refresh_token=answer["refresh_token"],
            expires_at=self._clock().timestamp() + answer["expires_in"],
        )


def _registered(answer: Any) -> bool:
    return answer is None or answers.is_session(answer)
