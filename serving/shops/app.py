"""The ASGI application of many shops: each call goes to the application of its shop, and to no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from recsys.core.errors import RecsysError
from serving.problems import MEDIA_TYPE as PROBLEM
from serving.problems import failure_of
from serving.responses import Alive, encode
from serving.runtime import telemetry
from serving.runtime.auth import KeyRing
from serving.runtime.settings import Settings, is_loopback
from serving.runtime.traces import check_installed
from serving.shops.folders import KEYS_FILE, ShopFolders
from serving.shops.open_shops import OpenShops

MAX_LABELS: Final = 100
"""Shops that metrics name, the first to be called; all others count as `OTHER`."""

OTHER: Final = "(other)"
KEEP_S: Final = 5.0
"""Interval at which shops that are spare or gone are closed."""

JSON: Final = "application/json"

logger = logging.getLogger(__name__)


class InstallationState(msgspec.Struct, frozen=True):
    """The shops of an installation.

    Attributes:
        n_shops: number of shops.
        n_open: number of shops that are open.
        refused: by shop, what is wrong with its folder.
    """

    n_shops: int
    n_open: int
    refused: dict[str, str]


class ManyShops:
    """An application over the shops of a folder.

    A call is for the shop of its host, else for that of its key. It is answered by the shop's own application, which
    shares no object with others: with a key of another shop it is refused as with an unknown one. Calls that are for
    no shop are answered here: `/health/live`, `/health/ready`, and, with a key of the installation or on a loopback
    address, `/metrics` and `/shops`.

    Args:
        settings: of the installation; `shops` is the folder.

    Raises:
        ConfigError: the keys of the installation cannot be read, or its calls cannot be traced.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.shops is None:
            raise ValueError("there is no folder of shops")
        check_installed(settings.traces)
        self.state = State()
        self._settings = settings
        self._folders = ShopFolders(settings)
        self._open = OpenShops(settings)
        keys = settings.shops / KEYS_FILE
        self._keys = KeyRing(keys) if keys.is_file() else None
        self._labels: set[str] = set()
        registry = self._registry = CollectorRegistry()
        self._calls = Counter(
            "recsys_shop_calls", "Calls by shop and kind of status.", ("shop", "status"), registry=registry
        )
        Gauge("recsys_shops", "Shops.", registry=registry).set_function(lambda: len(self._folders.shops))
        Gauge("recsys_shops_open", "Shops that are open.", registry=registry).set_function(lambda: self._open.n_open)
        Gauge("recsys_shops_refused", "Shops whose folder is wrong.", registry=registry).set_function(
            lambda: len(self._folders.refused)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        shop = self._folders.find(scope["headers"])
        try:
            if shop is None:
                await _send(send, 200, *self._own(scope))
                return
            async with self._open.use(shop) as app:
                await app(scope, receive, self._counted(shop.name, send))
        except (HTTPException, RecsysError) as error:
            failure = failure_of(error)
            if shop is not None:
                self._count(shop.name, failure.problem.status)
            await _send(send, failure.problem.status, PROBLEM, failure.body, dict(failure.headers))

    def _own(self, scope: Scope) -> tuple[str, bytes]:
        """Return the answer of a call that is for no shop.

        Raises:
            HTTPException: 401 or 403 without a key of the installation, 404 for any other path.
        """
        path, headers = scope["path"], scope["headers"]
        if path in {"/health/live", "/health/ready"}:
            return JSON, encode(Alive("live"))
        if path not in {"/metrics", "/shops"}:
            raise HTTPException(
                HTTPStatus.NOT_FOUND, "the call is for no shop: send it to a host, or with a key, of one"
            )
        if self._keys is not None:
            self._keys.check(headers, "operate", "recommend")
        elif not is_loopback(self._settings.host):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"make {KEYS_FILE} in the folder of shops for this call")
        if path == "/metrics":
            return telemetry.MEDIA_TYPE, generate_latest(self._registry)
        state = InstallationState(len(self._folders.shops), self._open.n_open, dict(self._folders.refused))
        return JSON, encode(state)

    def _counted(self, name: str, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(name, message["status"])
            await send(message)

        return counting

    def _count(self, name: str, status: int) -> None:
        if name not in self._labels and len(self._labels) < MAX_LABELS:
            self._labels.add(name)
        self._calls.labels(name if name in self._labels else OTHER, f"{status // 100}xx").inc()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and end with the server."""
        await receive()
        self._folders.refresh()  # the first look takes about a millisecond per shop
        keeping = asyncio.create_task(self._keep())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await self._open.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                self._folders.refresh()
                await self._open.keep(frozenset(self._folders.shops))
            except Exception:  # a fault of one folder ends no other shop's
                logger.exception("shops that are gone or spare cannot be closed")


async def _send(send: Send, status: int, media_type: str, body: bytes, more: dict[str, str] | None = None) -> None:
    headers = {
        "content-type": media_type,
        "cache-control": "no-store",
        "content-length": str(len(body)),
        **(more or {}),
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
