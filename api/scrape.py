"""GET /metrics: what the server counts of itself, and what Postgres says, as Prometheus reads it; for operators alone."""

import asyncio
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import NotFound

from api import health, limits, problems, refusals, services
from api.metrics import SECONDS, Metrics
from api.routing import Response
from api.settings import Settings
from storage import revisions, vitals
from storage.vitals import Vitals

NAME: Final = "metrics"
REQUESTS: Final = "debitum_http_request_duration_seconds"
FRESH_SECONDS: Final = 5.0
"""How old an answer of Postgres may be; two Prometheuses that ask every worker cost no more than one."""
DEADLINE_SECONDS: Final = 2.0
"""For Postgres: whoever scrapes gives up after ten, and wants to hear the rest."""
FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip")
"""By which a proxy says that it asks for somebody else."""
_revision = revisions.newest()
_log = structlog.get_logger(__name__)


def install(app: "Sanic[Any, Any]", settings: Settings) -> None:
    """Serve the metrics of the server, to this machine alone or to whoever has the token."""
    look = _Look(settings.database_url)

    @app.route("/metrics", methods=["GET", "HEAD"], name=NAME)
    async def scrape(request: Request) -> HTTPResponse:
        _admit(request, settings.metrics_token)
        found = await look.now()
        here = services.of(request)
        here.metrics.say(here.gauges())
        return Response(write(here.metrics, found), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def write(counted: Metrics, found: Vitals | None) -> bytes:
    """What has been counted, and what Postgres has said, in Prometheus's text format; None: it says nothing."""
    totals, registry = counted.board.totals(), CollectorRegistry()
    registry.register(_Scrape(counted, totals, found))
    return "".join(_requests(counted, totals)).encode() + generate_latest(registry)


def _admit(request: Request, token: str) -> None:
    """Raises problems.Unauthorized, and where there is no token what a path raises that is not served, for those of elsewhere."""
    if token:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode()):
            raise problems.Unauthorized("the token of the metrics is wanted")
    elif not _is_from_here(request):
        raise NotFound


def _is_from_here(request: Request) -> bool:
    """Whether a program of this machine asks for itself.

    Behind proxies it is the client whom they name; who is named, but not by as many proxies as the setting says, is not
    from here. The Host is a name of this machine: a page in its browser can have a name of its own lead here.
    """
    forwarded = any(name in request.headers for name in FORWARDED)
    client = limits.parse(request.remote_addr if forwarded else request.ip)
    return client is not None and client.is_loopback and refusals.is_loopback(_host(request))


def _host(request: Request) -> str:
    """The name without its port."""
    name, _, port = request.host.rpartition(":")
    return (name if name and port.isdecimal() else request.host).strip("[]")


class _Look:
    """What Postgres said last, asked anew where that is no longer fresh; whoever comes meanwhile waits for the same answer."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._one_at_a_time = asyncio.Lock()
        self._found: Vitals | None = None
        self._asked_at = -FRESH_SECONDS

    async def now(self) -> Vitals | None:
        """None: Postgres does not answer."""
        async with self._one_at_a_time:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._found = await self._ask()
                self._asked_at = time.monotonic()
            return self._found

    async def _ask(self) -> Vitals | None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await vitals.ask(self._database_url, seconds=DEADLINE_SECONDS)
        except (psycopg.Error, OSError) as error:  # a TimeoutError is one; whatever it is, the rest is told
            _log.warning("metrics_without_database", error=type(error).__name__)
            return None


class _Scrape(Collector):
    """One answer: the totals of the board, and what Postgres said."""

    def __init__(self, counted: Metrics, totals: list[float], found: Vitals | None) -> None:
        self._counted = counted
        self._totals = totals
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Every metric but that of requests; docs/operations.md explains each."""
        yield _info("debitum_build", "The version of the code, and the revision of the schema that it needs.")
        yield from _writes(self._counted, self._totals)
        yield from _workers(self._counted, self._totals)
        yield _gauge("debitum_postgres_up", "Whether Postgres answered.", self._found is not None)
        if self._found is not None:
            yield from _database(self._found)


