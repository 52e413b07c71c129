"""The page at /app: a client for the browser, as the files under static/app are; nothing of it is rendered here."""

import functools
import hashlib
import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic, exceptions

from api.compression import Constant

ROOT: Final = Path(__file__).parent / "static" / "app"
PREFIX: Final = "/app/"
METHODS: Final = ["GET", "HEAD"]
INDEX: Final = "index.html"
WORKER: Final = "sw.js"
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect", "manifest", "worker")),
        *(f"{what} 'none'" for what in ("base-uri", "form-action", "frame-ancestors")),
        "require-trusted-types-for 'script'",
        "trusted-types debitum",
    ]
)
"""What the page may load and do: only what is ours, from here. What people write never becomes code."""
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".webmanifest": "application/manifest+json"}


@dataclass(frozen=True)
class File:
    """A file as it goes out; `tag` is its strong ETag."""

    body: Constant
    media_type: str
    tag: str


def install(app: "Sanic[Any, Any]") -> None:
    """Serve the page and its files, which are read once. Browsers ask each time whether they changed (ETag)."""
    files = load(ROOT)

    @app.route("/", methods=METHODS, name="root")
    async def arrive(request: Request) -> HTTPResponse:
        return HTTPResponse(status=302, headers={"Location": PREFIX})

    @app.route("/app", methods=METHODS, name="app", strict_slashes=True)
    async def enter(request: Request) -> HTTPResponse:
        return HTTPResponse(status=308, headers={"Location": PREFIX})

    @app.route("/app/", methods=METHODS, name="app_index", strict_slashes=True)
    async def index(request: Request) -> HTTPResponse:
        return _answer(request, files[INDEX])

    @app.route("/app/<name:path>", methods=METHODS, name="app_file")
    async def file(request: Request, name: str) -> HTTPResponse:
        if (found := files.get(name)) is None:
            raise exceptions.NotFound
        return _answer(request, found)


@functools.cache
def load(root: Path) -> dict[str, File]:
    """The files under `root` by their relative paths; the service worker is told what all of them are."""
    bodies = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    version = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies.values())).hexdigest()
    names = [PREFIX + name for name in bodies if name != WORKER]
    known = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(names)};\n"
    bodies[WORKER] = known.encode() + bodies[WORKER]
    return {name: _file(name, body) for name, body in bodies.items()}


def _file(name: str, body: bytes) -> File:
    media_type = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return File(Constant(body), media_type, f'"{hashlib.sha256(body).hexdigest()}"')


def _answer(request: Request, file: File) -> HTTPResponse:
    said = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.tag in known:
        return HTTPResponse(status=304, headers=said)
    return HTTPResponse(file.body, headers=said, content_type=file.media_type)
