"""The reference device: works offline, pushes what its user did, pulls and folds facts, verifies the chain.

An SDK of its own: it imports nothing of the server's. `Device` is where to begin.
"""

from client.device import Attention, Device, Head
from client.errors import AnotherAccount, BrokenLog, ClientError, MailFollows, Refused, SignedOut, Unavailable

__all__ = [
    "AnotherAccount",
    "Attention",
    "BrokenLog",
    "ClientError",
    "Device",
    "Head",
    "MailFollows",
    "Refused",
    "SignedOut",
    "Unavailable",
]
