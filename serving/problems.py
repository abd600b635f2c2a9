"""Errors as RFC 9457 problems: the status and the text of each error."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.core.errors import RecsysError, RequestError, StoreBusyError, StoreError, UnknownItemError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_ECHO = 80
"""Characters of a wrong value that are returned."""

BUSY_RETRY_S = 1
"""Delay before the next attempt, while the store is behind."""

FAULT_RETRY_S = 10
"""Delay before the next attempt, while the store fails: its disk may be full, which an operator must repair."""


OVERLOAD_RETRY_S: Final = 1
"""Delay before the next attempt, while the server has more to do than it can."""

OVERLOAD_PAUSE_S: Final = 0.6
"""How long attempts are not read at least: less than a caller should wait, and those who left are noticed in time."""

OVERLOAD_HEADERS: Final[Mapping[str, str]] = {"Retry-After": str(OVERLOAD_RETRY_S)}


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error of one parameter, or of one field of a body.

    Attributes:
        field: the parameter's name as the caller wrote it, or the field's path in the body; empty for the whole body.
        message: the value found and the value expected.
        value: the value found, cut if it is long.
    """

    field: str
    message: str
    value: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """An error, as defined by RFC 9457.

    Attributes:
        type: always `about:blank`: the status is the kind of problem.
        title: the name of the status.
        status: the HTTP status.
        detail: what went wrong with this request.
        errors: for an invalid request, one entry per wrong parameter or field.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...]


class InvalidRequestError(RecsysError):
    """Parameters or fields of a request are wrong.

    Attributes:
        errors: one entry per wrong parameter or field.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))


class NotReadyError(RecsysError):
    """No bundle is being served.

    Attributes:
        retry_after_s: delay before the next attempt.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadError(RecsysError):
    """The server has more requests than it can answer in time.

    Args:
        waited_s: how long the request has waited, in seconds.
    """

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"the server is overloaded: this request waited {waited_s * 1000:.0f} ms; send it again later")


class LimitError(RecsysError):
    """The key has used what it may.

    Attributes:
        retry_after_s: delay before the next attempt.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CapacityError(RecsysError):
    """The server holds as many bytes of requests as it may."""

    def __init__(self) -> None:
        super().__init__("the server holds as many bytes of requests as it may: send this one again later")


@dataclass(frozen=True)
class Failure:
    """A problem and the headers of its response.

    Attributes:
        pause_s: how long nothing more is read from the caller, in seconds.
    """

    problem: Problem
    headers: Mapping[str, str]
    pause_s: float = 0.0

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(self.problem)


def shown(text: str) -> str:
    """Return a caller's text in the form for responses: cut, and without invalid Unicode."""
    return text[:MAX_ECHO].encode(errors="replace").decode()


def failure_of(error: Exception) -> Failure:
    """Return the problem for an error; an unexpected one is logged, and returned without its details."""
    match error:
        case InvalidRequestError():
            return _failure(422, str(error), error.errors)
        case RequestError():
            return _failure(422, str(error), (FieldError(error.field, str(error)),))
        case UnknownItemError():
            return _failure(404, str(error), (FieldError("item_id", str(error), error.item_id),))
        case NotReadyError():
            return _failure(503, str(error), headers={"Retry-After": str(error.retry_after_s)})
        case LimitError():
            return _failure(429, str(error), headers={"Retry-After": str(error.retry_after_s)})
        case OverloadError():
            return replace(_failure(503, str(error), headers=OVERLOAD_HEADERS), pause_s=OVERLOAD_PAUSE_S)
        case CapacityError():
            return _failure(503, str(error), headers=OVERLOAD_HEADERS)
        case StoreBusyError():
            return _failure(503, str(error), headers={"Retry-After": str(BUSY_RETRY_S)})
        case StoreError():
            logger.error("the store failed: %s", error)
            detail, headers = "the store failed; the server's log has the reason", {"Retry-After": str(FAULT_RETRY_S)}
            return _failure(503, detail, headers=headers)
        case HTTPException():
            return _failure(error.status_code, error.detail, headers=error.headers)
        case _:
            logger.error("request failed", exc_info=error)
            return _failure(500, "the server failed on this request; its log has the reason")


def _failure(
    status: int, detail: str, errors: tuple[FieldError, ...] = (), headers: Mapping[str, str] | None = None
) -> Failure:
    return Failure(Problem("about:blank", HTTPStatus(status).phrase, status, detail, errors), headers or {})
