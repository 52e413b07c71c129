"""E-mail addresses: one spelling of each, by which they are kept and compared, and the one in which mails carry them."""

import idna

_PUNYCODE = "xn--"


def canonical(address: str) -> str:
    """How an address is kept: lower-cased, its domain in the script that people read. What is not a valid domain stays as it is.

    Providers write `bücher.example` as DNS does, and people may sign in with either spelling: both are one mailbox.
    """
    local, at, domain = address.lower().rpartition("@")
    if domain.isascii() and _PUNYCODE not in domain:
        return f"{local}{at}{domain}"
    try:
        return f"{local}{at}{idna.decode(ascii_domain(domain)).lower()}"
    except UnicodeError:  # idna's own errors are of this kind
        return f"{local}{at}{domain}"


def ascii_domain(domain: str) -> str:
    """`domain` as DNS has it, by IDNA 2008; Python's own codec (2003) turns faß.de into another's fass.de. Raises IDNAError."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True, transitional=False).decode("ascii")
