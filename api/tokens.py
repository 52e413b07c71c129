"""Access tokens: JWT (RFC 9068), one algorithm, signed by a key of the ring, every claim required."""

import datetime
from dataclasses import dataclass
from uuid import UUID, uuid4

import jwt

from api import problems
from storage.encryption import KeyRing, KeyRingError

ALGORITHM = "HS256"
"""Pinned: what a token says of its own algorithm is not believed."""
TYPE = "at+jwt"
ISSUER = AUDIENCE = "debitum"
LIFETIME = datetime.timedelta(minutes=10)
LEEWAY = datetime.timedelta(seconds=5)
MOST_HEADS = 100
REMEMBERED = 10_000
"""Tokens whose signature is known to be good; whether they have expired is looked at each time."""
REQUIRED = ("iss", "aud", "sub", "sid", "jti", "iat", "exp")


@dataclass(frozen=True)
class Claims:
    """The session that a token was issued for, and until when it is good."""

    session_id: UUID
    expires_at: datetime.datetime


class Tokens:
    """Signs and verifies access tokens; `sub` is the user, `sid` the session."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._verified: dict[str, Claims] = {}
        self._heads: dict[str, bytes] = {}

    @property
    def lifetime_seconds(self) -> int:
        """How long a new token is good for."""
        return int(LIFETIME.total_seconds())

    def issue(self, user_id: UUID, session_id: UUID, *, now: datetime.datetime) -> str:
        """A token good for LIFETIME from `now`."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + LIFETIME,
        }
        headers = {"kid": self._keys.current, "typ": TYPE}
        return jwt.encode(claims, self._keys.derive(self._keys.current, "access tokens"), ALGORITHM, headers=headers)

    def read(self, token: str) -> Claims:
        """What `token` says, if it is good. Raises problems.Unauthorized for every kind of bad token alike."""
        claims = self._verified.get(token)
        if claims is None or claims.expires_at + LEEWAY <= datetime.datetime.now(datetime.UTC):
            claims = self._verified[token] = self._verify(token)
            if len(self._verified) > REMEMBERED:
                del self._verified[next(iter(self._verified))]
        return claims

    def _key(self, token: str) -> bytes:
        """What is derived for tokens from the key that the head names. Heads are few: they say nothing else."""
        head = token.partition(".")[0]
        key = self._heads.get(head)
        if key is None:
            said = jwt.get_unverified_header(token)
            if said.get("typ") != TYPE:
                raise jwt.InvalidTokenError("not an access token")
            key = self._keys.derive(str(said.get("kid")), "access tokens")
            self._heads = {head: key} if len(self._heads) > MOST_HEADS else {**self._heads, head: key}
        return key

    def _verify(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY,
                options={"require": list(REQUIRED)},
            )
            UUID(claims["sub"])
            return Claims(UUID(claims["sid"]), datetime.datetime.fromtimestamp(claims["exp"], datetime.UTC))
        except (jwt.InvalidTokenError, KeyRingError, ValueError, AttributeError, TypeError) as error:
            raise problems.Unauthorized("the access token is not valid") from error
