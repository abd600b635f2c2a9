"""The synchronous client."""

from __future__ import annotations

import atexit
import math
import threading
import time
from types import TracebackType
from typing import TypeVar, Unpack

import httpx

from recsys_client.call import Call
from recsys_client.errors import ApiError, ClientError
from recsys_client.event_buffer import MAX_BATCH, EventBuffer, OnRefused, QueueCounts
from recsys_client.exchange import Failure, Fallback, fallback_answer, headers_of, not_reached, read_answer
from recsys_client.models import Event
from recsys_client.retries import MAX_DOUBLINGS, Retries
from recsys_client.sync_calls import SyncCalls

T = TypeVar("T")


class Client(SyncCalls):
    """Calls the engine; safe to use from any thread.

    Args:
        url: of the engine.
        key: an API key, None if the engine requires none.
        timeout_s: for one attempt: to connect, and between two parts of an answer.
        retries: how often and when a call is sent again.
        fallback: item ids to list where the engine cannot make a list now: for all placements, or by placement ("" for
            the others).
        batch_size: events of one call, at most 1,000.
        flush_s: how long an event waits for others, at most.
        queue_size: events that may wait while the engine is not reached.
        close_s: how long `close`, and the end of the program, wait for the events that are left.
        on_refused: gets each tracked event that the engine refuses, and the errors.
        transport: of httpx, for tests and proxies.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 2.0,
        retries: Retries | None = None,
        fallback: Fallback | None = None,
        batch_size: int = 100,
        flush_s: float = 1.0,
        queue_size: int = 10_000,
        close_s: float = 5.0,
        on_refused: OnRefused | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=headers_of(key), timeout=timeout_s, transport=transport)
        self._retries, self._fallback = retries or Retries(), fallback
        self._buffer = EventBuffer(queue_size, on_refused)
        self._batch_size, self._flush_s, self._close_s = min(batch_size, MAX_BATCH), flush_s, close_s
        self._wakes = threading.Condition()
        self._sending = threading.Lock()
        self._worker: threading.Thread | None = None
        self._is_closed, self._ends_at = False, math.inf

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def counts(self) -> QueueCounts:
        """What became of the tracked events."""
        return self._buffer.counts

    def send(self, call: Call[T]) -> T:
        """Send a call, again if that helps, and return its answer, else the fallback list.

        Raises:
            ApiError: the engine refuses the call.
            UnreachableError: it cannot be reached.
        """
        started, attempt = time.monotonic(), 0
        while True:
            found = self._attempt(call)
            if not isinstance(found, Failure):
                return found
            elapsed = time.monotonic() - started
            pause = self._retries.again(attempt, found.retry_after, elapsed) if found.is_retried else None
            if pause is None:
                break
            time.sleep(pause)
            attempt += 1
        answer = fallback_answer(call, self._fallback, found.error)
        if answer is None:
            raise found.error
        return answer

    def _attempt(self, call: Call[T]) -> T | Failure:
        try:
            return read_answer(call, self._http.request(call.method, call.url, content=call.content))
        except httpx.TransportError as error:
            return not_reached(call, error)

    def track(self, **event: Unpack[Event]) -> bool:
        """Queue an event; it is sent with others, in another thread. False if it was dropped, as the queue is full."""
        if self._is_closed:
            raise ClientError("the client is closed: its events cannot be sent")
        is_kept = self._buffer.add(dict(event))
        if self._worker is None:
            self._start()
        if len(self._buffer) >= self._batch_size:
            with self._wakes:
                self._wakes.notify()
        return is_kept

    def flush(self, seconds: float | None = None) -> bool:
        """Send the events that wait; False if some are left, as the engine cannot be reached in time."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._sending:
            while len(self._buffer):
                if self._send_batch() is not None or (deadline is not None and time.monotonic() > deadline):
                    return not len(self._buffer)
        return True

    def close(self) -> None:
        """Send the events that wait, for a few seconds at most, and close all connections."""
        if self._is_closed:
            return
        self._is_closed, self._ends_at = True, time.monotonic() + self._close_s
        with self._wakes:
            self._wakes.notify()
        if self._worker is not None:
            self._worker.join(self._close_s)
        self._give_up()
        if self._worker is None or not self._worker.is_alive():
            self._http.close()
        atexit.unregister(self.close)

    def _give_up(self) -> None:
        self._buffer.drop(self._buffer.take(len(self._buffer)), "the client was closed before the engine was reached")

    def _start(self) -> None:
        with self._wakes:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="recsys-events", daemon=True)
                self._worker.start()
                atexit.register(self.close)

    def _work(self) -> None:
        attempt = 0
        while True:
            with self._wakes:
                if not self._is_closed and len(self._buffer) < self._batch_size:
                    self._wakes.wait(self._flush_s)
            with self._sending:
                failure = self._send_batch() if len(self._buffer) else None
            if failure is None:
                attempt = 0
                if self._is_closed and not len(self._buffer):
                    return
                continue
            pause = self._retries.pause_s(attempt, failure.retry_after if isinstance(failure, ApiError) else None)
            attempt = min(attempt + 1, MAX_DOUBLINGS)
            if time.monotonic() + pause > self._ends_at:
                self._give_up()
                return
            with self._wakes:
                self._wakes.wait(pause)

    def _send_batch(self) -> ClientError | None:
        """Send one batch; put it back and return the error if it can be sent later."""
        events = self._buffer.take(self._batch_size)
        try:
            self._buffer.settle(events, self.take_events(events=[dict(event) for event in events]))
        except ApiError as error:
            if error.is_temporary:
                self._buffer.put_back(events)
                return error
            self._buffer.drop(events, error)
        except ClientError as error:
            self._buffer.put_back(events)
            return error
        return None
