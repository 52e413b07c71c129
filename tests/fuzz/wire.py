"""Schemathesis against a server, by its own OpenAPI document: every operation, every check, every phase."""

import threading
import uuid
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import schemathesis
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from tests.fuzz.user import User

SERVER_ERROR: Final = "not_a_server_error"
LOGOUT: Final = "identity_logout_post"
PUSH: Final = "POST /api/sync/push"
_PUT_IN: Final = 2
"""One id in so many is another user's."""

UNSAYABLE: Final = {
    "cursor": "only what a page has ended with is one",
    "time_zone": "which names there are depends on the machine's data",
    "expires_at": "must lie in the future",
    "as_of": "must not lie in the future",
    "currency": "is required with sort=balance",
    "repeat": "an RRULE of RFC 5545",
    "from": "must not lie after `to`, nor too long before it",
}
"""Members for which JSON Schema cannot say all that must hold; their answer is a documented 400 with the pointer to them."""
OUTSIDE: Final = "outside of the years 1 to 9999"
"""What any moment of the first and the last day may be refused for: it may be of another year in UTC."""
OF_WHAT_IS_THERE: Final = ("amount", "currency", "item", "repays", "returned_at")
"""What may stand in an update depends on whether it is money or a thing that is updated."""
STATE: Final = {
    "stale": "If-Match names another version",
    "id_reused": "the Idempotency-Key has been used for something else",
    "invalid_backup": "a zip that holds the database of the Android app",
    "invalid_token": "a token of a mail",
}
"""Problems of well-formed requests: they depend on what is there, or on bytes that JSON Schema does not look into."""


@dataclass
class Figures:
    """What a run has tried, and what did not hold: the first example of each kind, and how many there were."""

    examples: Counter[str] = field(default_factory=Counter)
    """Requests by operation."""
    successes: Counter[str] = field(default_factory=Counter)
    """Those that were answered with 2xx."""
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    shown: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def server_errors(self) -> int:
        """How many requests a 5xx answered."""
        return sum(count for (check, _), count in self.found.items() if check == SERVER_ERROR)

    @property
    def mismatches(self) -> int:
        """How many checks beside that failed, and operations that could not be tried."""
        return self.found.total() - self.server_errors

    def add(self, check: str, label: str, example: str) -> None:
        """Something does not hold."""
        self.found[check, label] += 1
        self.shown.setdefault((check, label), example)

    def take(self, recorder: ScenarioRecorder) -> None:
        """Count what a scenario has tried."""
        for case_id, interaction in recorder.interactions.items():
            label = recorder.cases[case_id].value.operation.label
            self.examples[label] += 1
            self.successes[label] += interaction.response is not None and interaction.response.status_code < 300
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if (info := check.failure_info) is not None:
                    said = f"{info.failure.title}: {info.failure.message}\n{info.code_sample}"
                    self.add(check.name, recorder.cases[case_id].value.operation.label, said)


@schemathesis.serializer("application/zip")
def zipped(context: Any, value: Any) -> bytes:
    """A body that is no zip, most of the time."""
    return value if isinstance(value, bytes) else str(value).encode()


class _SignedIn:
    """Sends the user's token; where the request ends a session, that of one that nobody else uses."""

    user: User
    lock = threading.Lock()

    def get(self, case: schemathesis.Case[Any], context: Any) -> str:
        """The token for `case`."""
        if case.operation.definition.raw.get("operationId") == LOGOUT:
            return self.user.sign_in()
        return self.user.token

    def set(self, case: schemathesis.Case[Any], data: str, context: Any) -> None:
        """Put it into the request."""
        case.headers["Authorization"] = f"Bearer {data}"

    def renew(self, sent: str) -> None:
        """The server did not take a token that once was good."""
        with self.lock:
            if sent == f"Bearer {self.user.token}":
                self.user.token = self.user.sign_in()


