"""What writes a log does not take rich along, whose drawings of exceptions show values."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("structlog" in sys.modules, "rich" in sys.modules)
"""


@pytest.mark.parametrize("program", ["api.__main__", "debitum.supervisor", "pipelines.__main__ dagster._daemon.cli"])
def test_a_program_stays_small(program: str) -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM, *program.split()], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "False"]
