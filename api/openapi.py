"""The OpenAPI document, generated from the types that decode the bodies and encode the answers; and pages about problems."""

import functools
import html
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from sanic import HTTPResponse, Request, Sanic

from api import facts_schema, pages, problems
from api.compression import Constant
from api.health import VERSION
from api.routing import Nothing, Route

EVERYWHERE = ("invalid", "internal", "unavailable", "too_large", "too_slow")
"""Codes that every operation can answer with."""
SIGNED_IN = ("unauthorized",)
REPLAYABLE = ("id_reused", "ledger_gone", "stale", "too_many_changes")
_TOKENS = "An access token of a session, or a personal token; what the operation needs is `read`, `write` or `session`."
_BINARY = {"type": "string", "format": "binary"}
_REF = "#/components/schemas/{name}"


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `routes`."""
    listed = list(routes)
    shapes = _shapes(listed)
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    by_shape = dict(zip(map(repr, shapes), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_shape, components)
    facts_schema.refine(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Debitum", "version": VERSION, "description": "Keeps score of what people owe each other."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": _TOKENS}},
        },
    }


def _shapes(routes: list[Route]) -> list[Any]:
    shapes: dict[str, Any] = {repr(problems.Problem): problems.Problem}
    for route in routes:
        for shape in (route.answer, route.body, route.query, *facts_schema.EXTRA):
            if shape is not None:
                shapes[repr(shape)] = shape
    return list(shapes.values())


def _operation(route: Route, by_shape: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": (route.handler.__doc__ or "").strip().splitlines()[0],
        "parameters": [*_path_parameters(route), *_query_parameters(route.query, components), *_header_parameters(route)],
        "responses": _responses(route, by_shape),
        "security": [] if route.public else [{"bearer": [route.needs]}],
    }
    if route.body is not None:
        content = {"application/json": {"schema": by_shape[repr(route.body)]}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    if route.streams is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {route.streams: {"schema": facts_schema.STREAMED.get(route.streams, _BINARY)}},
        }
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    named = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    return [named] if "{id}" in route.path else []


def _query_parameters(shape: type[Struct], components: dict[str, Any]) -> list[dict[str, Any]]:
    if shape is Nothing:
        return []
    schema = components.get(shape.__name__, {})
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _not_null(member)}
        for name, member in schema.get("properties", {}).items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it has no null."""
    kept = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kept:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return rest | kept[0] if len(kept) == 1 else rest | {"anyOf": kept}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.replays:
        return []
    uuid, etag = {"type": "string", "format": "uuid"}, {"type": "string", "pattern": '^("?[0-9]{1,18}"?|\\*)$'}
    return [
        {"name": "Idempotency-Key", "in": "header", "required": False, "schema": uuid},
        {"name": "If-Match", "in": "header", "required": False, "schema": etag},
    ]


def _responses(route: Route, by_shape: dict[str, Any]) -> dict[str, Any]:
    statuses = {route.status} | ({200} if route.replays and route.status == 201 else set())
    success: dict[str, Any] = {"description": "Done"}
    content = {media_type: {"schema": {"type": "string"}} for media_type in route.media}
    if route.answer is not None:
        content["application/json"] = {"schema": by_shape[repr(route.answer)]}
    if content:
        success["content"] = content
    responses: dict[str, Any] = {str(status): success for status in sorted(statuses)}
    if route.accepts:
        responses["202"] = {"description": "Accepted; the rest follows later"}
    for status, codes in _problems(route).items():
        schema = {"allOf": [by_shape[repr(problems.Problem)], {"properties": {"code": {"enum": codes}}}]}
        responses[str(status)] = {
            "description": problems.KINDS[codes[0]].title,
            "content": {problems.Problem.media_type: {"schema": schema}},
        }
    return responses


def _problems(route: Route) -> dict[int, list[str]]:
    codes = [*EVERYWHERE, *route.codes]
    codes += [] if route.public else SIGNED_IN
    codes += ["scope"] if not route.public and route.needs != "read" else []
    codes += ["rate_limited"] if route.limited else []
    codes += REPLAYABLE if route.replays else ()
    codes += ["unsupported_media_type"] if route.reads_body else []
    found: dict[int, list[str]] = {}
    for code in sorted(set(codes)):
        found.setdefault(problems.KINDS[code].status, []).append(code)
    if "{id}" in route.path:
        found.setdefault(404, []).extend(["not_found", "unknown_aggregate"])
    return dict(sorted(found.items()))


def install(app: "Sanic[Any, Any]", routes: Iterable[Route]) -> None:
    """Serve /docs, /docs/openapi.json and /docs/problems/<code>; none of them needs anything from elsewhere."""
    encoded, overview = _written(tuple(routes))

    @app.get("/docs/openapi.json", name="openapi")
    async def openapi(request: Request) -> HTTPResponse:
        return HTTPResponse(encoded, content_type="application/json")

    @app.get("/docs", name="docs")
    async def docs(request: Request) -> HTTPResponse:
        return pages.english("Debitum", overview)

    @app.get("/docs/problems/<code:str>", name="problem")
    async def problem(request: Request, code: str) -> HTTPResponse:
        kind = problems.KINDS.get(code)
        if kind is None:
            raise problems.NotFound("there is no problem of that name")
        text = f"<p>Code <code>{html.escape(code)}</code>, status {kind.status}.</p>"
        return pages.english(kind.title, f"{text}<p>{html.escape(problems.explain(code))}</p>")


@functools.cache
def _written(routes: tuple[Route, ...]) -> tuple[Constant, str]:
    """The document of `routes` as JSON, and a page about it: made once, however many applications there are."""
    described = document(routes)
    return Constant(msgspec.json.encode(described)), _overview(described)


def _overview(described: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['summary'])}</td></tr>"
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    )
    return f'<p>The whole description: <a href="/docs/openapi.json">openapi.json</a></p><table>{rows}</table>'