def fuzz(
    url: str, user: User, *, other: User | None, seed: int, examples: int, short: bool = False, operations: str = ""
) -> Figures:
    """Try every operation as `user`; `other`: somebody else, whose ids are tried too, and whose data must not come out.

    `examples` of each operation in the phase that makes them up, beside those of the others. `short`: that phase alone.
    `operations`: a regular expression of their ids, where not all are tried.
    """
    phases = {name: {"enabled": not short} for name in ("examples", "coverage", "stateful")}
    phases["examples"]["fill-missing"] = not short
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "suppress-health-check": ["all"],  # a machine that is busy makes examples slowly
            "request-timeout": 60,
            "generation": {"max-examples": examples, "database": "none", "no-shrink": short},
            "phases": phases,
            # 413: a URL of more than 8 KiB is refused for its size before anybody looks at its parameters.
            "checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422]}},
        }
    )
    schema: schemathesis.BaseSchema = schemathesis.openapi.from_url(f"{url}/docs/openapi.json", config=config)
    if operations:
        schema = schema.include(operation_id_regex=operations)
    provider = type("_SignedInAs", (_SignedIn,), {"user": user})  # schemathesis wants a class
    schema.auth()(provider)
    figures, signed_in = Figures(), provider()
    _hook(schema, figures, signed_in, other)
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished() | events.FuzzScenarioFinished():
                figures.take(event.recorder)
            case events.NonFatalError():
                figures.add("error", event.label, str(event.value))
            case events.FatalError():
                raise event.exception
            case events.EngineFinished():
                for failure in event.failures:
                    figures.add("after_run", str(failure.operation), failure.message)
    return figures


def _hook(schema: schemathesis.BaseSchema, figures: Figures, signed_in: _SignedIn, other: User | None) -> None:
    """What happens before and after each request."""

    ids = [] if other is None else other.ids

    def put_in(value: Any) -> Any:
        """`value` with another user's ids in the place of some; to JSON Schema 1.0 is an integer, and to us it is none."""
        if isinstance(value, dict):
            return {name: put_in(member) for name, member in value.items()}
        if isinstance(value, list):
            return [put_in(member) for member in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        drawn = zlib.crc32(str(value).encode(errors="replace"))
        return ids[drawn // _PUT_IN % len(ids)] if ids and _is_id(value) and drawn % _PUT_IN == 0 else value

    schema.hook("map_path_parameters")(lambda context, path_parameters: put_in(path_parameters))
    schema.hook("map_query")(lambda context, query: put_in(query))
    schema.hook("map_body")(lambda context, body: put_in(body))

    @schema.hook("after_call")
    def look(context: Any, case: schemathesis.Case[Any], response: schemathesis.Response) -> None:
        if response.status_code == 401:
            signed_in.renew(str(response.request.headers.get("Authorization")))
        if other is not None and other.canary.encode() in response.content:
            figures.add("another_users_data", case.operation.label, f"{response.request.method} {response.request.url}")

    @schema.hook("filter_failure")
    def holds(context: Any, failure: Any, case: schemathesis.Case[Any], response: schemathesis.Response) -> bool:
        if failure.title == "Schema-valid request rejected":
            return not _is_explained(case.operation.label, response.json())
        if failure.title == "Schema-violating request accepted" and case.operation.label == PUSH:
            return not _is_one_rejected(response.json())
        return True


def _is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


def _is_explained(label: str, problem: Any) -> bool:
    """Whether a well-formed request was refused for what JSON Schema cannot say, and nothing else."""
    found = problem.get("errors", ())
    unsayable = (error["detail"] == OUTSIDE or _is_unsayable(label, error["pointer"]) for error in found)
    return problem["code"] in STATE or (bool(found) and all(unsayable))


def _is_unsayable(label: str, pointer: str) -> bool:
    member = pointer.rpartition("/")[2]
    of_the_path = "{id}" in label and member in OF_WHAT_IS_THERE
    of_a_log = label == "POST /api/import/json" and pointer.startswith("/events/")
    return member in UNSAYABLE or of_the_path or of_a_log


def _is_one_rejected(pushed: Any) -> bool:
    """Whether a push was taken whose items were not all good: each has an outcome of its own."""
    return any(result["status"] == "rejected" for result in pushed["results"])
