"""What goes over the wire: the answers' shapes and their encoding."""

from __future__ import annotations

import itertools
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from recsys.core.request import Recommendations, to_wire

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class ResponseMeta(msgspec.Struct, frozen=True):
    """What an answer says of itself, before the fields of the library's `Recommendations`.

    Attributes:
        recommendation_id: unique to this answer; send it with later events, for attribution.
        as_of: the moment that the answer is for.
        next_page_token: send it as `page_token` for what follows; null where nothing does.
    """

    recommendation_id: str
    as_of: Time
    next_page_token: str | None


ANSWER = (ResponseMeta, Recommendations)
"""The types whose fields, in this order, are one answer's."""


class Alive(msgspec.Struct, frozen=True):
    """The process answers.

    Attributes:
        status: always `live`.
    """

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """A bundle is being served.

    Attributes:
        model_version: the bundle's version.
        now: what time it is for the server.
        clock: `wall`, or `data` for one that runs on from the end of the data.
        last_error: why the newest bundle, or file of placements, was refused; null if neither was.
        examples: calls that work with this bundle; none where keys are asked for.
    """

    model_version: str
    now: Time
    clock: str
    last_error: str | None
    examples: tuple[str, ...]


def encode(answer: Any) -> bytes:
    """An answer as JSON."""
    return msgspec.json.encode(answer, enc_hook=to_wire)


def merge_json(envelope: ResponseMeta, recommendations: bytes) -> bytes:
    """One JSON object of an envelope's fields and of encoded recommendations.

    >>> enclose(Envelope("r1", moment(0), None), b'{"placement":"popular"}')
    b'{"recommendation_id":"r1","as_of":"1970-01-01T00:00:00Z","next_page_token":null,"placement":"popular"}'
    """
    return b"%b,%b" % (msgspec.json.encode(envelope)[:-1], recommendations[1:])


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


class IdGenerator:
    """Hands out ids that no other process, and no earlier start of this one, hands out."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """A fresh id."""
        return f"{self._prefix}-{next(self._numbers):x}"
