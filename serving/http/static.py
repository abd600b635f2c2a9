"""Files of the package that browsers load, such as scripts and styles, and the headers of pages that load them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""By suffix; files with other suffixes are not served."""

HASH_CHARS: Final = 12
FOREVER: Final = "public, max-age=31536000, immutable"
"""For a name with the hash of its content."""

BRIEFLY: Final = "public, max-age=300, must-revalidate"

PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of HTML pages: nothing inline, nothing from another host, in no frame."""


@dataclass(frozen=True)
class StaticFile:
    """One file.

    Attributes:
        content: its bytes.
        media_type: by its suffix.
        digest: the start of the SHA-256 of its content, in hexadecimal.
    """

    content: bytes
    media_type: str
    digest: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """Read a file."""
        content = path.read_bytes()
        return cls(content, MEDIA_TYPES[path.suffix], sha256(content).hexdigest()[:HASH_CHARS])

    @property
    def etag(self) -> str:
        """The entity tag."""
        return f'"{self.digest}"'


class StaticFolder(BaseRoute):
    """The files of a folder and its subfolders, read once, under a path.

    Each file has two URLs: its name, for which browsers ask again after some minutes, and its name with the hash of
    its content (`widget.js`, `widget.<hash>.js`), which they keep.

    Args:
        path: of the folder, with `/` at both ends.
        folder: the files.
        is_shared: whether pages of other origins may load them.
    """

    def __init__(self, path: str, folder: Path, *, is_shared: bool = False) -> None:
        self.path = path
        found = (each for each in sorted(folder.rglob("*")) if each.suffix in MEDIA_TYPES)
        self._files = {each.relative_to(folder).as_posix(): StaticFile.read(each) for each in found}
        self._hashed = {_with_digest(name, file.digest): file for name, file in self._files.items()}
        self._headers = {"X-Content-Type-Options": "nosniff"}
        if is_shared:
            self._headers |= {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}

    def url(self, name: str) -> str:
        """Return the URL of a file that browsers keep.

        Raises:
            KeyError: there is no such file.
        """
        return self.path + _with_digest(name, self._files[name].digest)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every path inside the folder."""
        is_inside = scope["type"] == "http" and scope["path"].startswith(self.path)
        return (Match.FULL if is_inside else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file.

        Raises:
            HTTPException: 404 if there is none, 405 for a method that would change it.
        """
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, f"{scope['method']} is not allowed on this path: use GET", {"Allow": "GET, HEAD"})
        name = scope["path"].removeprefix(self.path)
        file = self._hashed.get(name) or self._files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = self._headers | {"ETag": file.etag, "Cache-Control": FOREVER if name in self._hashed else BRIEFLY}
        if file.etag in Headers(scope=scope).get("if-none-match", ""):
            await Response(None, 304, headers)(scope, receive, send)
            return
        await Response(file.content, 200, headers, file.media_type)(scope, receive, send)


def _with_digest(name: str, digest: str) -> str:
    """Return a name with a digest before its last suffix.

    >>> _with_digest("a/widget.js", "0f1e")
    'a/widget.0f1e.js'
    """
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.{digest}{dot}{suffix}"
