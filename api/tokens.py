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
LEEWAY_SECONDS = 5
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
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != TYPE:
                raise jwt.InvalidTokenError("not an access token")
            claims = jwt.decode(
                token,
                self._keys.derive(str(header.get("kid")), "access tokens"),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED)},
            )
            UUID(claims["sub"])
            return Claims(UUID(claims["sid"]), datetime.datetime.fromtimestamp(claims["exp"], datetime.UTC))
        except (jwt.InvalidTokenError, KeyRingError, ValueError, AttributeError, TypeError) as error:
            raise problems.Unauthorized("the access token is not valid") from error
