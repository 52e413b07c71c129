"""Fixtures for all tests: plugins by concern; and how hard the property tests try."""

import atexit
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.fixtures import memory

gc.disable()  # until all tests are loaded
pytest_plugins = [
    "tests.fixtures.database",
    "tests.fixtures.api",
    "tests.fixtures.statements",
    "tests.fixtures.instances",
    "tests.fixtures.loaded",
]

os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory.home()))  # of tmp_path; pytest reads it after this file

# Each HTTP client reads the authorities that it trusts, 140 of them where it is not told otherwise: some 30 ms. All servers
# here are on loopback; those that have a certificate tell whose.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data" / "no-authority.pem")

# httpcore tries to import it for every request, and looks through all of sys.path each time. For Python, None is not installed.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

# The same examples every time: a change lands or not for what is in it, never for the dice. `make fuzz` throws new ones.
settings.register_profile("short", max_examples=50, derandomize=True, deadline=None, database=None)
settings.register_profile("fuzz", max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")), deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# Servers in this process: a line for each request, and a drawing of each traceback, cost more than the requests.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ],
)


def pytest_collection_finish() -> None:
    """What importing all tests has made stays, and what a test makes goes by itself: looking for the rest took a tenth of all."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
    atexit.register(gc.unfreeze)  # later than pytest looks for all of it, five times; or libraries would take it for a leak


@pytest.fixture(autouse=True)
def _heard() -> None:
    """Sanic ignores SIGINT and SIGTERM in a process that it has served in, and programs that are started later inherit that."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
