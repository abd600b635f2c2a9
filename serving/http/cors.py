"""Calls from pages of other origins: which ones a browser may send, and the headers that tell it so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.exceptions import HTTPException

from serving.problems import shown

Headers = Iterable[tuple[bytes, bytes]]

MAX_AGE_S: Final = 7200
"""How long a browser may remember the answer to a preflight."""

_ORIGIN: Final = b"origin"
_WANTED_METHOD: Final = b"access-control-request-method"


class OriginPolicy:
    """The origins whose pages may call the server.

    Args:
        origins: such as `https://shop.example`; none refuses all.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, request: Headers) -> dict[str, str]:
        """Return the headers that let the page of a request read the answer; none for another origin."""
        origin = _header(request, _ORIGIN) if self._origins else None
        if origin not in self._origins or origin is None:
            return {}
        allowed = origin.decode()
        return {
            "Access-Control-Allow-Origin": allowed,
            "Access-Control-Expose-Headers": "Retry-After, RateLimit, RateLimit-Policy",
            "Vary": "Origin",
        }

    def preflight(self, request: Headers, methods: Iterable[str]) -> dict[str, str]:
        """Return the headers of the answer to a preflight, for a path with these methods.

        Raises:
            HTTPException: 403, the origin may not call the server.
        """
        allowed = self.headers(request)
        if not allowed:
            found = shown((_header(request, _ORIGIN) or b"").decode("latin-1"))
            raise HTTPException(
                403, f"pages of {found!r} may not call this server: add the origin to RECSYS_ALLOWED_ORIGINS"
            )
        return allowed | {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": "authorization, content-type, x-api-key",
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }


def is_preflight(method: str, request: Headers) -> bool:
    """Return whether a browser asks if a page may send a request."""
    return method == "OPTIONS" and _header(request, _WANTED_METHOD) is not None


def _header(request: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in request if name == wanted), None)
