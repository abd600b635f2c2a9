"""The call for push jobs: a question a line in, an answer a line out, as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from serving.api.lists import listed
from serving.api.request_models import ListRequest
from serving.http.body import JSON, Body
from serving.http.operation import Operation
from serving.http.parameters import Nothing
from serving.problems import FieldError, InvalidRequestError, Problem, failure_of
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import Snapshot

NDJSON: Final = "application/x-ndjson"
MAX_LINE_BYTES: Final = 65_536
MAX_LINES: Final = 100_000
MAX_BYTES: Final = 16 << 20
"""Of one call, all of which may have to wait in memory: a caller that first sends everything must not stand still."""

PART_BYTES: Final = 16_384
"""Answers are sent on once they make this much, or no line waits."""

LineId = Annotated[str, Meta(max_length=256)] | Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | None


class BatchRequestLine(ListRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line: a question as `POST /v1/recommendations` takes it, and the caller's own mark on it.

    Attributes:
        id: comes back with the answer.
    """

    id: LineId = None


class BatchResponseLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: what a question's line came to.

    Attributes:
        line: number of the question's line, from 1; empty lines count and have no answer.
        id: as the question gave it, null if it gave none that can be read.
        answer: the list, as `POST /v1/recommendations` gives it.
        problem: why there is none.
    """

    line: int
    id: LineId
    answer: Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/Explained"})] | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class _Marked(msgspec.Struct):
    """All that is needed of a bad line."""

    id: LineId = None


@dataclass(frozen=True)
class NdjsonBody(Body[BatchRequestLine]):
    """Lines of JSON, each read when its turn comes; `application/json` is a single one."""

    struct: type[BatchRequestLine] = BatchRequestLine
    media_type: str = NDJSON
    others: tuple[str, ...] = (JSON,)

    async def read(self, scope: Scope, receive: Receive, max_bytes: int) -> Any:  # a `BatchReader` as well
        """A `BatchReader` of what comes, or the one question.

        Raises:
            HTTPException: 413 or 415, as every body.
            InvalidRequestError: what is wrong with the one question.
        """
        headers = dict(scope["headers"])
        essence = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if essence == JSON.encode():
            return await Body(BatchRequestLine).read(scope, receive, max_bytes)
        self._check_type({name: value.decode("latin-1") for name, value in headers.items()})
        if int(headers.get(b"content-length", b"0")) > MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BYTES} bytes: send it in several calls")
        return BatchReader(receive)


class BatchReader:
    """Takes what a caller sends while its lines are worked on, so that one who sends all before reading never hangs.

    Args:
        receive: of the request.

    Attributes:
        waiting: lines that are whole, without their ends.
        fault: why the rest is not read, None if all is.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._came = asyncio.Event()
        self._rest = b""
        self._n_bytes = self._n_lines = 0
        self._is_over = self._is_gone = False
        self.waiting: deque[bytes] = deque()
        self.fault: HTTPException | None = None

    async def next(self, seconds: float) -> bytes | None:
        """The next line, None after the last one or where the caller has left, or sends none.

        Args:
            seconds: how long a line may take to come. Only waiting counts, not the work on the lines before.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (self.waiting or self._is_over or self._is_gone):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            self._stop(408, f"no whole line came for {seconds:g} s: send the rest in another call")
        return self.waiting.popleft() if self.waiting and not self._is_gone else None

    async def pump(self) -> None:
        """Read to the end, and on until the caller leaves."""
        while not self._is_gone:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_gone = True
            elif not self._is_over:
                self._take(message.get("body", b""), is_last=not message.get("more_body", False))
            self._came.set()

    def _take(self, part: bytes, *, is_last: bool) -> None:
        self._n_bytes += len(part)
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest[: MAX_LINE_BYTES + 1]  # of a line that is too long, enough to tell that it is
        if is_last and rest:
            lines.append(rest)
        room = MAX_LINES - self._n_lines
        self._n_lines += len(lines)
        self.waiting.extend(lines[:room])
        self._is_over = is_last
        if self._n_bytes > MAX_BYTES or self._n_lines > MAX_LINES:
            self._stop(
                413, f"a call is of at most {MAX_BYTES} bytes and {MAX_LINES} lines: send the rest in another one"
            )

    def _stop(self, status: int, why: str) -> None:
        self._is_over = True
        self.fault = HTTPException(status, why)


async def recommend_batch(
    service: AppContext, call: Nothing, lines: BatchReader | BatchRequestLine
) -> bytes | AsyncIterator[bytes]:
    """List for many at once: a question a line, each as `POST /v1/recommendations` takes it, with a mark `id`.

    The answers come in the questions' order, a line each, as soon as they are made: `answer`, or `problem` for a line
    that is wrong, which never loses the rest. All lists of a call are of one model. A body of `application/json` is a
    single question, and if that is wrong so is the call.
    """
    snapshot = service.state.snapshot()
    if isinstance(lines, BatchRequestLine):
        return _line(1, lines.id, b"answer", listed(service, snapshot, lines))
    return _answers(service, snapshot, lines)


async def _answers(service: AppContext, snapshot: Snapshot, reader: BatchReader) -> AsyncIterator[bytes]:
    """Answers, gathered while more lines wait."""
    pump = asyncio.create_task(reader.pump())
    part = b""
    try:
        number = 0
        while (raw := await reader.next(service.settings.body_seconds)) is not None:
            number += 1
            part += _answer(service, snapshot, number, raw)
            await asyncio.sleep(0)  # all other requests that came meanwhile go first
            if len(part) >= PART_BYTES or not reader.waiting:
                yield part
                part = b""
        if reader.fault is not None:
            part += _line(number + 1, None, b"problem", failure_of(reader.fault).body)
        yield part
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump


def _answer(service: AppContext, snapshot: Snapshot, number: int, raw: bytes) -> bytes:
    """One line for another; nothing for an empty one."""
    if not raw.strip():
        return b""
    started, placement = perf_counter(), ""
    mark: LineId = None
    try:
        if len(raw) > MAX_LINE_BYTES:
            raise InvalidRequestError([FieldError("", f"the line is longer than {MAX_LINE_BYTES} bytes")])
        mark = _mark(raw)
        question = QUESTION.decode(raw)
        placement = question.placement
        body = listed(service, service.state.up_to_date(snapshot), question)
        status, line = 200, _line(number, mark, b"answer", body)
    except Exception as error:  # whatever is wrong with one line, the others come
        failure = failure_of(error)
        status, line = failure.problem.status, _line(number, mark, b"problem", failure.body)
    known = placement in snapshot.recommender.placements
    service.telemetry.answered(placement if known else "", status, perf_counter() - started)
    return line


def _mark(raw: bytes) -> LineId:
    """The mark of a line, whatever else it holds."""
    try:
        return msgspec.json.decode(raw, type=_Marked).id
    except (ValueError, RecursionError):
        return None


def _line(number: int, mark: LineId, name: bytes, value: bytes) -> bytes:
    return b'{"line":%d,"id":%b,"%b":%b}\n' % (number, encode(mark), name, value)


QUESTION: Final = Body(BatchRequestLine)

OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/batch",
        Nothing,
        recommend_batch,
        (BatchResponseLine,),
        failures=(414, 422, 503),
        media_type=NDJSON,
        scope="recommend",
        body=NdjsonBody(),
    ),
)
