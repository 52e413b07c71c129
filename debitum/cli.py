"""The command line: one table of subcommands; what a subcommand needs is imported when it runs, so that --help is quick."""

import argparse
import datetime
import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from debitum import backup_commands, sql_command
from debitum.commands import (
    DAGSTER_PORT,
    DATA_DIR,
    OK,
    RUNNING_ALREADY,
    UP_FLAGS,
    USAGE,
    WRONG,
    Command,
    Run,
    complain,
    say,
)

if TYPE_CHECKING:
    from debitum import messages, users
    from debitum.settings import Settings

EXIT_CODES: Final = "exit codes: 0 it worked, 1 it did not (the reason is said), 2 usage or settings, 3 already running"


def program() -> int:
    """The command `debitum`: `main` in a process of its own, which has a log too, for what nobody expected."""
    from telemetry import output

    try:
        choice = output.Choice.from_environment(os.environ)
    except ValueError:
        choice = output.Choice()  # a command that reads the settings refuses them
    output.configure(choice, descriptor=output.STANDARD_ERROR)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns its exit code."""
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command

    from debitum import settings

    given = {flag.setting: value for flag in command.flags if (value := getattr(parsed, flag.setting)) is not None}
    try:
        return command.run(settings.load(os.environ, Path(".env"), given), parsed)
    except settings.SettingsError as error:
        complain(f"these settings cannot be used:\n{error}")
        return USAGE
    except KeyboardInterrupt:
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="debitum", description="Keeps score of what people owe each other.", epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"debitum {metadata.version('debitum')}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = {}
    for name, help in GROUPS.items():
        group = subparsers.add_parser(name, help=help, description=help, epilog=EXIT_CODES)
        groups[name] = group.add_subparsers(required=True, metavar="ACTION")
    for command in COMMANDS:
        *group_name, name = command.name.split()
        home = groups[group_name[0]] if group_name else subparsers
        added = home.add_parser(name, help=command.help, description=command.help, epilog=EXIT_CODES)
        added.set_defaults(command=command)
        for flag in command.flags:
            described = f"{flag.help}; the setting {flag.setting}"
            if flag.is_switch:
                added.add_argument(flag.flag, dest=flag.setting, action="store_const", const="1", help=described)
            else:
                added.add_argument(flag.flag, dest=flag.setting, help=described)
        command.arguments(added)
    return parser


def _up(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import instance, saying, settings, supervisor

    settings.require_keys(loaded)
    settings.require_place(loaded)
    tell, version = saying.voice(loaded.log), metadata.version("debitum")
    tell(f"Debitum {version}, data in {loaded.data_dir}", "starting", version=version, data_dir=str(loaded.data_dir))
    try:
        supervisor.up(loaded, tell)
    except instance.AlreadyRunningError as error:
        note = error.note
        holder = {"pid": note.pid, "started_at": note.started_at} if note else {}
        whose = f", pid {note.pid}, since {note.started_at}" if note else ", just starting"
        tell(f"already running on this data folder{whose}", "already_running", level="warning", **holder)
        for name, address in note.addresses.items() if note else ():
            tell(f"{name} is at {address}", "part_is_at", part=name, address=address)
        return RUNNING_ALREADY
    except supervisor.FAILURES as error:
        tell(str(error), "cannot_start", level="error")
        return WRONG
    return OK


def _ui(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import database, pages, processes, saying, settings

    try:
        pages.show(settings.for_pages(loaded), saying.voice(loaded.log))
    except pages.PagesRunError as error:
        say(str(error))
        return RUNNING_ALREADY
    except (pages.NothingToShowError, processes.PortInUseError, database.DatabaseError) as error:
        complain(str(error))
        return WRONG
    return OK


def _migrate(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import dagster_schema, database, keys, rings, saying, schema

    try:
        ring = rings.ring(loaded)
        with database.borrowed(loaded) as found:
            say(f"{found.description}: schema is at revision {schema.migrate(found, ring)}")
            if ring is not None:
                keys.require_opening(found.url, ring)
            dagster_schema.upgrade(found.url, os.environ, saying.people)
    except database.DatabaseError as error:
        complain(str(error))
        return WRONG
    return OK


def _doctor(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import doctor

    findings = doctor.examine(loaded)
    for finding in findings:
        say(finding.line())
    return WRONG if any(finding.remedy for finding in findings) else OK


def _probe(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import probe

    silent = probe.silent(loaded)
    for name in silent:
        complain(f"{name} does not answer")
    return WRONG if silent else OK


def _verify(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import database, repair

    try:
        return WRONG if repair.prove(loaded, say, parsed.ledger) else OK
    except (database.DatabaseError, repair.UnknownLedgerError) as error:
        complain(str(error))
        return USAGE  # not 1: nothing was found wrong, and nothing was found right


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ledger", metavar="ID", help="only this one: its id, or the digits that the audit names")


def _rebuild(loaded: "Settings", _: argparse.Namespace) -> int:
    from debitum import database, repair
    from storage import encryption, rebuild

    try:
        repair.recreate(loaded, say)
    except (database.DatabaseError, encryption.KeyRingError, rebuild.RebuildRunsError, rebuild.RebuildBlockedError) as error:
        complain(str(error))
        return WRONG
    return OK


def _keys(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import database, keys
    from storage import encryption

    try:
        match parsed.action:
            case "list":
                return OK if keys.show(loaded, say) else WRONG
            case "add":
                keys.add(loaded, say)
            case "rotate":
                keys.rotate(loaded, say)
    except (database.DatabaseError, encryption.KeyRingError) as error:
        complain(str(error))
        return WRONG
    return OK


def _keys_arguments(parser: argparse.ArgumentParser) -> None:
    actions = {
        "list": "which keys there are, and how many ledgers each seals",
        "add": "draw a new key",
        "rotate": "seal everything by the current key, while it is in use",
    }
    parser.add_argument("action", choices=actions, help="; ".join(f"{name}: {what}" for name, what in actions.items()))


def _demo(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import demo, demo_break, demo_stack

    try:
        return OK if (demo_break.run(loaded) if parsed.fault else demo.run(loaded, keep=parsed.keep)) else WRONG
    except demo_stack.DemoError as error:
        complain(str(error))
        return WRONG


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, to look around")
    parser.add_argument("--break", dest="fault", action="store_true", help="plant a fault: the way from the alert to the mend")


def _user(act: "Callable[[users.Administration, argparse.Namespace], object]") -> Run:
    """A command that does something to accounts."""

    def run(loaded: "Settings", parsed: argparse.Namespace) -> int:
        from debitum import database, folders, settings, users

        settings.require_keys(loaded)
        try:
            act(users.Administration(loaded, say, lambda: datetime.datetime.now(datetime.UTC)), parsed)
        except (users.UserError, database.DatabaseError, folders.FolderError) as error:
            complain(str(error))
            return WRONG
        return OK

    return run


def _create(administration: "users.Administration", parsed: argparse.Namespace) -> None:
    profile = {name: getattr(parsed, name) for name in ("name", "time_zone", "locale", "default_currency")}
    administration.create(parsed.email, profile)


def _create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", metavar="EMAIL")
    parser.add_argument("--name", help="how mails address the person")
    parser.add_argument("--time-zone", help="an IANA name like Europe/Berlin (default UTC)")
    parser.add_argument("--locale", help="a language tag like de-AT (default en)")
    parser.add_argument("--currency", dest="default_currency", metavar="CODE", help="an ISO 4217 code like USD (default EUR)")


def _delete(administration: "users.Administration", parsed: argparse.Namespace) -> None:
    from debitum import users

    if not parsed.yes and not _confirmed(f"Erase {parsed.email} and everything of theirs? [y/N] "):
        raise users.UserError("nothing has changed")
    administration.delete(parsed.email, at_once=parsed.now)


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", metavar="EMAIL")
    parser.add_argument("--now", action="store_true", help="at the next run of the erasure, not in 7 days")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _messages(act: "Callable[[messages.Desk, argparse.Namespace], bool]") -> Run:
    """A command about messages."""

    def run(loaded: "Settings", parsed: argparse.Namespace) -> int:
        from debitum import database, messages
        from storage import encryption

        try:
            done = act(messages.Desk(loaded, say, datetime.datetime.now(datetime.UTC)), parsed)
        except (messages.MessageError, database.DatabaseError, encryption.KeyRingError) as error:
            complain(str(error))
            return WRONG
        return OK if done else WRONG

    return run


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    states = ("open", "all", "pending", "leased", "dead", "suppressed", "sent")
    parser.add_argument("--state", choices=states, default="open", help="default open: pending, leased or dead")
    parser.add_argument("--limit", type=_limit, default=50, help="default 50")


def _limit(given: str) -> int:
    from api import refusals

    try:
        return refusals.whole_number(given, 0, 1_000_000)
    except ValueError as error:  # whose words argparse would not repeat
        raise argparse.ArgumentTypeError(str(error)) from error


def _ids_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", type=UUID, nargs="+")


GROUPS: Final = {
    "user": "make, invite, help and erase users",
    "outbox": "what waits to be sent, and what was given up",
    "mail": "mail",
    "push": "pushes",
}
COMMANDS: Final = (
    Command("up", "start everything, keep it running, stop it on Ctrl-C", _up, UP_FLAGS),
    Command("ui", "show Dagster's pages beside `debitum up --no-ui`, until Ctrl-C", _ui, (DAGSTER_PORT, DATA_DIR)),
    Command("migrate", "bring the database's schema to this version", _migrate, (DATA_DIR,)),
    Command("doctor", "check what Debitum needs and say in words what is wrong", _doctor, UP_FLAGS),
    Command("probe", "ask whether what `debitum up` runs with these settings answers", _probe, UP_FLAGS),
    Command("demo", "show the whole way of a debt, from the import of a backup to the mail", _demo, (DATA_DIR,), _demo_arguments),
    Command("verify", "prove that everything follows from the logs", _verify, (DATA_DIR,), _verify_arguments),
    Command("rebuild", "recreate everything that follows from the logs, while it is in use", _rebuild, (DATA_DIR,)),
    *backup_commands.COMMANDS,
    Command("keys", "the keys that seal private values: list, add, rotate", _keys, (DATA_DIR,), _keys_arguments),
    Command("user create", "make an account; its owner sets the password", _user(_create), (DATA_DIR,), _create_arguments),
    Command(
        "user invite",
        "let somebody register (DEBITUM_SIGNUP=invite)",
        _user(lambda administration, parsed: administration.invite(parsed.email)),
        (DATA_DIR,),
        lambda parser: parser.add_argument("email", metavar="EMAIL", nargs="?", help="who alone may use it"),
    ),
    Command(
        "user reset-password",
        "get the owner of an account a link to a new password",
        _user(lambda administration, parsed: administration.reset_password(parsed.email)),
        (DATA_DIR,),
        lambda parser: parser.add_argument("email", metavar="EMAIL"),
    ),
    Command("user delete", "have a user and everything of theirs erased", _user(_delete), (DATA_DIR,), _delete_arguments),
    Command(
        "outbox list",
        "count messages and show those that wait or were given up",
        _messages(lambda desk, parsed: desk.show(parsed.state, parsed.limit)),
        (DATA_DIR,),
        _list_arguments,
    ),
    Command(
        "outbox retry",
        "send messages again; without an ID all that were given up",
        _messages(lambda desk, parsed: desk.retry(parsed.ids or None)),
        (DATA_DIR,),
        lambda parser: parser.add_argument("ids", metavar="ID", type=UUID, nargs="*"),
    ),
    Command(
        "outbox drop", "give messages up", _messages(lambda desk, parsed: desk.drop(parsed.ids)), (DATA_DIR,), _ids_arguments
    ),
    Command(
        "mail test",
        "send a mail past the outbox, and say what the provider answers",
        _messages(lambda desk, parsed: desk.mail(parsed.address)),
        (DATA_DIR,),
        lambda parser: parser.add_argument("address", metavar="ADDRESS"),
    ),
    Command(
        "push test",
        "push to each device of a user past the outbox, and say what the provider answers",
        _messages(lambda desk, parsed: desk.push(parsed.email)),
        (DATA_DIR,),
        lambda parser: parser.add_argument("email", metavar="EMAIL"),
    ),
    sql_command.SQL,
)
