"""The interface that every way out implements, and what can become of an attempt."""

from datetime import datetime
from typing import ClassVar, Literal, Protocol

import msgspec

from domain.delivery import Channel as ChannelKind
from notifications.message import Message

TIMEOUT_SECONDS = 10.0
"""The longest that `send` may take in all: far less than half of the outbox's lease."""


class Sent(msgspec.Struct, frozen=True):
    """The provider has taken it over. `detail` is its answer."""

    code: ClassVar[Literal["sent"]] = "sent"
    detail: str


class Transient(msgspec.Struct, frozen=True):
    """Not accepted, and a later attempt may succeed; never before `retry_at` (aware), where the provider named a time."""

    code: ClassVar[Literal["transient"]] = "transient"
    detail: str
    retry_at: datetime | None = None


class Permanent(msgspec.Struct, frozen=True):
    """It will never be accepted, because of what this message is or to whom it goes."""

    code: ClassVar[Literal["permanent"]] = "permanent"
    detail: str


class ChannelDown(msgspec.Struct, frozen=True):
    """No message will be accepted until an operator changes something: it says nothing about this one."""

    code: ClassVar[Literal["channel_down"]] = "channel_down"
    detail: str


class TargetGone(msgspec.Struct, frozen=True):
    """The target does not exist any more and should be forgotten."""

    code: ClassVar[Literal["target_gone"]] = "target_gone"
    detail: str


class Unknown(msgspec.Struct, frozen=True):
    """The reply was lost: the message may have been accepted."""

    code: ClassVar[Literal["unknown"]] = "unknown"
    detail: str


Outcome = Sent | Transient | Permanent | ChannelDown | TargetGone | Unknown
"""What became of one attempt; `code` is the value of delivery_attempts.outcome."""


class SettingError(Exception):
    """A setting cannot be used; the text names it, says why and never repeats a password."""


class Channel(Protocol):
    """One provider. Not for several threads at once."""

    @property
    def name(self) -> str:
        """The provider: files, smtp …; the value of delivery_attempts.provider."""

    @property
    def kind(self) -> ChannelKind:
        """Which of the two ways to a person it serves."""

    @property
    def local(self) -> bool:
        """True where nothing leaves this machine, so that an unverified address may be written to."""

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Make one attempt, without retries, within TIMEOUT_SECONDS (or what the settings say); `now` is aware.

        Whatever the provider, the network or the message does comes back as an outcome, never as an exception.
        The outcome's detail is the provider's answer with the recipient's address taken out.
        """

    def close(self) -> None:
        """Give back connections; may be called twice."""
