"""Import: a backup of the Debitum Android app becomes events of the caller's ledger."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from sanic import Request
from sanic.http import Http
from sanic.views import stream

from api import backup as files
from api import body, problems, services
from api.routing import IMPORT_SECONDS, Call, Reply, Routes
from domain import backup, errors, facts, money
from domain.sequence import Outcome
from storage.ledgers import Push

routes = Routes("transfer")

MAX_IMPORT_BYTES = 256 * 1024 * 1024
"""Of the file as it is sent; api.backup limits what is in it."""
PAGE = 200
"""Commands or facts that an import brings at a time: to decide them is one step of the event loop, for which all others wait."""
MEDIA_TYPE = "application/zip"


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`currency`: of the backup's money, default the user's; `dry_run`: say what would come of it, store nothing."""

    currency: facts.CurrencyCode | None = None
    dry_run: bool = False


class Imported(Struct, frozen=True):
    """What of the backup is in the ledger now, from this import or an earlier one; `items` are among `transactions`."""

    contacts: int
    transactions: int
    items: int
    skipped: list[backup.Skipped]
    version: int


@routes.add(
    "POST",
    "/api/import/debitum",
    answer=Imported,
    query=Options,
    codes=("invalid_backup", "currency_precision", "ledger_gone"),
    streams=MEDIA_TYPE,
)
@stream  # type: ignore[untyped-decorator]  # Sanic leaves this decorator untyped
async def debitum(call: Call[None, Options]) -> Reply:
    """Take over the Debitum Android app's backup (zip). Doing it twice adds nothing: known rows are skipped."""
    body.check_media_type(call.request, MEDIA_TYPE)
    currency = _currency(call.query.currency or call.caller.defaults.currency)
    async with upload(call) as file:
        held = await asyncio.to_thread(files.read, file)
        translated = await asyncio.to_thread(backup.translate, held, currency, services.now().date())
        outcomes, version = await _store(call, translated.commands)
    answer = _summary(translated, outcomes, version)
    return Reply(answer, headers={"X-Ledger-Version": str(version)})


def _currency(code: str) -> money.Currency:
    if (found := money.CURRENCIES.get(code)) is None:
        raise errors.Invalid.at("/currency", "not an ISO 4217 currency")
    return found


@asynccontextmanager
async def upload(call: Call[None, Any]) -> AsyncIterator[Path]:
    """The body as a file in a folder of its own, to be taken over now; both are gone afterwards.

    Raises problems.TooLarge, and problems.Unavailable where too many files are there already, before any of this one is.
    """
    async with call.services.uploads.hold(call.caller.user_id):
        with tempfile.TemporaryDirectory(prefix="debitum-import-") as folder:
            file = Path(folder, "upload")
            await _receive(call.request, file)
            async with call.services.imports:
                yield file


async def _receive(request: Request, file: Path) -> None:
    """Put the body into `file` as it comes in. Raises problems.TooLarge."""
    assert isinstance(request.stream, Http)
    request.stream.protocol.response_timeout = 2 * IMPORT_SECONDS  # Sanic's own, of this connection alone
    if int(request.headers.get("content-length") or 0) > MAX_IMPORT_BYTES:
        raise _too_large()
    received = 0
    with await asyncio.to_thread(file.open, "wb") as target:
        while data := await request.stream.read():
            received += len(data)
            if received > MAX_IMPORT_BYTES:
                raise _too_large()
            await asyncio.to_thread(target.write, data)


def _too_large() -> problems.TooLarge:
    return problems.TooLarge(f"an import takes at most {MAX_IMPORT_BYTES >> 20} MiB")


async def _store(call: Call[Any, Options], commands: Sequence[facts.Command]) -> tuple[dict[str, Outcome], int]:
    """What became of each command, by its id, and the ledger's version; a failure in between is mended by doing it again."""
    mine = [msgspec.structs.replace(command, device_id=call.caller.device) for command in commands]
    outcomes: dict[str, Outcome] = {}
    version = 0
    for part in _parts(mine, alone=call.query.dry_run):
        push = Push(str(call.caller.ledger_id), part, call.caller.defaults, dry_run=call.query.dry_run, skip_known=True)
        receipt = await call.services.writer.submit(push)
        outcomes |= {outcome.id: outcome for outcome in receipt.outcomes}
        version = receipt.version
    if call.query.dry_run:  # each part was decided at the same head
        version += _added(outcomes.values()) - _added(receipt.outcomes)
    return outcomes, version


def _added(outcomes: Iterable[Outcome]) -> int:
    """How many facts there are of `outcomes`, or would be."""
    return sum(outcome.status in ("accepted", "conflict") for outcome in outcomes)


def _parts(commands: list[facts.Command], *, alone: bool) -> Iterator[list[facts.Command]]:
    """Pushes of a size that does not keep others waiting, at least one.

    `alone`: each brings the contacts that it needs, because a dry run leaves nothing behind for the next.
    """
    contacts = {command.aggregate_id: command for command in commands if command.aggregate_type == "contact"}
    for start in range(0, len(commands) or 1, PAGE):
        part = commands[start : start + PAGE]
        if alone:
            needed = dict.fromkeys(command.event_data.get("contact_id") for command in part)
            here = {command.aggregate_id for command in part}
            part = [contacts[contact_id] for contact_id in needed if contact_id and contact_id not in here] + part
        yield part


def _summary(translated: backup.Import, outcomes: dict[str, Outcome], version: int) -> Imported:
    there: Counter[str] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    for command in translated.commands:
        outcome, what = outcomes[command.id], f"{command.aggregate_type}s"
        if outcome.status == "rejected":
            refused[what, outcome.detail or str(outcome.code)] += 1
            continue
        there[what] += 1
        there["items"] += command.event_data.get("type") == "item"
    skipped = [backup.Skipped(what, count, reason) for (what, reason), count in refused.items()]
    return Imported(there["contacts"], there["transactions"], there["items"], [*translated.skipped, *skipped], version)
