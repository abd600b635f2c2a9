"""The servers of the shops that are open: opened by their first call, closed when others need the room."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import FastAPI

from recsys.core.errors import RecsysError
from serving.app import create_app
from serving.problems import NotReadyError
from serving.runtime.app_context import with_start_time
from serving.runtime.pace import Pace
from serving.runtime.settings import Settings
from serving.shops.folders import Shop

OPENING: Final = 2
"""Shops that are opened at a time: each takes a core."""

RETRY_S: Final = 5
FAILED: Final = "the shop cannot be opened; the server's log has the reason"

logger = logging.getLogger(__name__)


@dataclass
class OpenShop:
    """A shop's own server.

    Attributes:
        shop: as it was opened.
        app: its application.
        lifespan: ends it.
        n_calls: calls that are being answered.
    """

    shop: Shop
    app: FastAPI
    lifespan: AsyncExitStack
    n_calls: int = 0

    @property
    def pace(self) -> Pace:
        """The pauses of its tasks in the background."""
        pace: Pace = self.app.state.app_context.pace
        return pace


@dataclass
class _Place:
    """What is known of one shop: at most one task opens or closes it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    opened: OpenShop | None = None
    failed: Shop | None = None
    retry_at: float = 0.0


class OpenShops:
    """The open shops of one process, the least recently called first; only the event loop may use it.

    Args:
        base: the settings of the installation.
    """

    def __init__(self, base: Settings) -> None:
        self._base = base
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._opening = asyncio.Semaphore(OPENING)
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def n_open(self) -> int:
        """Number of open shops."""
        return sum(place.opened is not None for place in self._places.values())

    @asynccontextmanager
    async def use(self, shop: Shop) -> AsyncIterator[FastAPI]:
        """Keep a shop open for one call; it is opened first if it is closed, or has changed.

        Raises:
            NotReadyError: it cannot be opened; the log has the reason.
        """
        place = self._places.setdefault(shop.name, _Place())
        self._places.move_to_end(shop.name)
        opened = place.opened
        if opened is None or opened.shop != shop:
            async with place.lock:
                opened = await self._opened(place, shop)
        opened.n_calls += 1
        try:
            async with opened.pace.awake():
                yield opened.app
        finally:
            opened.n_calls -= 1

    async def keep(self, known: frozenset[str]) -> None:
        """Close shops that are gone, and the least recently called ones while too many are open.

        A shop with a call under way stays open.

        Args:
            known: names of the shops that are still there.
        """
        spare = self.n_open - self._base.max_open_shops
        for name, place in tuple(self._places.items()):
            is_spare = spare > 0 and place.opened is not None
            if (name in known and not is_spare) or place.lock.locked():
                continue
            if place.opened is not None and place.opened.n_calls:
                continue
            spare -= place.opened is not None
            async with place.lock:
                await self._close(place)
            if name not in known:
                self._places.pop(name, None)

    async def close(self) -> None:
        """Close all shops."""
        for place in self._places.values():
            async with place.lock:
                await self._close(place)
        await asyncio.gather(*self._ending)

    async def _opened(self, place: _Place, shop: Shop) -> OpenShop:
        if place.opened is not None and place.opened.shop == shop:
            return place.opened
        if place.failed == shop and time.monotonic() < place.retry_at:
            raise NotReadyError(FAILED, RETRY_S)
        async with self._opening:
            try:
                app = await asyncio.to_thread(lambda: create_app(with_start_time(self._settings(shop))))
                app.state.app_context.pace.may_rest = True
                lifespan = AsyncExitStack()
                await lifespan.enter_async_context(app.router.lifespan_context(app))
            except (RecsysError, OSError) as error:
                logger.error("shop %s cannot be opened: %s", shop.name, error)
                place.failed, place.retry_at = shop, time.monotonic() + RETRY_S
                raise NotReadyError(FAILED, RETRY_S) from error
        before, place.opened = place.opened, OpenShop(shop, app, lifespan)
        if before is not None:  # its calls go on beside those of the new one
            ending = asyncio.create_task(_end(before))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        return place.opened

    def _settings(self, shop: Shop) -> Settings:
        """Return the settings of a shop; its page tokens stay valid while it is closed and opened again."""
        settings = shop.settings(self._base)
        page_key = hmac.new((self._base.page_key or "").encode(), shop.name.encode(), "sha256").hexdigest()
        return settings.model_copy(update={"page_key": page_key})

    async def _close(self, place: _Place) -> None:
        opened, place.opened = place.opened, None
        if opened is not None:
            await _end(opened)


async def _end(opened: OpenShop) -> None:
    """End a shop's server, after the calls that are under way."""
    while opened.n_calls:
        await asyncio.sleep(0.01)
    await opened.lifespan.aclose()
