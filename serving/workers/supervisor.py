"""The accepting process: starts the workers, replaces those that end or hang, and shares the connections among them."""

from __future__ import annotations

import logging
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from uvicorn.config import STARTUP_FAILURE

from recsys.core.errors import ConfigError
from serving.runtime.settings import Settings
from serving.workers.balance import WorkerLoad, for_moved_connection, for_new_connection, too_busy
from serving.workers.channel import Order
from serving.workers.config import BACKLOG
from serving.workers.handle import Target, Worker
from serving.workers.worker import HARD_END_S, run_worker

TICK_S: Final = 0.1
BALANCE_S: Final = 1.0
PLACE_S: Final = 0.005
"""How soon a connection that no worker has room for is handed over again."""

ACCEPTS_PER_TURN: Final = 64
MAX_RETRY_S: Final = 30.0
LASTING_S: Final = 60.0
"""A worker that has served this long is replaced at once; one that ends earlier, after a growing delay."""

logger = logging.getLogger(__name__)


@dataclass
class Place:
    """One of the server's workers, through all its replacements.

    Attributes:
        worker: None while the next one waits for its start.
        start_at: when the worker was, or will be, started; a monotonic clock.
        retry_s: delay before the next start.
    """

    worker: Worker | None = None
    start_at: float = 0.0
    retry_s: float = TICK_S


class Supervisor:
    """Accepts connections and hands each to the worker with the fewest open ones.

    Args:
        settings: `workers` is their number.
        listener: a bound socket; it listens as soon as a worker serves.
        target: what a worker process runs.
    """

    def __init__(self, settings: Settings, listener: socket.socket, target: Target = run_worker) -> None:
        listener.setblocking(False)
        self._settings, self._listener, self._target = settings, listener, target
        self._selector = selectors.DefaultSelector()
        self._places = [Place() for _ in range(settings.workers)]
        self._is_listening = self._is_crowded = False
        self._unplaced: socket.socket | None = None  # a connection that no worker has room for yet
        self._signals: list[int] = []
        self._balanced_at = 0.0

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then let the workers complete their requests.

        Raises:
            ConfigError: the address is in use, or no worker can start.
        """
        allow_many_files()
        with self._handled_signals():
            try:
                while not self._signals:
                    self._tend()
                    for key, _ in self._selector.select(TICK_S if self._unplaced is None else PLACE_S):
                        key.data()
                    if self._unplaced is not None:
                        self._accept()
            finally:
                self._stop()

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        handled = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(each, lambda number, _: self._signals.append(number)) for each in handled]
        try:
            yield
        finally:
            for each, handler in zip(handled, before, strict=True):
                signal.signal(each, handler)

    @property
    def _ready(self) -> list[Worker]:
        return [place.worker for place in self._places if place.worker and place.worker.is_ready]

    def _tend(self) -> None:
        """Start the workers that are due, end those that hang, and even out the load."""
        now = time.monotonic()
        for place in self._places:
            if place.worker is None:
                if now >= place.start_at:
                    self._start(place)
            elif place.worker.exit_code is not None:
                self._ended(place, place.worker)
            elif place.worker.is_hung():
                logger.error("worker %d hangs: it is replaced", place.worker.pid)
                self._ended(place, place.worker)
        self._accept_if(bool(self._ready) and self._unplaced is None)
        if now - self._balanced_at >= BALANCE_S:
            self._balanced_at = now
            self._balance()

    def _start(self, place: Place) -> None:
        # Inherited: a signal to the whole group must not end what workers are forked from. Here it is delivered later.
        ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        try:
            worker = Worker(self._settings, self._target)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        place.worker, place.start_at = worker, time.monotonic()
        self._selector.register(worker.channel, selectors.EVENT_READ, lambda: self._receive(worker))

    def _ended(self, place: Place, worker: Worker) -> None:
        self._selector.unregister(worker.channel)
        worker.end()
        if worker.exit_code == STARTUP_FAILURE and not worker.is_ready and not self._is_listening:
            raise ConfigError("the server cannot start: the log of its workers has the reason")
        if time.monotonic() - place.start_at > LASTING_S:
            place.retry_s = TICK_S
        logger.warning("worker %d has ended (exit code %s): another one is started", worker.pid, worker.exit_code)
        place.worker, place.start_at = None, time.monotonic() + place.retry_s
        place.retry_s = min(2 * place.retry_s, MAX_RETRY_S)

    def _accept_if(self, wanted: bool) -> None:
        """Accept connections only while a worker has room for them; until then, they wait in the backlog."""
        is_accepting = self._listener in self._selector.get_map()
        if wanted and not self._is_listening:
            try:
                self._listener.listen(BACKLOG)
            except OSError as error:
                raise ConfigError(
                    f"cannot listen on {self._settings.host} port {self._settings.port}: {error}"
                ) from None
            self._is_listening = True
        if wanted and not is_accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        elif not wanted and is_accepting:
            self._selector.unregister(self._listener)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self._unplaced is None:
                try:
                    self._unplaced, _ = self._listener.accept()
                except OSError:  # none waits, the caller has gone, or too many files are open
                    break
            if not self._hand_over(self._unplaced.fileno(), for_new_connection):
                break
            self._unplaced.close()
            self._unplaced = None
        self._note_crowd()

    def _hand_over(self, fd: int, order: Callable[[Sequence[WorkerLoad]], list[int]]) -> bool:
        """Give a connection to the first worker that has room; return whether any has."""
        workers = self._ready
        return any(workers[number].serve(fd) for number in order([worker.load for worker in workers]))

    def _receive(self, worker: Worker) -> None:
        while (message := worker.channel.receive()) is not None:
            if not message.content:
                return  # it has ended: its exit code comes with the next turn
            if not worker.is_ready and self._is_crowded:
                worker.channel.send(Order.CROWDED)
            worker.received(message.content)
            if message.fd is not None:
                with socket.socket(fileno=message.fd) as returned:
                    if not self._hand_over(returned.fileno(), for_moved_connection):
                        logger.warning("a connection is closed: no worker has room for it")
        self._note_crowd()

    def _note_crowd(self) -> None:
        """Let the workers refuse requests that wait too long, only while there are many connections."""
        is_crowded = sum(worker.load.n_open for worker in self._ready) > self._settings.patient_connections
        if is_crowded != self._is_crowded:
            self._is_crowded = is_crowded
            for worker in self._ready:
                worker.channel.send(Order.CROWDED if is_crowded else Order.CALM)

    def _balance(self) -> None:
        workers = self._ready
        for worker in workers:
            worker.balance()
        busiest = too_busy([worker.load for worker in workers])
        if busiest is not None:
            workers[busiest].channel.send(Order.GIVE_BACK)

    def _stop(self) -> None:
        if self._is_listening:
            for _ in range(BACKLOG // ACCEPTS_PER_TURN):  # callers that are connected already are answered
                self._accept()
        self._listener.close()
        if self._unplaced is not None:
            self._unplaced.close()
        self._selector.close()
        workers = [place.worker for place in self._places if place.worker is not None]
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + self._settings.shutdown_seconds + HARD_END_S
        for worker in workers:
            worker.end(max(deadline - time.monotonic(), 0.0))


def allow_many_files() -> None:
    """Raise the soft limit of open files, one per connection, to the hard one; workers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
