"""The parts of a running Debitum by name: one `debitum up` runs all of them, or some while others run elsewhere."""

from typing import Final

API: Final = "api"
CODE_SERVER: Final = "code-server"
WEBSERVER: Final = "dagster"
DAEMON: Final = "daemon"
ALL: Final = (API, CODE_SERVER, WEBSERVER, DAEMON)
OF_DAGSTER: Final = frozenset(ALL) - {API}


def parse(value: str) -> frozenset[str]:
    """The parts that `value` names, by commas. Raises ValueError."""
    named = frozenset(name.strip() for name in value.split(","))
    if unknown := sorted(named - set(ALL)):
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(ALL)}")
    return named
