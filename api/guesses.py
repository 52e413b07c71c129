"""Guesses of a password: counted before they are looked at, by account and by network address, so that many are slow."""

import math
from dataclasses import dataclass

from sanic import Request
from sqlalchemy.ext.asyncio import AsyncConnection

from api import limits, problems, services
from api.services import Services
from domain.throttling import ACCOUNT, ADDRESS
from storage import throttling


@dataclass(frozen=True)
class Guess:
    """One guess; `address` is empty where the account alone is looked at, or where the network says nothing."""

    account: bytes
    address: bytes

    async def count(self, connection: AsyncConnection) -> None:
        """Count it as wrong. Raises problems.RateLimited, with which the caller's transaction forgets it again."""
        for key, rule in ((self.account, ACCOUNT), (self.address, ADDRESS)):
            if key and (wait := await throttling.count(connection, key, rule, now=services.now())):
                raise problems.RateLimited(math.ceil(wait))

    async def was_right(self, connection: AsyncConnection) -> None:
        """Forget the account's; of the network's only this one, or a guesser would clear all by an account of their own."""
        await throttling.clear(connection, self.account)
        if self.address:
            await throttling.take_back(connection, self.address)


def of_anybody(request: Request, email: str) -> Guess:
    """Somebody signs in as `email`, who may have no account."""
    keys, address = services.of(request).settings.keys, limits.address(request)
    return Guess(throttling.account_key(keys, email), throttling.address_key(keys, address) if address else b"")


def of_user(here: Services, email: str) -> Guess:
    """Somebody who is signed in, or has a token from a mail, says their password."""
    return Guess(throttling.account_key(here.settings.keys, email), b"")
