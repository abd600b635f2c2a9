"""Responses: their shapes and their encoding."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from recsys.core.request import Recommendations, Request, to_wire

_ID: Final = re.compile("[0-9a-f]{16}-([0-9a-f]{1,12})-[0-9a-f]+")

_ENCODER: Final = msgspec.json.Encoder(enc_hook=to_wire)

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class ResponseMeta(msgspec.Struct, frozen=True):
    """The first fields of a response, before those of the library's `Recommendations`.

    Attributes:
        recommendation_id: unique to this response; send it with later events, for attribution.
        as_of: the moment that the response is for.
        next_page_token: send it as `page_token` to get the next page; null on the last page.
        experiments: the user's variant by experiment; only where the list is in one.
    """

    recommendation_id: str
    as_of: Time
    next_page_token: str | None
    experiments: dict[str, str] | UnsetType = UNSET


ANSWER = (ResponseMeta, Recommendations)
"""The types whose fields, in this order, are those of one response."""


def exposures_of(request: Request) -> dict[str, str] | UnsetType:
    """Return the user's variant by experiment, UNSET where the list of the request is in none."""
    return UNSET if request.variant is None else dict(request.variant.exposures)


class Alive(msgspec.Struct, frozen=True):
    """The process is running.

    Attributes:
        status: always `live`.
    """

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """A bundle is being served.

    Attributes:
        model_version: the bundle's version.
        now: the server's time.
        clock: `wall`, or `data` for a clock that starts at the end of the data.
        last_error: why the newest bundle, or file of placements, was refused; null if neither was.
        examples: calls that work with this bundle; none if keys are required.
        stale_seconds: for how long the live log could not be read, so that lists lack its newest entries and writes
            are refused; null if it can be read.
    """

    model_version: str
    now: Time
    clock: str
    last_error: str | None
    examples: tuple[str, ...]
    stale_seconds: int | None = None


def encode(response: Any) -> bytes:
    """Encode a response as JSON."""
    return _ENCODER.encode(response)


def merge_json(meta: ResponseMeta, recommendations: bytes) -> bytes:
    """Return one JSON object with the fields of both.

    >>> merge_json(ResponseMeta("r1", moment(0), None), b'{"placement":"popular"}')
    b'{"recommendation_id":"r1","as_of":"1970-01-01T00:00:00Z","next_page_token":null,"placement":"popular"}'
    """
    return b"%b,%b" % (msgspec.json.encode(meta)[:-1], recommendations[1:])


def moment(seconds: int) -> datetime:
    """Return seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


class IdGenerator:
    """Makes ids that are unique across processes and restarts, and that state when they were made.

    Args:
        now: returns the machine's time, seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._now = now

    def next(self) -> str:
        """Return a new id."""
        return f"{self._prefix}-{int(self._now() * 1000):x}-{next(self._numbers):x}"


def made_at(recommendation_id: str) -> float | None:
    """Return when an id of `IdGenerator` was made, seconds since 1970; None for any other id."""
    found = _ID.fullmatch(recommendation_id)
    return None if found is None else int(found[1], 16) / 1000
