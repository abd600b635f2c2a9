"""A worker process: it serves the connections that the accepting process hands to it, and ends with that process."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing.connection import Connection as Lifeline
from typing import TYPE_CHECKING, Final

from serving.workers.channel import Channel, Order

if TYPE_CHECKING:
    import uvicorn

    from serving.http.connection import GuardedConnection
    from serving.http.graceful import GracefulServer
    from serving.runtime.app_context import AppContext
    from serving.runtime.settings import Settings

BEAT_S: Final = 0.2
START_POLL_S: Final = 0.01
GIVE_BACK_S: Final = 1.0
"""How long an order to return a connection is valid: the load may have changed since."""

ORDERS_PER_TURN: Final = 16
"""Bounds how long a crowd of new connections delays the others; the rest waits for the next turn of the event loop."""

HARD_END_S: Final = 5
"""How long a worker whose parent has ended may take beyond the time for running requests."""


def run_worker(settings: Settings, end: socket.socket, lifeline: Lifeline) -> None:
    """Serve until SIGTERM, or until the accepting process has ended; the target of a new process.

    Args:
        settings: as started.
        end: of the channel to the accepting process.
        lifeline: a pipe whose other end only the accepting process holds.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # reaches the whole group: the parent ends its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the process that it is forked from blocks it
    gc.freeze()  # else a collection writes to the objects of the modules that all workers share, which copies them
    threading.Thread(target=_end_with_parent, args=(lifeline, settings), daemon=True).start()
    # Imported here, so that a worker whose parent ends during the seconds of these imports ends too.
    from serving.app import create_app, log_to_stderr
    from serving.workers.config import uvicorn_config

    log_to_stderr()
    app = create_app(settings)
    config = uvicorn_config(settings, app)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(config, app.state.app_context, Channel(end)))


def _end_with_parent(lifeline: Lifeline, settings: Settings) -> None:
    """Wait until the parent has ended, ask this process to end as it would by SIGTERM, and end it if it does not."""
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(settings.shutdown_seconds + HARD_END_S)
    os._exit(1)


async def _serve(config: uvicorn.Config, app_context: AppContext, channel: Channel) -> None:
    from serving.http.graceful import GracefulServer

    server = GracefulServer(config)
    serving = asyncio.create_task(server.serve(sockets=[]))
    while not server.started and not serving.done():
        await asyncio.sleep(START_POLL_S)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    link = WorkerLink(server, channel)
    app_context.lists.is_crowded = link.is_crowded
    reporting = asyncio.create_task(link.run())
    try:
        await serving
    finally:
        reporting.cancel()


class WorkerLink:
    """The worker's end of the channel: receives connections and orders, reports the connections that have ended.

    Args:
        server: serves the connections.
        channel: to the accepting process.
    """

    def __init__(self, server: GracefulServer, channel: Channel) -> None:
        self._server, self._channel = server, channel
        server.on_idle, server.on_lost = self._idle, self._ended
        self._loop = asyncio.get_running_loop()
        self._n_ended = 0
        self._is_report_due = False
        self._give_back_until = 0.0
        self._is_crowded = False

    def is_crowded(self) -> bool:
        """Return whether the server has many connections, by the last order."""
        return self._is_crowded

    async def run(self) -> None:
        """Report at intervals, so that the accepting process knows that this event loop runs."""
        self._loop.add_reader(self._channel.fileno(), self._receive)
        while True:
            self._report()
            await asyncio.sleep(BEAT_S)

    def _receive(self) -> None:
        for _ in range(ORDERS_PER_TURN):
            message = self._channel.receive()
            if message is None:
                return
            if message.content == Order.SERVE:
                self._loop.create_task(self._open(message.fd))
            elif message.content == Order.GIVE_BACK:
                self._give_back_until = time.monotonic() + GIVE_BACK_S
            elif message.content in (Order.CROWDED, Order.CALM):
                self._is_crowded = message.content == Order.CROWDED
            elif not message.content:
                self._loop.remove_reader(self._channel.fileno())
                self._server.should_exit = True
                return

    async def _open(self, fd: int | None) -> None:
        """Serve a connection; without a descriptor, this process has too many open and the connection is gone."""
        if fd is None:
            self._ended()
            return
        if not await self._server.open(socket.socket(fileno=fd)):
            self._ended()

    def _idle(self, connection: GuardedConnection) -> None:
        if self._give_back_until:
            self._loop.call_soon(self._give_back, connection)  # its response is written at the end of this turn

    def _give_back(self, connection: GuardedConnection) -> None:
        if time.monotonic() > self._give_back_until:
            self._give_back_until = 0.0
            return
        fd = connection.detach()
        if fd is None:
            return
        self._give_back_until = 0.0
        if not self._channel.send(_report(self._n_ended), fd):
            self._loop.create_task(self._reopen(fd))
            return
        os.close(fd)

    async def _reopen(self, fd: int) -> None:
        self._n_ended -= 1  # it goes on here
        await self._open(fd)

    def _ended(self) -> None:
        """Count a connection that has ended, and report all of this turn together."""
        self._n_ended += 1
        if not self._is_report_due:
            self._is_report_due = True
            self._loop.call_soon(self._report)

    def _report(self) -> None:
        self._is_report_due = False
        self._channel.send(_report(self._n_ended))


def _report(n_ended: int) -> bytes:
    return n_ended.to_bytes(8, sys.byteorder)


def n_ended_of(report: bytes) -> int:
    """Return how many of a worker's connections have ended since its start, by its report."""
    return int.from_bytes(report, sys.byteorder)
