"""README and docs/ name all that there is and nothing else, their links lead somewhere, and what they tell one to type works.

The blocks that take minutes are run by `make docs-test` (tests/manual).
"""

import ast
import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from api import sockets
from api.app import ROUTES
from debitum import cli
from domain import facts, retention
from tests.fixtures.api import Server
from tests.manual import documents
from tests.manual.documents import ROOT, Block
from tests.test_house import calls, modules

README, OPERATIONS, EVENTS = ROOT / "README.md", ROOT / "docs" / "operations.md", ROOT / "docs" / "events.md"
PREFIXES = ("DEBITUM_", "DATABASE_", "SENDGRID_", "SMTP_", "FCM_", "MAIL_", "OPERATOR_", "HEARTBEAT_", "POSTGRES_")
OF_THE_SUPERVISOR = {"DEBITUM_DAGSTER_DATABASE_URL", "DEBITUM_SUPERVISED"}
"""It sets them for its children."""
MOST_NOT_RUN = 8
PAGES = {sockets.PATH, "/docs", "/docs/openapi.json", "/webhooks/sendgrid", "/metrics"}
"""What is named beside the API's routes."""


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    text_of_a_name = re.compile(rf"\"((?:{'|'.join(PREFIXES)})[A-Z][A-Z_]*[A-Z])\"")
    others = [path for path in modules() if path.name != "spelling.py"]  # which only lists them
    read = {name for path in others for name in text_of_a_name.findall(path.read_text())}
    read |= {kind.setting for kind in retention.KINDS}
    read |= set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    rows = [*documents.rows(OPERATIONS, "## Settings"), *documents.rows(OPERATIONS, "## Retention")]
    documented = {name for cells in rows for name in re.findall(r"`([A-Z_]+)`", cells[0])}
    assert read - OF_THE_SUPERVISOR == documented
    assert all(f"`{name}`" in OPERATIONS.read_text() for name in OF_THE_SUPERVISOR)


def test_every_command_is_documented_and_every_documented_one_is_there() -> None:
    documented = [re.match(r"`debitum ([a-z -]*[a-z])", cells[0]) for cells in documents.rows(OPERATIONS, "## Commands")]
    assert {found[1] for found in documented if found} == {command.name for command in cli.COMMANDS}
    first_words = {command.name.split()[0] for command in cli.COMMANDS}
    for page in documents.pages():
        named = re.findall(r"`(?:\.venv/bin/)?debitum ([a-z]+)", page.read_text())
        assert set(named) <= first_words, page.name


def test_every_event_is_documented_and_every_documented_one_is_there() -> None:
    sections = {tuple(found) for found in re.findall(r"^### (\w+) ([A-Z]+)$", EVENTS.read_text(), re.MULTILINE)}
    assert sections == set(facts.PAYLOADS)


def test_every_line_of_the_log_is_documented_and_every_documented_one_is_written() -> None:
    written = {call.args[0] for _, call in calls(r"\(?_log\.(\w+)")}
    written |= {call.args[1] for _, call in calls(r"(self\._say|tell|say)$") if call.args[1:]}
    names = {event.value for event in written if isinstance(event, ast.Constant)}
    rows = documents.rows(OPERATIONS, "## Logs")
    assert names == {name for cells in rows for name in re.findall(r"`([a-z_]+)`", cells[0])}


def test_every_route_that_is_named_is_there() -> None:
    """That each route is in the OpenAPI document, which is its documentation, is tested beside it."""
    served = {re.sub(r"\{\w+\}", "*", route.path) for route in ROUTES} | PAGES
    named = re.compile(r"`(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/(?:api|health|docs|webhooks|metrics)[\w/{}.-]*)")
    for page in documents.pages():
        for path in named.findall(page.read_text()):
            asked = re.sub(r"\{\w+\}", "*", path)
            assert any(one == asked or one.startswith(f"{asked}/") for one in served), f"{page.name}: {path}"


@pytest.mark.parametrize("page", documents.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", documents.prose(page.read_text())):
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in documents.anchors(file.read_text()), target


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    skipped = [block for block in documents.blocks() if block.reason]
    assert len(skipped) <= MOST_NOT_RUN
    assert all(len(block.reason or "") > len("network") for block in skipped)
    assert [block.page for block in documents.blocks() if block.stays] == ["README.md"]


@pytest.mark.parametrize("block", documents.blocks(), ids=lambda block: f"{block.page} {block.text.splitlines()[0]}")
def test_every_block_is_shell(block: Block) -> None:
    parsed = subprocess.run([block.shell, "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


async def test_the_tour_of_the_readme(api: Server) -> None:
    """Everything is answered as it says there, and nothing by a problem."""
    tour = "".join(block.text for block in documents.blocks() if (block.page, block.shell) == ("README.md", "bash"))
    assert "http://127.0.0.1:8000" in tour
    script = f"set -euo pipefail\n{tour.replace('http://127.0.0.1:8000', api.url)}"
    ran = await asyncio.to_thread(
        subprocess.run, ["bash"], input=script, cwd=ROOT, text=True, capture_output=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"/docs/problems/' not in ran.stdout
    text = README.read_text()
    [shown] = re.findall(r"^```json\n(\{\"items\".*?)^```", text, re.MULTILINE | re.DOTALL)
    assert json.loads(shown) in [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"items"')]
    [(version, balance)] = re.findall(r"^```\n(version \d+), hash \w+\n(.+)\n```$", text, re.MULTILINE)
    assert re.search(rf"^{version}, hash \w{{64}}\n{balance}$", ran.stdout, re.MULTILINE), ran.stdout[-2_000:]
