"""Everything of a user in one file: JSON that can be imported again, or a zip of tables for spreadsheets."""

import csv
import datetime
import io
import zipfile
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from api import accounts, balances, contacts, services, transactions
from api.routing import Call, Reply, Routes
from api.statements import decimal, plain_cell
from api.streams import snapshot_stream
from domain import facts
from storage import events, exports, projections, sealing
from storage.encryption import Cipher
from storage.pages import Record

routes = Routes("transfer")
FORMAT, VERSION = "debitum-export", 1
_COLUMNS = {
    "contacts": ("id", "name", "username", "phone", "email", "notes", "created_at", "updated_at", "deleted_at", "version"),
    "transactions": transactions.Transaction.__struct_fields__,
    "reminders": ("id", *facts.FIELDS["reminder"], "created_at", "updated_at", "deleted_at", "version"),
    "balances": balances.Balance.__struct_fields__,
}


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """JSON can be imported again; csv is a zip of tables, with the log as JSON lines."""

    format: Literal["json", "csv"] = "json"


class Export(Struct, frozen=True):
    """Everything of a user, in one consistent snapshot. `events` is the whole log; the rest follows from it."""

    format: Literal["debitum-export"]
    version: Literal[1]
    exported_at: str
    user: accounts.User
    ledger: dict[str, Any]
    contacts: list[contacts.Contact]
    transactions: list[transactions.Transaction]
    reminders: list[dict[str, Any]]
    balances: list[balances.Balance]
    conflicts: list[dict[str, Any]]
    events: list[facts.WireFact]


@routes.add("GET", "/api/export", answer=Export, query=ExportQuery, media=("application/zip",), codes=("ledger_gone",))
async def export(call: Call[None, ExportQuery]) -> Reply:
    """Everything of the user, streamed, as one consistent snapshot."""
    write, media_type = (_json, "application/json") if call.query.format == "json" else (_zip, "application/zip")
    name = f"debitum-{services.now():%Y-%m-%d}.{'json' if call.query.format == 'json' else 'zip'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(headers=headers, content_type=media_type, chunks=snapshot_stream(call, write))


async def _head(connection: AsyncConnection, call: Call[None, ExportQuery]) -> dict[str, Any]:
    version, digest = await events.head(connection, call.caller.ledger_id)
    user = await accounts.profile(connection, call.caller.user_id)
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": facts.wire_time(services.now()),
        "user": user,
        "ledger": {"id": call.caller.ledger_id, "version": version, "hash": digest and digest.hex()},
    }


_SHOWN: dict[exports.Section, Callable[[Record, Cipher], Any]] = {
    "contacts": contacts.shown,
    "transactions": lambda row, _: transactions.shown(row, row.open_amount),
    "reminders": lambda row, _: _reminder(row),
    "conflicts": lambda row, _: {"event_id": row.event_id, "resolved_by": row.resolved_by},
    "events": lambda row, cipher: msgspec.Raw(sealing.wire(cipher, row)),
}
"""A row of a section as the API shows it; reminders without what depends on the hour."""


def _reminder(row: Record) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in ("id", *facts.FIELDS["reminder"], "created_at", "updated_at", "deleted_at")}
    times = {name: facts.wire_time(value) for name, value in found.items() if isinstance(value, datetime.datetime)}
    return found | times | {"version": row.changed_seq}


async def _balances(connection: AsyncConnection, call: Call[None, ExportQuery]) -> list[balances.Balance]:
    rows = await projections.current_balances(connection, call.caller.ledger_id)
    return [balances.Balance(row.contact_id, row.currency, row.amount) for row in rows if row.contact_id is not None]


async def _json(connection: AsyncConnection, call: Call[None, ExportQuery]) -> AsyncGenerator[bytes, None]:
    yield msgspec.json.encode(await _head(connection, call))[:-1]
    yield b',\n"balances":' + msgspec.json.encode(await _balances(connection, call))
    cipher = await call.cipher(connection)
    for name, shown in _SHOWN.items():
        yield b',\n"%b":[' % name.encode()
        separator = b"\n"
        async for row in exports.rows(connection, name, call.caller.ledger_id):
            yield separator + msgspec.json.encode(shown(row, cipher))
            separator = b",\n"
        yield b"]"
    yield b"}\n"


async def _zip(connection: AsyncConnection, call: Call[None, ExportQuery]) -> AsyncGenerator[bytes, None]:
    out, ledger_id, cipher = _Unseekable(), call.caller.ledger_id, await call.cipher(connection)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export.json", msgspec.json.format(msgspec.json.encode(await _head(connection, call)), indent=2))
        totals = await _balances(connection, call)
        archive.writestr("balances.csv", _heading("balances") + b"".join(_line("balances", one) for one in totals))
        for name in ("contacts", "transactions", "reminders"):
            with archive.open(f"{name}.csv", "w", force_zip64=True) as file:
                file.write(_heading(name))
                async for row in exports.rows(connection, name, ledger_id):
                    file.write(_line(name, _SHOWN[name](row, cipher)))
                    yield out.taken()
        with archive.open("events.jsonl", "w", force_zip64=True) as file:
            async for row in exports.rows(connection, "events", ledger_id):
                file.write(sealing.wire(cipher, row) + b"\n")
                yield out.taken()
    yield out.taken()


def _decimals(name: str, members: dict[str, Any]) -> dict[str, str]:
    """Amounts of money once more, in the currency's major unit: so that nobody misreads yen."""
    amounts = {"transactions": ("amount", "open_amount"), "balances": ("amount",)}.get(name, ())
    currency = members.get("currency")
    return {f"{one}_decimal": decimal(members[one], currency) if currency else "" for one in amounts}


def _heading(name: str) -> bytes:
    return _csv([*_COLUMNS[name], *_decimals(name, {})])


def _line(name: str, row: Any) -> bytes:
    members = row if isinstance(row, dict) else msgspec.to_builtins(row)
    cells = (_cell(members[column]) for column in _COLUMNS[name])
    return _csv([*cells, *_decimals(name, members).values()])


def _csv(cells: list[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(value)
    return plain_cell(value) if isinstance(value, str) else value


class _Unseekable(io.RawIOBase):
    """What a zip is written to that is streamed: its bytes are taken as they come."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pending += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self._pending)
        self._pending.clear()
        return data
