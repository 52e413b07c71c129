"""What can go wrong between a device and its server, by what the caller can do about it."""

from typing import Any


class ClientError(Exception):
    """Whatever a device raises; what its user did is kept in every case."""


class Unavailable(ClientError):
    """No answer, or one that says nothing (5xx, 429): the same can be sent again, after `retry_after` seconds if it says so."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class SignedOut(ClientError):
    """The user has to sign in again; what waits to be sent goes on waiting."""


class AnotherAccount(ClientError):
    """The file of this device belongs to another account: use a file of its own for each."""


class MailFollows(ClientError):
    """The server has taken the registration, and says in a mail alone what comes of it: verify, then sign in."""


class BrokenLog(ClientError):
    """What the server sent does not follow from what the device has: a hash, a seq or a value before a change is wrong."""


class Refused(ClientError):
    """The server refused a request as a whole: the members of its problem (RFC 9457) are in `problem`."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or problem.get("code")))
        self.problem = problem

    @property
    def code(self) -> str:
        """The machine-readable reason."""
        return str(self.problem.get("code", ""))


class Reset(Refused):
    """The server has another history than the device: one of its backups was restored."""
