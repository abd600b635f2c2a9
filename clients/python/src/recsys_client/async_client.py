"""The asynchronous client."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TypeVar, Unpack

import httpx

from recsys_client.async_calls import AsyncCalls
from recsys_client.call import Call
from recsys_client.errors import ApiError, ClientError
from recsys_client.event_buffer import MAX_BATCH, EventBuffer, OnRefused, QueueCounts
from recsys_client.exchange import Failure, Fallback, fallback_answer, headers_of, not_reached, read_answer
from recsys_client.models import Event
from recsys_client.retries import MAX_DOUBLINGS, Retries

T = TypeVar("T")


class AsyncClient(AsyncCalls):
    """Calls the engine from one event loop; arguments are those of `Client`.

    A program ends `async with`, or awaits `aclose`, before its loop ends: then the events that wait are sent.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=headers_of(key), timeout=timeout_s, transport=transport)
        self._retries, self._fallback = retries or Retries(), fallback
        self._buffer = EventBuffer(queue_size, on_refused)
        self._batch_size, self._flush_s, self._close_s = min(batch_size, MAX_BATCH), flush_s, close_s
        self._wakes = asyncio.Event()
        self._sending = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def counts(self) -> QueueCounts:
        """What became of the tracked events."""
        return self._buffer.counts

    async def send(self, call: Call[T]) -> T:
        """Send a call, again if that helps, and return its answer, else the fallback list.

        Raises:
            ApiError: the engine refuses the call.
            UnreachableError: it cannot be reached.
        """
        started, attempt = time.monotonic(), 0
        while True:
            found = await self._attempt(call)
            if not isinstance(found, Failure):
                return found
            elapsed = time.monotonic() - started
            pause = self._retries.again(attempt, found.retry_after, elapsed) if found.is_retried else None
            if pause is None:
                break
            await asyncio.sleep(pause)
            attempt += 1
        answer = fallback_answer(call, self._fallback, found.error)
        if answer is None:
            raise found.error
        return answer

    async def _attempt(self, call: Call[T]) -> T | Failure:
        try:
            return read_answer(call, await self._http.request(call.method, call.url, content=call.content))
        except httpx.TransportError as error:
            return not_reached(call, error)

    def track(self, **event: Unpack[Event]) -> bool:
        """Queue an event; it is sent with others, in a task. False if it was dropped, as the queue is full."""
        if self._is_closed:
            raise ClientError("the client is closed: its events cannot be sent")
        is_kept = self._buffer.add(dict(event))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
        if len(self._buffer) >= self._batch_size:
            self._wakes.set()
        return is_kept

    async def flush(self) -> bool:
        """Send the events that wait; False if some are left, as the engine cannot be reached."""
        async with self._sending:
            while len(self._buffer):
                if await self._send_batch() is not None:
                    return False
        return True

    async def aclose(self) -> None:
        """Send the events that wait, for a few seconds at most, and close all connections."""
        if self._is_closed:
            return
        self._is_closed = True
        self._wakes.set()
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=self._close_s)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._buffer.drop(self._buffer.take(len(self._buffer)), "the client was closed before the engine was reached")
        await self._http.aclose()

    async def _work(self) -> None:
        attempt = 0
        while True:
            if not self._is_closed and len(self._buffer) < self._batch_size:
                await _wait(self._wakes, self._flush_s)
            self._wakes.clear()
            async with self._sending:
                failure = await self._send_batch() if len(self._buffer) else None
            if failure is not None:
                pause = self._retries.pause_s(attempt, failure.retry_after if isinstance(failure, ApiError) else None)
                attempt = min(attempt + 1, MAX_DOUBLINGS)
                await asyncio.sleep(pause)
            else:
                attempt = 0
                if self._is_closed and not len(self._buffer):
                    return

    async def _send_batch(self) -> ClientError | None:
        """Send one batch; put it back and return the error if it can be sent later."""
        events = self._buffer.take(self._batch_size)
        try:
            self._buffer.settle(events, await self.take_events(events=[dict(event) for event in events]))
        except ApiError as error:
            if error.is_temporary:
                self._buffer.put_back(events)
                return error
            self._buffer.drop(events, error)
        except ClientError as error:
            self._buffer.put_back(events)
            return error
        except asyncio.CancelledError:
            self._buffer.put_back(events)
            raise
        return None


async def _wait(wakes: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wakes.wait()
    except TimeoutError:
        return
