"""What a program imports it holds as long as it lives: nothing that it has no use for."""

import subprocess
import sys

import pytest

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
