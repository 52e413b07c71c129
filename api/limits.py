"""How often an address may try to sign in, and a user may ask: counted by all workers of a server together."""

import hashlib
import ipaddress
import math
import mmap
import secrets
import struct
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from sanic import HTTPResponse, Request, Sanic

from api import problems
from api.settings import Settings
from domain import ids

SETS, WAYS = 8_192, 8
"""65,536 keys in 1 MiB: all the users that a server can serve in a second, and more addresses than it can in a minute."""
IPV6_PREFIX_BITS: Final = 64
"""What a provider gives to one customer, who may use any address of it."""
UNSUBSCRIBING: Final = 10
"""Times as many requests as to /api/auth: a mail provider's address unsubscribes many people, and guesses nothing."""
ROUNDING: Final = 0.01
"""Of a request: what sums of floats may be off by, after months of uptime and a thousand requests at once."""
_DIGEST: Final = struct.Struct("=QQ")


@dataclass(frozen=True)
class Allowance:
    """What a key has left after a request: all of it again in `reset_seconds`; `retry_seconds` above 0: this one was too many."""

    limit: int
    remaining: int
    reset_seconds: float
    retry_seconds: float = 0.0


class Table:
    """A time for each key, in memory that the processes share which are forked later.

    A key has one of the WAYS places of its set. Where all are taken, the one that matters least goes: its time is over, or is so
    the soonest. Two workers that count the same key in the same instant may count once instead of twice. No lock prevents that:
    it would cost every request more than such a request does.
    """

    def __init__(self) -> None:
        places = SETS * WAYS
        shared = memoryview(mmap.mmap(-1, 2 * 8 * places))  # anonymous, and shared over a fork
        self._tags, self.times = shared[: 8 * places].cast("Q"), shared[8 * places :].cast("d")
        self._secret = secrets.token_bytes(32)  # nobody can look for keys that push each other out

    def place(self, key: bytes) -> int:
        """Where the time of `key` is; 0.0 if it had none."""
        tag, which = _DIGEST.unpack(hashlib.blake2b(key, key=self._secret, digest_size=_DIGEST.size).digest())
        places = range(which % SETS * WAYS, which % SETS * WAYS + WAYS)
        for place in places:
            if self._tags[place] == tag:
                return place
        place = min(places, key=self.times.__getitem__)
        self._tags[place], self.times[place] = tag, 0.0
        return place


@dataclass(frozen=True)
class Limiter:
    """At most `limit` at once, and over time `limit` in `period_seconds`: GCRA, a leaky bucket that needs one time a key.

    The time is when all that was asked for will have been earned (ITU-T I.371: theoretical arrival time).
    """

    table: Table
    name: str
    limit: int
    period_seconds: float

    def take(self, key: str, now: float) -> Allowance:
        """Count a request of `key` at `now` (seconds of a clock that all processes share). One too many costs nothing more."""
        place, each = self.table.place(f"{self.name} {key}".encode()), self.period_seconds / self.limit
        until = self.table.times[place]
        # Long over; or no time at all, half of one that another worker writes. Twice, since rounding may go beyond once.
        if not now < until <= now + 2 * self.period_seconds:
            until = now
        if (wait := until + each - self.period_seconds - now) > ROUNDING * each:
            return Allowance(self.limit, 0, until - now, wait)
        self.table.times[place] = until + each
        left = (now + self.period_seconds - until) / each - 1
        return Allowance(self.limit, math.floor(left + ROUNDING), until + each - now)

    def give_back(self, key: str, now: float) -> None:
        """Take back the count of a request of `key`, which turned out to be none of those that are limited."""
        place = self.table.place(f"{self.name} {key}".encode())
        self.table.times[place] = max(self.table.times[place] - self.period_seconds / self.limit, now)


class Limits:
    """The limits of one server, made before its workers are."""

    def __init__(self, settings: Settings) -> None:
        table = Table() if settings.auth_per_minute or settings.user_per_second else None
        often = settings.auth_per_minute
        self._address = Limiter(table, "address", often, 60.0) if table and often else None
        self._unsubscribing = Limiter(table, "unsubscribing", UNSUBSCRIBING * often, 60.0) if table and often else None
        self._user = Limiter(table, "user", settings.user_per_second, 1.0) if table and settings.user_per_second else None

    def count_address(self, request: Request) -> None:
        """Before anybody knows who asks. Raises problems.RateLimited."""
        if self._address is not None:
            _count(request, self._address, address(request))

    def count_unsubscribing(self, request: Request) -> None:
        """Of an address, beside what else it asks for. Raises problems.RateLimited."""
        if self._unsubscribing is not None:
            _count(request, self._unsubscribing, address(request))

    def forgive_address(self, request: Request) -> None:
        """Do not count what was counted a moment ago: the one who asks is known now."""
        if self._address is not None:
            self._address.give_back(address(request), time.monotonic())

    def count_user(self, request: Request, user_id: UUID) -> None:
        """All devices and tokens of a user together. Raises problems.RateLimited."""
        if self._user is not None:
            _count(request, self._user, ids.text(user_id))


def _count(request: Request, limiter: Limiter, key: str) -> None:
    found, before = limiter.take(key, time.monotonic()), getattr(request.ctx, "allowance", None)
    if before is None or found.remaining < before.remaining or found.retry_seconds:
        request.ctx.allowance = found  # of two limits the one that is nearer
    if found.retry_seconds:
        raise problems.RateLimited(math.ceil(found.retry_seconds))


def address(request: Request) -> str:
    """Who asks, as far as the network knows: the socket's peer, or what the trusted proxies say; of IPv6 the network."""
    for said in (request.remote_addr, request.ip):  # the first is empty unless PROXIES_COUNT is set
        found = parse(said)
        if isinstance(found, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((int(found), IPV6_PREFIX_BITS), strict=False))
        if found is not None:
            return str(found)
    return ""


def parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `text` names, with a port or without; None where it names none."""
    try:
        found = ipaddress.ip_address(_without_port(text))
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def install(app: "Sanic[Any, Any]", settings: Settings) -> None:
    """Keep the counts with the application."""
    app.ctx.limits = Limits(settings)
    app.config.PROXIES_COUNT = settings.trusted_proxies or None


def tell(request: Request, response: HTTPResponse) -> None:
    """Tell a client what is left of its allowance.

    The headers are RateLimit-Limit, -Remaining and -Reset (seconds until all is there again), as in
    draft-ietf-httpapi-ratelimit-headers up to 07: RateLimit and RateLimit-Policy of later ones are read by few clients.
    """
    found: Allowance | None = getattr(request.ctx, "allowance", None)
    # Where a guess of a password is refused, what is left of another allowance would invite more guesses.
    if found is not None and (response.status != HTTPStatus.TOO_MANY_REQUESTS or found.retry_seconds):
        response.headers["RateLimit-Limit"] = str(found.limit)
        response.headers["RateLimit-Remaining"] = str(found.remaining)
        response.headers["RateLimit-Reset"] = str(math.ceil(found.reset_seconds))


def of(request: Request) -> Limits:
    """The limits of the server that handles `request`."""
    limits: Limits = request.app.ctx.limits
    return limits
