"""The call for push jobs: one request per line in, one result per line out, as they come."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.exceptions import HTTPException
from starlette.types import Receive

from serving.api.lists import ExplainedRecommendations, list_response
from serving.api.planned_messages import PlannedMessage, is_plan, messages_response
from serving.api.request_models import ListRequest
from serving.http.body import JSON, Body, Headers, check_headers
from serving.http.byte_budget import HeldBytes
from serving.http.caller import Caller
from serving.http.fields import Integer, Label, NoParameters
from serving.http.operation import CountedCall, Operation
from serving.problems import CapacityError, FieldError, InvalidRequestError, LimitError, Problem, failure_of
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.snapshot import Snapshot

NDJSON: Final = "application/x-ndjson"
MAX_LINE_BYTES: Final = 65_536
MAX_LINES: Final = 100_000
MAX_BYTES: Final = 16 << 20
"""Of one call, all of which may have to wait in memory: a caller that sends everything first must not block."""

PART_BYTES: Final = 16_384
"""Results are sent once they have this size, or no line waits."""

LINE_BYTES: Final = 48
"""Memory that a waiting line takes besides its text."""

TURN_S: Final = 0.01
"""How long lines of one call are worked on before it is the turn of another one."""

LineId = Label | Integer | None


class BatchRequestLine(ListRequest, frozen=True, kw_only=True):
    """One line: a body of `POST /v1/recommendations`, and the caller's own id of the line.

    Attributes:
        id: returned with the result.
        log: whether the list is recorded as shown at once; else `POST /v1/impressions` reports that it was sent.
    """

    id: LineId = None
    log: bool = False


class BatchResponseLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: the result of a line of the request.

    Attributes:
        line: number of the request's line, from 1; empty lines count and have no result.
        id: as given in the request, null if it has none that can be read.
        answer: the list, as `POST /v1/recommendations` returns it.
        messages: the shopper's messages, if the placement is `push_plan`.
        problem: why there is no list.
    """

    line: int
    id: LineId
    answer: (
        Annotated[Any, Meta(extra_json_schema={"$ref": f"#/components/schemas/{ExplainedRecommendations.__name__}"})]
        | UnsetType
    ) = UNSET
    messages: list[PlannedMessage] | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class _IdOfLine(msgspec.Struct):
    """The id of a line, whatever else the line contains."""

    id: LineId = None


