"""Files that pages load: ours and vendored ones, from this server only, kept by browsers for good.

An address carries its file's digest, so a changed file has another address. Each is compressed
once, when it is first asked for. Vendored files must be those of VENDORED.toml: with one byte
changed nothing starts.
"""

import base64
import gzip
import tomllib
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT: Final = "public, max-age=31536000, immutable"
PATH: Final = "/static/"


class StaticFile(msgspec.Struct, frozen=True):
    """One file, ready to be sent."""

    name: str
    kind: str
    plain: bytes
    digest: bytes

    @property
    def path(self) -> str:
        """Its address below /dashboard."""
        return f"{PATH}{self.digest.hex()[:12]}/{self.name}"

    @property
    def integrity(self) -> str:
        """What a browser compares it with."""
        return f"sha256-{base64.b64encode(self.digest).decode()}"


class VendoredFileChanged(Exception):
    """A file of others is not what its version says; the text names it."""


def load(folder: Traversable | None = None) -> dict[str, StaticFile]:
    """All files by name, of our own folder unless told otherwise. Raises: VendoredFileChanged."""
    folder = folder or resources.files(__package__).joinpath("static")
    text = folder.joinpath("VENDORED.toml").read_text("utf-8")
    vendored = {one["file"]: one["sha256"] for one in tomllib.loads(text)["vendored"]}
    found = {}
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix not in TYPES:
            continue
        plain = entry.read_bytes()
        digest = sha256(plain).digest()
        if vendored.get(entry.name, digest.hex()) != digest.hex():
            raise VendoredFileChanged(f"{entry.name} is not the file of VENDORED.toml")
        found[entry.name] = StaticFile(entry.name, TYPES[suffix], plain, digest)
    return found


def make_route(files: dict[str, StaticFile]) -> Route:
    """The route that serves them."""
    by_path = {one.path: one for one in files.values()}

    @cache
    def packed(file: StaticFile) -> bytes:
        return gzip.compress(file.plain, 9, mtime=0)

    async def serve(request: Request) -> Response:
        found = by_path.get(PATH + request.path_params["rest"])
        if found is None:
            return PlainTextResponse("Not found", 404)
        headers = {"cache-control": KEPT, "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(packed(found), 200, headers, found.kind)
        return Response(found.plain, 200, headers, found.kind)

    return Route(PATH + "{rest:path}", serve, methods=["GET"])
