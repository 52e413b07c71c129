"""What a program imports it holds as long as it lives: nothing that it has no use for."""

import base64
import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*(name for name in ("structlog", "rich", "alembic", "pygments") if sys.modules.get(name)))
"""


@pytest.mark.parametrize(
    ("program", "held"),
    [
        ("api.__main__ api.server", {"structlog"}),
        ("debitum.supervisor", {"structlog"}),
        ("pipelines.__main__ dagster._daemon.cli", {"structlog", "alembic"}),  # Dagster wants Alembic
    ],
)
def test_a_program_stays_small(program: str, held: set[str]) -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM, *program.split()], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == held


SUPERVISOR = """
import os, sys
from pathlib import Path
from debitum import cli, probe, saying, settings, supervisor
settings.load(os.environ, Path("none.env"))
print(*sys.modules)
"""


@pytest.mark.parametrize("has_key", [True, False])
def test_to_read_the_settings_takes_none_of_those_who_will_use_them(has_key: bool) -> None:
    """The supervisor holds what it has loaded for as long as it runs, and each probe of a container loads it again."""
    der = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    environment = {**os.environ, "SENDGRID_WEBHOOK_KEY": base64.b64encode(der).decode() if has_key else ""}
    told = subprocess.run([sys.executable, "-c", SUPERVISOR], capture_output=True, text=True, check=True, env=environment)
    loaded = set(told.stdout.split())
    assert {"sqlalchemy", "alembic", "dagster", "sanic", *(() if has_key else ("sendgrid",))}.isdisjoint(loaded)
    assert loaded > {"debitum.supervisor", *(("sendgrid",) if has_key else ())}