@dataclass(frozen=True)
class NdjsonBody(Body[BatchRequestLine]):
    """Lines of JSON, each read in its turn; `application/json` is a single one."""

    struct: type[BatchRequestLine] = BatchRequestLine
    media_type: str = NDJSON
    alternatives: tuple[str, ...] = (JSON,)

    async def read(
        self, headers: Headers, receive: Receive, max_bytes: int, seconds: float, held: HeldBytes | None = None
    ) -> Any:
        """Return a `BatchReader` of the lines, or the single body.

        Raises:
            CapacityError: the server holds too much for others.
            HTTPException: 408, 413 or 415, as for every body.
            InvalidRequestError: what is wrong with the single body.
        """
        headers = tuple(headers)
        essence = dict(headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
        if essence == JSON.encode():
            return await LINE.read(headers, receive, max_bytes, seconds, held)
        check_headers(headers, self.media_type, MAX_BYTES)  # its lines are answered meanwhile: it needs not fit at once
        return BatchReader(receive, HeldBytes() if held is None else held)


class BatchReader:
    """Receives lines while earlier ones are answered, so that a caller that sends all before reading never blocks.

    Args:
        receive: of the request.
        held: counts the bytes that wait.

    Attributes:
        waiting: complete lines, without their ends.
        fault: why the rest is not read, None if all is.
    """

    def __init__(self, receive: Receive, held: HeldBytes) -> None:
        self._receive, self._held = receive, held
        self._received = asyncio.Event()
        self._rest = b""
        self._n_bytes = self._n_lines = 0
        self._is_over = self._is_disconnected = False
        self.waiting: deque[bytes] = deque()
        self.fault: Exception | None = None

    async def next(self, seconds: float) -> bytes | None:
        """Return the next line, None after the last one, or if the caller has disconnected or sends none in time.

        Args:
            seconds: how long a line may take to arrive. Only waiting counts, not the work on earlier lines.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (self.waiting or self._is_over or self._is_disconnected):
                    self._received.clear()
                    await self._received.wait()
        except TimeoutError:
            self._stop(HTTPException(408, f"no complete line arrived for {seconds:g} s: send the rest in another call"))
        return self.waiting.popleft() if self.waiting and not self._is_disconnected else None

    async def run(self) -> None:
        """Receive to the end, and then until the caller disconnects."""
        while not self._is_disconnected:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_disconnected = True
            elif self._is_over:
                self._held.give_back(len(message.get("body", b"")))
            else:
                self._append(message.get("body", b""), is_last=not message.get("more_body", False))
            self._received.set()

    def _append(self, part: bytes, *, is_last: bool) -> None:
        if not self._held.add(LINE_BYTES * (part.count(b"\n") + is_last)):
            self._stop(CapacityError())
            return
        self._n_bytes += len(part)
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest[: MAX_LINE_BYTES + 1]  # enough to recognize a line that is too long
        if is_last and rest:
            lines.append(rest)
        room = MAX_LINES - self._n_lines
        self._n_lines += len(lines)
        self.waiting.extend(lines[:room])
        self._is_over = is_last
        if self._n_bytes > MAX_BYTES or self._n_lines > MAX_LINES:
            detail = f"a call has at most {MAX_BYTES} bytes and {MAX_LINES} lines: send the rest in another one"
            self._stop(HTTPException(413, detail))

    def answered(self, n_lines: int, n_bytes: int) -> None:
        """Note that some lines of so many bytes together no longer wait."""
        self._held.give_back(n_bytes + n_lines * (LINE_BYTES + 1))

    def _stop(self, fault: Exception) -> None:
        self._is_over = True
        self.fault = fault


async def recommend_batch(
    app_context: AppContext, call: NoParameters, body: BatchReader | BatchRequestLine, caller: Caller
) -> bytes | AsyncIterator[bytes]:
    """Return many lists: each line of the request is a body of `POST /v1/recommendations`, with an `id` of its own.

    The results come in the order of the request, one per line, as soon as they are made: `answer`, or `problem` for a
    line that is wrong, which does not affect the others. With the placement `push_plan`, a line has the `messages` of
    the user by the server's push plan. All lists of a call are from the models that are served at its start. A body of
    `application/json` is a single line, and if it is wrong the call fails. The lists do not count as shown until
    `POST /v1/impressions` reports that they were sent.
    """
    snapshot_of = app_context.watcher.snapshot
    if isinstance(body, BatchRequestLine):
        return await app_context.lists.run(lambda: _line(1, body.id, *_response(app_context, snapshot_of(), body)))
    return _results(app_context, await app_context.lists.run(snapshot_of, is_patient=True), body, caller)


async def _results(
    app_context: AppContext, snapshot: Snapshot, reader: BatchReader, caller: Caller
) -> AsyncIterator[bytes]:
    """Yield results, several at once while more lines wait, up to the end of the caller's quota."""
    receiving = asyncio.create_task(reader.run())
    part = b""
    try:
        number = 0
        while (raw := await reader.next(app_context.settings.body_seconds)) is not None:
            try:
                caller.charge(min(number, 1))  # the call itself counts as its first line
            except LimitError as error:
                reader.fault = error
                break
            job = partial(_some_results, app_context, snapshot, number, raw, reader.waiting)
            last = number
            more, number, n_bytes = await app_context.lists.run(job, is_patient=True)
            reader.answered(number - last, n_bytes)
            caller.spend(number - last - 1)
            part += more
            if len(part) >= PART_BYTES or not reader.waiting:
                yield part
                part = b""
        if reader.fault is not None:
            part += _line(number + 1, None, b"problem", failure_of(reader.fault).body)
        yield part
    finally:
        receiving.cancel()
        with suppress(asyncio.CancelledError):
            await receiving


def _some_results(
    app_context: AppContext, snapshot: Snapshot, number: int, raw: bytes, waiting: deque[bytes]
) -> tuple[bytes, int, int]:
    """Return the results of a line and of the next waiting ones, the number of the last of these lines, and their size.

    They take about `TURN_S`: then it is the turn of other requests.
    """
    end = time.monotonic() + TURN_S
    parts, n_bytes, n_read = [], 0, 0
    while True:
        number += 1
        n_read += len(raw)
        parts.append(_result(app_context, snapshot, number, raw))
        n_bytes += len(parts[-1])
        if not waiting or n_bytes >= PART_BYTES or time.monotonic() >= end:
            return b"".join(parts), number, n_read
        raw = waiting.popleft()


def _result(app_context: AppContext, snapshot: Snapshot, number: int, raw: bytes) -> bytes:
    """Return the result of one line; nothing for an empty one."""
    if not raw.strip():
        return b""
    line_id: LineId = None
    name, response = b"answer", b""
    with CountedCall(app_context) as call:
        call.placement = ""
        if len(raw) > MAX_LINE_BYTES:
            raise InvalidRequestError([FieldError("", f"the line is longer than {MAX_LINE_BYTES} bytes")])
        line_id = _id_of(raw)
        body = LINE.decode(raw)
        call.placement = body.placement
        name, response = _response(app_context, app_context.watcher.up_to_date(snapshot), body)
    call.count()
    if call.failure is not None:
        return _line(number, line_id, b"problem", call.failure.body)
    return _line(number, line_id, name, response)


def _response(app_context: AppContext, snapshot: Snapshot, body: BatchRequestLine) -> tuple[bytes, bytes]:
    """Return the name and the value of a line's result."""
    if is_plan(snapshot, body):
        return b"messages", messages_response(app_context, snapshot, body)
    return b"answer", list_response(app_context, snapshot, body)


def _id_of(raw: bytes) -> LineId:
    """Return the id of a line, None if it cannot be read."""
    try:
        return msgspec.json.decode(raw, type=_IdOfLine).id
    except (ValueError, RecursionError):
        return None


def _line(number: int, line_id: LineId, name: bytes, value: bytes) -> bytes:
    return b'{"line":%d,"id":%b,"%b":%b}\n' % (number, encode(line_id), name, value)


LINE: Final = Body(BatchRequestLine)

OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/batch",
        NoParameters,
        recommend_batch,
        "recommendations",
        (BatchResponseLine,),
        failures=(503,),
        media_type=NDJSON,
        scope="recommend",
        body=NdjsonBody(),
        takes_caller=True,
    ),
)
