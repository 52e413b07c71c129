"""Tables for the pages of runs and checks. No ids and no amounts go into them: what Dagster remembers outlives the ledgers."""

from collections.abc import Iterable, Sequence


def table(names: Sequence[str], rows: Iterable[Sequence[object]], *, otherwise: str = "") -> str:
    """A line for each of `rows`, numbers to the right; where there are none `otherwise`."""
    cells = [list(row) for row in rows]
    if not cells:
        return otherwise
    sides = ["---:" if isinstance(cell, int) else "---" for cell in cells[0]]
    lines = [f"| {' | '.join(names)} |", f"|{'|'.join(sides)}|"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join(lines)