def _requests(counted: Metrics, totals: list[float]) -> Iterator[str]:
    """Only what has been asked for: most routes never answer with most classes.

    Written here: prometheus-client needs ten times as long for a line, and these are thousands, for which requests would wait.
    """
    yield f"# HELP {REQUESTS} From the head of a request to the head of its answer.\n# TYPE {REQUESTS} histogram\n"
    for one in counted.series:
        buckets, total = SECONDS.read(totals, one.at)
        if count := buckets[-1][1]:
            labels = f'method="{one.method}",route="{one.route}",status="{one.status}"'  # nothing in them has to be escaped
            for bound, up_to in buckets:
                yield f'{REQUESTS}_bucket{{le="{bound}",{labels}}} {up_to}\n'
            yield f"{REQUESTS}_count{{{labels}}} {count}\n{REQUESTS}_sum{{{labels}}} {total}\n"


def _writes(counted: Metrics, totals: list[float]) -> Iterator[Metric]:
    for name, text, label, cells in (
        ("debitum_commits", "Transactions that write, each of many pushes.", "outcome", counted.commits),
        ("debitum_commands", "Commands that were decided.", "outcome", counted.commands),
        ("debitum_pushes_refused", "Pushes of which nothing was decided.", "reason", counted.refused),
    ):
        family = CounterMetricFamily(name, text, labels=(label,))
        for value, cell in cells.items():
            family.add_metric((value,), totals[cell])
        yield family
    yield _histogram("debitum_commit_duration_seconds", "Of a transaction that writes.", totals, counted.commit_seconds)
    yield _histogram("debitum_feed_delay_seconds", "From a commit to a socket that is told of it.", totals, counted.feed_seconds)


def _workers(counted: Metrics, totals: list[float]) -> Iterator[Metric]:
    living = counted.living()
    yield _gauge("debitum_api_workers", "Workers that have been heard of in the last seconds.", len(living))
    yield CounterMetricFamily("debitum_api_worker_starts", "Starts of workers.", value=totals[counted.starts])
    used = {"requests": sum(one.pool for one in living), "reader": sum(one.reader for one in living)}
    most = {"requests": sum(one.pool_limit for one in living), "reader": sum(one.reader_limit for one in living)}
    yield _labelled("debitum_pool_connections_used", "Connections to Postgres in use.", "pool", used)
    yield _labelled("debitum_pool_connections_max", "As many as there may be.", "pool", most)
    yield _gauge("debitum_writer_queue_pushes", "Pushes that wait to be written.", sum(one.queue for one in living))
    yield _gauge("debitum_sockets_open", "Open sockets of the live feed.", sum(one.sockets for one in living))


def _database(found: Vitals) -> Iterator[Metric]:
    waiting = {"pending": found.pending, "leased": found.leased}
    yield _labelled("debitum_outbox_messages", "Messages that are not over, up to 10,000.", "state", waiting)
    yield _labelled("debitum_outbox_finished_messages", "Messages that were over within the hour.", "state", found.recently)
    yield _gauge(
        "debitum_outbox_oldest_ready_seconds",
        "How long the first of the messages waits that could have left.",
        found.oldest_ready_seconds,
    )
    yield _gauge("debitum_projection_dirty_ledgers", "Ledgers whose balances are behind, up to 10,000.", found.dirty_ledgers)
    yield _gauge("debitum_projection_lag_seconds", "How long the balances of one have been behind.", found.lag_seconds)
    if found.written is not None:
        yield _labelled(
            "debitum_snapshot_written_timestamp_seconds", "When a file of the table was last written.", "table", found.written
        )
    if found.backed_up is not None:
        yield _gauge("debitum_backup_written_timestamp_seconds", "When a backup was last written.", found.backed_up)


def _info(name: str, text: str) -> Metric:
    family = GaugeMetricFamily(f"{name}_info", text, labels=("version", "schema"))
    family.add_metric((health.VERSION, str(_revision)), 1)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for said, value in sorted(values.items()):
        family.add_metric((said,), float(value))
    return family


def _histogram(name: str, text: str, totals: list[float], at: int) -> Metric:
    buckets, total = SECONDS.read(totals, at)
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total)
