"""ihatemoney, which keeps shared bills, as its users run it: gunicorn, Postgres, and a bill by POST with its Bearer token.

More than ours: the amount is a formula, the names of 160 currencies are looked up for the choice of the form, a bill may be for
several people (here it is for one, with one who paid: a debt like ours). Its history keeps who changed what, a second row beside
each. Less than ours: a project is no sequence that devices follow; no hash, no conflict, no idempotent retry, no postings (sums
are made when somebody looks), no currency but the project's, one code for all members of a project.

It may have what it likes: two workers where ours has one, and as many connections as it answers fastest.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import msgspec
import psycopg

from bench import load
from bench.harness import Api
from bench.peers import running
from bench.peers.running import Database

PROJECTS: Final = 20
"""That are written to at random, so that no row is everybody's; to create one, its code is hashed four times."""
WORKERS, THREADS = 2, 4
CONNECTIONS: Final = (8, 16, 32, 64)
CODE: Final = "a long sentence"
SETTINGS: Final = """
SQLALCHEMY_DATABASE_URI = {uri!r}
SECRET_KEY = "of this benchmark only"
ACTIVATE_DEMO_PROJECT = False
MAIL_SUPPRESS_SEND = True
"""


class Ihatemoney:
    """A running server with its projects."""

    def __init__(self, server: Api, database: Database) -> None:
        self._server, self._database = server, database
        self._requests = [_project(server, number) for number in range(PROJECTS)]
        self._acknowledged = 0
        self.connections = max(CONNECTIONS, key=lambda connections: self._drive(connections, running.TRY_SECONDS))
        """How many it likes best."""

    def drive(self, seconds: float) -> float:
        """Bills a second; everything is accepted."""
        return self._drive(self.connections, seconds)

    def _drive(self, connections: int, seconds: float) -> float:
        found = load.drive(self._server.url, self._requests, connections, seconds, 201)
        found.check()
        self._acknowledged += found.good
        return found.per_second

    def check(self) -> None:
        """Every bill that was acknowledged is there, for one person."""
        with psycopg.connect(self._database.url) as connection:
            [(bills, owed)] = connection.execute(
                "select (select count(*) from bill), (select count(*) from billowers)"
            ).fetchall()
        assert bills == owed == self._acknowledged, f"{bills} bills, {owed} owed, {self._acknowledged} acknowledged"


@contextmanager
def run(environment: Path, url: str) -> Iterator[Ihatemoney]:
    """On the server of the database at `url`."""
    database = running.database(url, "ihatemoney")
    with TemporaryDirectory(prefix="debitum-bench-") as folder:
        settings = Path(folder) / "settings.py"
        settings.write_text(SETTINGS.format(uri=database.url.replace("postgresql:", "postgresql+psycopg2:", 1)))
        environ = running.environ(environment, IHATEMONEY_SETTINGS_FILE_PATH=str(settings))
        _migrate(environment, environ)
        port = running.free_port()
        with running.serve(_gunicorn(environment, port), port, environ) as server:
            yield Ihatemoney(server, database)


def _migrate(environment: Path, environ: dict[str, str]) -> None:
    """Before it is served: each worker would do it, and they would be in each other's way."""
    command = [str(environment / "bin" / "python"), "-c", "from ihatemoney.run import create_app; create_app()"]
    subprocess.run(command, check=True, env=environ, capture_output=True)


def _gunicorn(environment: Path, port: int) -> Sequence[str]:
    """Connections stay open, as with ours."""
    options = {"--workers": WORKERS, "--threads": THREADS, "--keep-alive": 75, "--bind": f"127.0.0.1:{port}"}
    arguments = [str(one) for option in options.items() for one in option]
    return [str(environment / "bin" / "gunicorn"), "--worker-class", "gthread", *arguments, "ihatemoney.wsgi:application"]


def _project(server: Api, number: int) -> bytes:
    """A project with two members, and the request for a bill in it."""
    name = f"project-{number}"
    with httpx.Client(base_url=f"{server.url}/api", timeout=30.0) as client:
        described = {"name": name, "id": name, "password": CODE, "contact_email": "sam@example.org", "default_currency": "EUR"}
        client.post("/projects", json=described).raise_for_status()
        client.auth = httpx.BasicAuth(name, CODE)
        members = []
        for member in ("Sam", "Ana"):
            answer = client.post(f"/projects/{name}/members", json={"name": member}).raise_for_status()
            members.append(answer.json())
        token = client.get(f"/projects/{name}/token").raise_for_status().json()["token"]
    bill = {
        "date": "2026-11-20",
        "what": "lunch and taxi to the concert",
        "payer": members[0],
        "payed_for": [members[1]],
        "amount": "12.50",
        "original_currency": "EUR",
        "bill_type": "Expense",
    }
    return load.request("POST", f"/api/projects/{name}/bills", token, msgspec.json.encode(bill))
