"""The documents as programs read them: their tables, their links, and the shell blocks that they tell people to run."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NOT_RUN = re.compile(r"<!-- not run: ([^>]+) -->\n\Z")
_STAYS = re.compile(r"<!-- runs until it is stopped -->\n\Z")
_BLOCK = re.compile(r"^```(sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What a document tells people to type, and why it is not run, or that it ends when somebody stops it.

    Blocks of one document in `bash` go into one bash, each in `sh` is typed on its own.
    """

    page: str
    shell: str
    text: str
    reason: str | None
    stays: bool


def pages() -> list[Path]:
    """Every document of the project, the README first."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = sorted(filter(None, listed.split("\0")), key=lambda name: (name != "README.md", name))
    return [ROOT / name for name in names if (ROOT / name).exists()]


def blocks() -> list[Block]:
    """Those of all documents, each in the order in which one reads it."""
    return [block for page in pages() for block in _blocks(page)]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        before = text[: found.start()]
        skipped = _NOT_RUN.search(before)
        yield Block(str(page.relative_to(ROOT)), found[1], found[2], skipped and skipped[1], bool(_STAYS.search(before)))


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of what tables have below `heading`, up to the next one of its kind; without their heads."""
    section = page.read_text().split(f"\n{heading}\n")[1].split(f"\n{heading.split()[0]} ")[0]
    found = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert found
    return found


def prose(text: str) -> str:
    """Without its blocks of code."""
    return _FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """What one can link to, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
