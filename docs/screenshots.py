"""Takes the pictures of docs/images: `python docs/screenshots.py`, with Chromium on the PATH and a stack of its own.

The people in them are invented: random ledgers of the last weeks, and what Dagster makes of them.
"""

import base64
import datetime
import io
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image
from sqlalchemy import Connection
from websockets.sync.client import connect

from debitum import demo_stack, schema, settings
from debitum.demo_stack import DemoError, Stack
from tests.fixtures import chromium
from tests.storage import logs, test_snapshot_tables
from tests.storage.rows import Ledger
from tests.storage.test_ledgers import RING

IMAGES = Path(__file__).parent / "images"
PAGES: dict[str, tuple[str, str | None]] = {
    "assets": ("/asset-groups", None),
    "analytics": ("/assets/analytics", None),
    "net": ("/assets/analytics", "[Show Markdown]"),
    "audit": ("/assets/ledger_audit?view=checks", None),
    "partitions": ("/assets/transactions_daily?view=partitions", None),
    "runs": ("/runs", None),
    "automation": ("/automation", None),
}
"""Where each is, and what is clicked on there."""
SIZE = (1440, 1000)
COLOURS = 128
LOADING_SECONDS = 8.0
"""A page goes on asking for what it shows, and never says that it has all of it."""
LEDGERS, DAYS = 14, 28


def main() -> int:
    """0 where every page was taken."""
    if (program := chromium.program()) is None:
        print(chromium.MISSING, file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, demo_stack.own(Path(folder, "stack"), print, {"DEBITUM_KEYS": RING}) as stack:
        fill(stack)
        first = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=DAYS)).date()
        yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
        ranged = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(yesterday)}
        for job, tags in (
            ("materialise_balances", {}),
            ("finish_snapshots", ranged),
            ("check_balances", {}),
            ("audit", {}),
            ("retention", {}),
            ("erasure", {}),
        ):
            launch(stack, job, tags)
        browser = Browser(program, Path(folder, "profile"))
        for name, (path, click) in PAGES.items():
            browser.take(f"{stack.dagster}{path}", click, IMAGES / f"dagster-{name}.png")
        browser.close()
    return 0


def fill(stack: Stack) -> None:
    """Ledgers with a past, and attempts to tell their owners of it."""
    where = settings.load({}, stack.data_dir / "none.env", {"DEBITUM_DATA_DIR": str(stack.data_dir)})
    now = datetime.datetime.now(datetime.UTC)
    with schema.opened(where, "debitum-screenshots") as found:
        with found.begin() as connection:
            pasts = list(past_ledgers(connection, now))
        dice = random.Random(4)  # noqa: S311 - a picture
        for number, past in zip(range(10 * DAYS), itertools.cycle(pasts)):
            at = now - datetime.timedelta(days=DAYS - number / 10, hours=1)
            outcomes = dice.choice((["sent"], ["sent"], ["sent"], ["transient", "sent"], ["permanent"]))
            state = "sent" if outcomes[-1] == "sent" else "dead"
            with found.connect() as connection:
                ledger = Ledger(connection, id=past.ledger_id)
            test_snapshot_tables.send(found, ledger, f"due {number}", at, *outcomes, state=state)


def past_ledgers(connection: Connection, now: datetime.datetime) -> Iterator[logs.Past]:
    """Each began on a day of its own."""
    for number in range(LEDGERS):
        days = DAYS - number
        begun = now - datetime.timedelta(days=days)
        length = 20 + 6 * days
        yield logs.past(connection, 40 + number, begun, datetime.timedelta(days=days) / (length + 1), length=length)


def launch(stack: Stack, job: str, tags: dict[str, str]) -> None:
    """Have Dagster run a job, and wait for its end."""
    run = None
    while run is None:
        try:
            run = demo_stack.launch(stack.dagster, job, tags)
        except (httpx.HTTPError, DemoError) as error:  # it is still starting
            print(f"{job}: {error}")
            time.sleep(demo_stack.LOOK_SECONDS)
    while (status := demo_stack.status(stack.dagster, run)) not in demo_stack.ENDED:
        time.sleep(demo_stack.LOOK_SECONDS)
    print(f"{job}: {status}")


class Browser:
    """Chromium without a window, spoken to by its own protocol."""

    def __init__(self, program: str, profile: Path) -> None:
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ]
        self._process = subprocess.Popen([program, *arguments, "about:blank"], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        address = next(line for line in self._process.stderr if "DevTools listening on" in line).split()[-1]
        port = urlsplit(address).port
        [page] = [one for one in httpx.get(f"http://127.0.0.1:{port}/json").json() if one["type"] == "page"]
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None)
        self._asked = 0
        self._ask("Emulation.setDeviceMetricsOverride", width=SIZE[0], height=SIZE[1], deviceScaleFactor=1, mobile=False)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != self._asked:
            pass
        found: dict[str, Any] = answer["result"]
        return found

    def take(self, url: str, click: str | None, picture: Path) -> None:
        """The page as a picture of few colours, after a click on the element that says `click`."""
        self._ask("Page.navigate", url=url)
        time.sleep(LOADING_SECONDS)
        if click is not None:
            says = f"one.textContent === {json.dumps(click)}"
            innermost = f"[...document.querySelectorAll('*')].filter(one => {says} && !one.children.length)[0]"
            self._ask("Runtime.evaluate", expression=f"{innermost}.click()")
            time.sleep(LOADING_SECONDS)
        shot = base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])
        with Image.open(io.BytesIO(shot)) as full:
            full.convert("RGB").quantize(COLOURS).save(picture, optimize=True)
        print(f"{picture.name}: {picture.stat().st_size // 1024} KiB")

    def close(self) -> None:
        """Ask it to end: what was begun here may be a script around it, whose end would not be the browser's."""
        self._ask("Browser.close")
        self._socket.close()
        self._process.communicate()


if __name__ == "__main__":
    sys.exit(main())
