"""The second part of `make fuzz`: the running server against its own OpenAPI document. The last line is JSON."""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.faults import scenes
from tests.fuzz.user import User
from tests.fuzz.wire import Figures, fuzz

SEED = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().getrandbits(32))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES_PER_OPERATION", "200"))


def _as_two_users(url: str) -> list[Figures]:
    with User.registered(url) as first, User.registered(url) as second:
        return _tried(url, first, second)


def _tried(url: str, first: User, second: User) -> list[Figures]:
    runs = []
    for name, user, other in (("first", first, None), ("second", second, first)):
        began, before = time.monotonic(), first.state()
        figures = fuzz(url, user, other=other, seed=SEED, examples=EXAMPLES)
        if other is not None and first.state() != before:
            figures.add("another_users_data", "any", "the first user's ledger has changed while only the second one asked")
        spent = time.monotonic() - began
        print(
            f"as the {name} user: {figures.examples.total()} requests, {figures.successes.total()} done, {spent:.0f} s",
            flush=True,
        )
        fewest, label = min((count, label) for label, count in figures.examples.items())
        print(f"fewest requests: {fewest}, {label}", flush=True)
        for (check, label), example in figures.shown.items():
            print(f"\n{check}, {label}, {figures.found[check, label]} times:\n{example}\n", flush=True)
        runs.append(figures)
    return runs


async def _run() -> list[Figures]:
    with tempfile.TemporaryDirectory(prefix="debitum-fuzz-") as name, scenes.postgres(Path(name) / "data") as database_url:
        async with scenes.api(Path(name), database_url, 1, {"DEBITUM_TRUSTED_PROXIES": "1"}) as process:
            runs = await asyncio.to_thread(_as_two_users, process.url)
            for failed in process.said("request_failed"):
                print(msgspec.json.encode(failed).decode())
                runs[0].add("request_failed", "any", str(failed["id"]))
            return runs


def main() -> None:
    """Exits with 1 where something does not hold; each kind of it is shown once."""
    print(f"FUZZ_SEED={SEED} FUZZ_EXAMPLES_PER_OPERATION={EXAMPLES}", flush=True)
    runs = asyncio.run(_run())
    total = {
        "operations": len({label for figures in runs for label in figures.examples}),
        "examples": sum(figures.examples.total() for figures in runs),
        "server_errors": sum(figures.server_errors for figures in runs),
        "mismatches": sum(figures.mismatches for figures in runs),
    }
    never = sorted(set(runs[0].examples) - {label for figures in runs for label, count in figures.successes.items() if count})
    print(f"\nnever done: {', '.join(never) or 'none'}")
    print(msgspec.json.encode(total).decode(), flush=True)
    sys.exit(1 if total["server_errors"] or total["mismatches"] else 0)


main()
