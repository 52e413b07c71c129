"""The files of docs/conformance: where they are, how they are written, and the list of them in the README."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "conformance"
CASES = FOLDER / "cases"
README = FOLDER / "README.md"
WIDTH = 130
_LIST = re.compile(r"(?<=<!-- begin: cases -->\n).*?(?=<!-- end -->)", re.DOTALL)


def load(path: Path) -> dict[str, Any]:
    """A case."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    return found


def pretty(value: Any, indent: str = "") -> str:
    """ASCII JSON, as many members on a line as fit there: a case is short, and a diff shows what has changed."""
    line = json.dumps(value)
    if len(indent) + len(line) < WIDTH or not value or not isinstance(value, dict | list):
        return line
    inner = indent + " "
    if isinstance(value, dict):
        return f"{{{_filled([f'{json.dumps(name)}: {pretty(one, inner)}' for name, one in value.items()], inner)}}}"
    return "[" + ",".join(f"\n{inner}{pretty(one, inner)}" for one in value) + "]"


def _filled(members: list[str], indent: str) -> str:
    lines = [members[0]]
    for member in members[1:]:
        joined = f"{lines[-1]}, {member}"
        if "\n" in lines[-1] or len(indent) + len(joined.split("\n")[0]) >= WIDTH:
            lines.append(member)
        else:
            lines[-1] = joined
    return f",\n{indent}".join(lines)


def listed(readme: str, cases: Iterable[dict[str, Any]]) -> str:
    """The README with the list of these cases."""
    lines = "".join(f"| [{case['name']}](cases/{case['name']}.json) | {case['about']} |\n" for case in cases)
    return _LIST.sub(lambda _: f"| case | what it shows |\n|---|---|\n{lines}", readme)
