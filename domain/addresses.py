"""E-mail addresses: one spelling of each, by which they are kept and compared, and the one in which mails carry them."""

import idna

_PUNYCODE = "xn--"


def canonical(address: str) -> str:
    """How an address is kept: lower-cased, its domain in the script that people read. What is no domain stays as it is.

    A provider tells of `bücher.example` as DNS has it, and people may sign in with either: both are one mailbox.
    """
    local, at, domain = address.lower().rpartition("@")
    if domain.isascii() and _PUNYCODE not in domain:
        return f"{local}{at}{domain}"
    try:
        return f"{local}{at}{idna.decode(ascii_domain(domain)).lower()}"
    except UnicodeError:  # idna's own errors are of this kind
        return f"{local}{at}{domain}"


def ascii_domain(domain: str) -> str:
    """As DNS has it, by IDNA 2008: Python's own codec is of 2003, to which faß.de is another's fass.de. Raises IDNAError."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True, transitional=False).decode("ascii")
