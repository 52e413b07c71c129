"""The dashboard, the alert rules and the runbook say what a scrape of the running server says."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import promql_parser
import pytest
import yaml
from websockets.asyncio.client import connect

from api import sockets
from tests.api.test_feed import hear
from tests.api.test_metrics import Scrape, scraped
from tests.fixtures.database import cloned
from tests.fixtures.instances import instance_at
from tests.fixtures.process import Process

DOCS = Path(__file__).parent.parent / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus adds itself, and its labels."""
ADDED = {"job", "instance"}
"""Labels that Prometheus adds to everything."""
RARE = {"status"}
"""Labels not all of whose values occur in a scrape of a server that is well."""
SEVERITIES = {"page", "ticket"}
SETTLED_SECONDS = 10


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DOCS / "grafana.json").read_text())["panels"]
    return found


def expressions() -> list[str]:
    """Grafana's variables as Grafana would fill them in."""
    drawn = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    filled = [one.replace("$__rate_interval", "1m").replace("$instance", ".*") for one in drawn]
    return [*filled, *(rule["expr"] for rule in rules())]


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Every place where a metric is read."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (part := getattr(expression, name, None)) is not None:
            yield from selectors(part)
    for argument in getattr(expression, "args", ()):
        yield from selectors(argument)


def groupings(expression: Any) -> Iterator[tuple[set[str], set[str]]]:
    """The labels by which something is summed up, and the metrics that it is made of."""
    if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier is not None:
        yield set(expression.modifier.labels), {one.name for one in selectors(expression.expr) if one.name}
    for name in ("expr", "lhs", "rhs"):
        if (part := getattr(expression, name, None)) is not None:
            yield from groupings(part)
    for argument in getattr(expression, "args", ()):
        yield from groupings(argument)


@pytest.fixture(scope="module")
def told(server: str, tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """A scrape of `python -m api` after some traffic, with Dagster's storage in the same Postgres."""
    folder = tmp_path_factory.mktemp("monitored")
    with cloned(server) as url:
        write_a_snapshot(url, folder)
        return asyncio.run(traffic(url, folder))


def write_a_snapshot(url: str, folder: Path) -> None:
    """And a backup, so far as Dagster's event log knows."""

    @dg.asset
    def balances_daily() -> None:
        pass

    @dg.asset
    def backup() -> None:
        pass

    with instance_at(url, folder) as instance:
        assert dg.materialize([balances_daily, backup], instance=instance).success


async def traffic(url: str, folder: Path) -> Scrape:
    running = Process(folder, url, workers=2)
    try:
        await running.listens()
        signed_in = await running.register()
        token = signed_in["access_token"]
        address = running.url.replace("http", "ws") + sockets.PATH
        async with (
            httpx.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
            connect(address) as socket,
        ):
            await socket.send(json.dumps({"type": "auth", "token": token}))
            await hear(socket)
            assert (await http.post("/api/contacts", json={"name": "Ana"})).status_code == 201
            await hear(socket)
            assert (await http.get("/api/balances")).status_code == 200
            async with asyncio.timeout(SETTLED_SECONDS):
                while (found := await scraped(http)).value("debitum_api_workers") < 2:  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(0.1)
            return found
    finally:
        running.close()


def labels_of(told: Scrape, name: str) -> dict[str, set[str]]:
    """The values of each label of a metric."""
    found: dict[str, set[str]] = {}
    for sample in told.samples:
        if sample.name == name:
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_reads_what_is_there(told: Scrape, expression: str) -> None:
    parsed = promql_parser.parse(expression)
    read = list(selectors(parsed))
    assert read
    for selector in read:
        assert selector.name is not None
        assert selector.name in told.names() | PROMETHEUS.keys()
        known = labels_of(told, selector.name)
        for matcher in selector.matchers.matchers:
            assert matcher.name in known.keys() | ADDED, f"{selector.name} has no label {matcher.name}"
            if matcher.op == promql_parser.MatchOp.Equal and matcher.name not in RARE | ADDED:
                assert matcher.value in known[matcher.name], f"no {selector.name} has {matcher.name}={matcher.value}"
    for labels, names in groupings(parsed):
        for name in names:
            assert labels <= labels_of(told, name).keys() | ADDED, f"{name} has not all of {labels}"


def test_an_expression_that_reads_what_is_not_there_is_found(told: Scrape) -> None:
    for wrong in ("sum(debitum_nothing)", 'debitum_commits_total{outcome="lost"}', "sum by (pool) (debitum_commits_total)"):
        with pytest.raises(AssertionError):
            test_every_expression_reads_what_is_there(told, wrong)
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse("sum(rate(debitum_commits_total)")


def test_the_scrape_says_when_a_snapshot_was_written(told: Scrape) -> None:
    [written] = [one for one in told.samples if one.name == "debitum_snapshot_written_timestamp_seconds"]
    assert written.labels == {"table": "balances_daily"}
    assert abs(written.value - told.value("debitum_backup_written_timestamp_seconds")) < 600
    alive = told.value("debitum_outbox_oldest_ready_seconds")
    assert 0 < alive < 600


def test_every_metric_is_documented_and_every_documented_one_is_there(told: Scrape) -> None:
    section = OPERATIONS.split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `debitum_")]
    documented = {name: set(re.findall(r"`(\w+)`", row[1])) for row in rows for name in re.findall(r"`(debitum_\w+)`", row[0])}
    there = {
        sample.name if family.type != "histogram" else family.name: sample.labels.keys() - {"le"}
        for family in told.families
        for sample in family.samples
    }
    assert {name: set(labels) for name, labels in there.items()} == documented


def test_every_metric_is_on_the_dashboard_or_in_a_rule(told: Scrape) -> None:
    read = {
        selector.name for expression in expressions() for selector in selectors(promql_parser.parse(expression)) if selector.name
    }
    parts = re.compile("_(bucket|sum|count)$")
    assert {parts.sub("", name) for name in told.names()} == {parts.sub("", name) for name in read} - PROMETHEUS.keys()


def test_every_rule_leads_to_a_section_of_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 10
    for rule in found:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, rule["annotations"]["summary"] != "") == ("docs/operations.md", True)
        assert anchor in anchors, rule["alert"]
        assert rule["labels"]["severity"] in SEVERITIES


def test_panels_stand_beside_each_other_and_each_has_a_number_of_its_own() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in found
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
