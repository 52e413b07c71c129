"""Where links in messages lead: to our own small pages, and to a debt in whichever client people use."""

import re
from typing import Final
from urllib.parse import quote
from uuid import UUID

import msgspec

PLACES: Final = ("transaction_id", "contact_id")
"""What DEBITUM_APP_LINK may name in braces; the first it must."""


class Links(msgspec.Struct, frozen=True):
    """`public_url` is where the API is reached, without a slash at the end; `app` is the template of a link to a debt."""

    public_url: str
    app: str | None = None

    def debt(self, transaction_id: UUID, contact_id: UUID) -> str | None:
        """Opens the debt in a client; None where nobody has said how."""
        if self.app is None:
            return None
        return self.app.replace("{transaction_id}", str(transaction_id)).replace("{contact_id}", str(contact_id))

    def page(self, name: str, token: str) -> str:
        """One of our own pages."""
        return f"{self.public_url}/{name}?token={quote(token)}"


def read_app_link(text: str) -> str | None:
    """The template in DEBITUM_APP_LINK; an empty one is none. Raises ValueError."""
    if not text:
        return None
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+", text) or text.lower().startswith(("javascript:", "data:")):
        raise ValueError(f"{text!r} is not a link such as https://app.example.org/debts/{{transaction_id}}")
    named = re.findall(r"\{([^{}]*)\}", text)
    if PLACES[0] not in named or not set(named) <= set(PLACES) or re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
        places = " and ".join(f"{{{place}}}" for place in PLACES)
        raise ValueError(f"{text!r} may name {places}, and nothing else in braces; it must name the first")
    return text
