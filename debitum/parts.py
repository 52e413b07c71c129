"""The parts of a running Debitum by name: one `debitum up` runs all but the worker, or some while others run elsewhere."""

from typing import Final

API: Final = "api"
CODE_SERVER: Final = "code-server"
WEBSERVER: Final = "dagster"
DAEMON: Final = "daemon"
WORKER: Final = "worker"
"""Takes steps of runs from Celery's broker; there may be several, each on a data folder of its own."""
ALL: Final = (API, CODE_SERVER, WEBSERVER, DAEMON)
"""What there has to be."""
OF_DAGSTER: Final = frozenset({*ALL, WORKER}) - {API}
SEND: Final = frozenset({CODE_SERVER, WORKER})
"""Hand mails and pushes to their providers."""
ASK_THE_CODE_SERVER: Final = frozenset({WEBSERVER, DAEMON})


def parse(value: str) -> frozenset[str]:
    """The parts that `value` names, by commas. Raises ValueError."""
    named = frozenset(name.strip() for name in value.split(","))
    known = (*ALL, WORKER)
    if unknown := sorted(named - set(known)):
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return named
