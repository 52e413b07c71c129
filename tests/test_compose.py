"""The Dockerfile and docker-compose.yml: what they promise by rules, and that what they start works together."""

import asyncio
import base64
import configparser
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from websockets.exceptions import InvalidStatus

from debitum import demo, demo_stack, parts
from debitum.demo_stack import DemoError, Stack
from storage import embedded
from storage.encryption import new_ring
from tests.fixtures import composed, edge, logs, memory
from tests.fixtures.composed import FILE, ROOT, Composed
from tests.fixtures.edge import Edge

SERVICES: Mapping[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != composed.DATABASE}
LONG_RUNNING = sorted(set(SERVICES) - {"migrate"})
SECRETS = {"POSTGRES_PASSWORD": "f" * 48, "DEBITUM_KEYS": new_ring()}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    for published in SERVICES[name].get("ports", ()):
        host, _, inside = published.split(":")
        assert host == "127.0.0.1"
        setting = "DEBITUM_PORT" if "api" in name else "DEBITUM_DAGSTER_PORT"
        assert SERVICES[name]["environment"][setting] == inside
        assert inside in composed.last("EXPOSE").split()


def test_what_is_published_is_the_api_and_the_pages() -> None:
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {*("api", "api-2", "dagster", "dagster-view")}
    published = [each for service in SERVICES.values() for each in service.get("ports", ())]
    assert len(published) == len({each.rsplit(":", 1)[0] for each in published})


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_is_started_again(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert SERVICES[name]["restart"] == ("on-failure:3" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_keeps_running_is_asked_for_its_health(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert check["retries"] > 0
    assert composed.seconds(check["timeout"]) <= composed.seconds(check["interval"])
    assert composed.seconds(check["start_period"]) >= 60


def test_who_needs_something_waits_until_it_is_healthy_or_done() -> None:
    for name, service in OURS.items():
        for needed, condition in service["depends_on"].items():
            expected = "service_completed_successfully" if needed == "migrate" else "service_healthy"
            assert condition == {"condition": expected}, name
    needs = {name: set(service.get("depends_on", ())) for name, service in SERVICES.items()}
    after_migration = {"postgres", "migrate"}
    assert needs["api"] == needs["api-2"] == needs["code-server"] == after_migration
    assert needs["dagster"] == needs["dagster-view"] == needs["daemon"] == after_migration | {"code-server"}


def test_the_services_run_every_part_once_and_others_again_when_asked() -> None:
    run = {name: service["environment"]["DEBITUM_PARTS"] for name, service in OURS.items() if name != "migrate"}
    assert (run.pop("api-2"), run.pop("dagster-view")) == ("api", "dagster")
    assert sorted(run.values()) == sorted(parts.ALL)
    asked = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert asked == {"api-2": ["scale"], "dagster-view": ["view"]}


def test_every_setting_is_one_that_the_manual_names() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    named = re.findall(r"^\| (.+?) \|", manual, flags=re.MULTILINE)
    known = {word for cell in named for word in re.findall(r"`([A-Z_]+)`", cell)}
    given = {name for service in OURS.values() for name in service["environment"]} | {"DEBITUM_DATA_DIR"}
    assert given <= known
    assert set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())) <= known


def test_nothing_starts_without_its_secrets() -> None:
    for name in SECRETS:
        rest = {other: value for other, value in SECRETS.items() if other != name}
        with pytest.raises(KeyError, match=name):
            composed.interpolated("".join(SERVICES["api"]["environment"].values()), rest)
    text = (ROOT / "docker-compose.yml").read_text()
    assert "POSTGRES_PASSWORD" not in re.sub(
        r"\$\{POSTGRES_PASSWORD:\?[^}]+\}|^ *POSTGRES_PASSWORD: ", "", text, flags=re.MULTILINE
    )


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [arguments.split()[0] for word, arguments in composed.instructions() if word == "FROM"]
    for image in images:
        assert re.fullmatch(r"\w+:\d+\.\d+(\.\d+)?(-[\w-]+)?(@sha256:[0-9a-f]{64})?", image), image
    assert {service["image"] for service in OURS.values()} == {f"debitum:{metadata.version('debitum')}"}


def test_nobody_in_a_container_of_ours_can_become_more_than_it_is() -> None:
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", composed.last("USER"))
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.get("user")
        assert not service.get("privileged")


def test_the_image_holds_no_compiler_and_runs_debitum_without_a_shell() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--only-binary :all:" in text
    assert "--require-hashes" in text
    assert not re.search(r"apt|gcc|build-essential", text)
    assert composed.last("ENTRYPOINT") == '["debitum"]'
    assert composed.last("HEALTHCHECK").endswith('CMD ["debitum", "probe"]')
    assert SERVICES["api"]["healthcheck"]["test"] == ["CMD", "debitum", "probe"]


def test_volumes_are_those_that_are_named_and_parts_share_what_they_must() -> None:
    places = {name: composed.volumes(service) for name, service in SERVICES.items()}
    assert {volume for each in places.values() for volume in each.values()} == set(FILE["volumes"])
    prepared = next(
        arguments for word, arguments in composed.instructions() if "install --directory" in arguments and word == "RUN"
    )
    for name in ("code-server", "dagster", "dagster-view", "daemon"):
        assert places[name] == {"/data": name, "/data/dagster/storage": "compute-logs", "/run/debitum": "code-socket"}
        assert all(f" {target}" in prepared for target in places[name]), "or it would belong to root"


def test_the_server_is_set_as_the_embedded_one_is() -> None:
    ini = configparser.RawConfigParser(inline_comment_prefixes=("#",))
    ini.read_string(f"[all]\n{embedded.CONFIGURATION}")
    own = {name: value.strip("'") for name, value in ini["all"].items()}
    del own["listen_addresses"]
    program, *options = SERVICES[composed.DATABASE]["command"]
    assert program == "postgres"
    assert dict(option.removeprefix("-c").split("=", 1) for option in options) == own


def test_the_wheel_is_made_of_what_the_dockerfile_copies(tmp_path: Path) -> None:
    stage = tmp_path / "src"
    stage.mkdir()
    for word, arguments in composed.instructions():
        if word == "COPY" and "--from" not in arguments:
            *sources, target = arguments.split()
            for source in sources:
                assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, stage / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, stage / target)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel"], cwd=stage, check=True, capture_output=True)
    [wheel] = (stage / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        inside = set(file.namelist())
    needed = {"debitum/workspace.yaml", "pipelines/dagster.yaml", f"debitum/samples/{demo.SAMPLE.name}", "debitum/probe.py"}
    assert needed <= inside
    tops = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert tops == {"api", "client", "debitum", "domain", "notifications", "pipelines", "storage", "telemetry"}


@pytest.fixture
def stack() -> Iterator[Composed]:
    """Outside of pytest's own folders, which Postgres's user may not enter when root runs the tests, and with a short path."""
    with tempfile.TemporaryDirectory(prefix="debitum-compose-", dir=memory.home()) as folder:
        Path(folder).chmod(0o755)
        made = Composed(Path(folder), SECRETS | {"DEBITUM_LOG_LEVEL": "info,dagster.run=debug"})
        try:
            yield made
        finally:
            made.clean_up()


_CAPTURED = "query Captured($key: [String!]!) { capturedLogs(logKey: $key) { stdout } }"


def _pages_show_what_a_run_wrote(stack: Composed, dagster: str, run_id: str) -> bool:
    """Whether the pages read the file that the run of another service has made; most of them are empty, so a line is added."""
    [file] = (stack.volume("compute-logs") / run_id / "compute_logs").glob("*.out")
    with file.open("a") as output:
        output.write("a line of a run\n")
    captured = demo_stack.ask_dagster(dagster, _CAPTURED, key=[run_id, "compute_logs", file.stem])["capturedLogs"]
    return "a line of a run" in str(captured["stdout"])


SPEAKERS = {
    "api.log": {"api"},
    "code-server.log": {"dagster.code_server", "dagster.run"},
    "dagster.log": {"dagster-webserver"},
    "dagster-daemon.log": {"dagster.daemon", "dagster.daemon.SensorDaemon"},
}
"""Who writes into a part's log at least."""


def check_that_every_line_of_every_log_has_one_shape(stack: Composed) -> None:
    for name in OURS.keys() - {"migrate"}:
        service = stack.running[name]
        told = logs.lines(service.said.read_text())
        assert {line["logger"] for line in told} == {"debitum"}
        assert [line["event"] for line in told][-1] == "stopping", name
        [*files] = (Path(service.environment["DEBITUM_DATA_DIR"]) / "logs").glob("*.log")
        for file in files:
            assert {line["logger"] for line in logs.lines(file.read_text())} >= SPEAKERS[file.name]
    of_runs = logs.lines((stack.volume("code-server") / "logs" / "code-server.log").read_text())
    ids = {line["run_id"] for line in of_runs if line["logger"] == "dagster.run"}
    assert ids >= {folder.parent.name for folder in stack.volume("compute-logs").glob("*/compute_logs")} != set()


_DELETE = "mutation Delete($run: String!) { deletePipelineRun(runId: $run) { __typename } }"


def check_that_those_who_only_look_change_nothing(stack: Composed, run_id: str) -> None:
    view = stack.address("dagster-view", "DEBITUM_DAGSTER_PORT")
    with pytest.raises(DemoError, match="UnauthorizedError"):
        demo_stack.launch(view, "remind")
    pause = {"query": "mutation{setAutoMaterializePaused(paused:true)}"}
    for headers, status in (
        ({"Accept": "image/*"}, 405),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
    ):
        assert httpx.get(f"{view}/graphql", params=pause, headers=headers).status_code == status
    assert demo_stack.ask_dagster(view, _DELETE, run=run_id)["deletePipelineRun"]["__typename"] == "UnauthorizedError"
    assert demo_stack.status(view, run_id) == "SUCCESS"


def check_that_the_pages_are_behind_a_login(stack: Composed, run_id: str) -> None:
    def place(service: str, port: str) -> str:
        return stack.address(service, port).removeprefix("http://")

    behind = (place("api", "DEBITUM_PORT"), place("dagster", "DEBITUM_DAGSTER_PORT"))
    folder = stack.volume("caddy")
    with edge.running(folder, debitum_at=behind[0], dagster_at=behind[1]) as caddy:
        client = caddy.client(edge.DAGSTER)
        for login in (None, (edge.LOGIN[0], "guessed")):
            refused = client.get("/runs", auth=login)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="restricted"')
        page = client.get("/runs", auth=edge.LOGIN)
        assert (page.status_code, "initialization-data" in page.text) == (200, True)
        own, foreign = (f"https://{host}:{caddy.port}" for host in (edge.DAGSTER, "elsewhere.example"))
        query = {"query": "{ version }"}
        asked = [client.post("/graphql", json=query, headers={"Origin": one}, auth=edge.LOGIN) for one in (own, foreign)]
        assert [answer.status_code for answer in asked] == [200, 403]
        asyncio.run(_check_that_pages_are_told_of_runs(caddy, run_id))
        assert edge.LOGIN[1] not in caddy.said()


async def _check_that_pages_are_told_of_runs(caddy: Edge, run_id: str) -> None:
    """The page of a run asks for its events on a WebSocket."""
    with pytest.raises(InvalidStatus, match="401"):
        async with caddy.socket(edge.DAGSTER, "/graphql"):
            pass
    login = base64.b64encode(":".join(edge.LOGIN).encode()).decode()
    socket = caddy.socket(
        edge.DAGSTER, "/graphql", subprotocols=["graphql-ws"], additional_headers={"Authorization": f"Basic {login}"}
    )
    events = f'subscription {{ pipelineRunLogs(runId: "{run_id}") {{ __typename }} }}'
    async with socket as talk, asyncio.timeout(30):
        await talk.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await talk.recv())["type"] == "connection_ack"
        await talk.send(json.dumps({"id": "1", "type": "start", "payload": {"query": events}}))
        while (said := json.loads(await talk.recv()))["type"] != "data":
            pass
    assert said["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionSuccess"


def test_what_the_services_run_does_what_the_demo_shows(stack: Composed) -> None:
    stack.until_healthy(["api"])
    with httpx.Client(base_url=stack.address("api", "DEBITUM_PORT"), timeout=30) as api:
        user = demo.register(api)
        at = demo.write_down_what_is_due(api)  # while Dagster starts: the minute passes meanwhile
        stack.until_healthy(SERVICES)
        dagster = stack.address("dagster", "DEBITUM_DAGSTER_PORT")
        demo_stack.launch(dagster, "snapshot_today", {"dagster/partition": f"{at:%Y-%m-%d}"})  # by hand, not to wait for ticks
        time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()) + 1)  # before, nothing is due
        reminding = demo_stack.launch(dagster, "remind")
        seen = Stack(str(api.base_url), dagster, stack.volume("code-server"))
        findings = demo.wait_for_dagster(seen, api, user, Console(file=io.StringIO()))
        assert [finding for finding in findings if not finding.right] == []

        second = httpx.get(
            f"{stack.address('api-2', 'DEBITUM_PORT')}/api/balances", headers={"Authorization": api.headers["Authorization"]}
        )
        assert second.json() == api.get("/api/balances").json()
        assert _pages_show_what_a_run_wrote(stack, dagster, reminding)
        check_that_those_who_only_look_change_nothing(stack, reminding)
        check_that_the_pages_are_behind_a_login(stack, reminding)

    codes = stack.stop()
    check_that_every_line_of_every_log_has_one_shape(stack)
    assert codes == dict.fromkeys(codes, 0)
    assert stack.clean_up() == []
