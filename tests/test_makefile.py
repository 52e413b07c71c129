"""What make does with a checkout."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_checkout_may_lie_in_a_folder_whose_name_has_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my projects"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", *(path.name for path in ROOT.glob("requirements*.lock"))):
        shutil.copy(ROOT / name, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    said = subprocess.check_output(["make", "--dry-run", "check", ".cache/scale/stamp"], cwd=folder, env=environment, text=True)
    words = shlex.split(said)
    assert f"VIRTUAL_ENV={folder}/.venv" in words
    assert f"VIRTUAL_ENV={folder}/.cache/scale" in words
    assert not [word for word in words if word.startswith("projects/")]
