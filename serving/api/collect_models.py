"""Parameters, bodies and results of the call that takes the payloads of trackers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from starlette.types import Receive

from recsys.data.payload_fields import ItemKey
from recsys.data.payloads import Shape
from serving.api.event_models import GA4Payload, Object, SegmentPayload, Text, Time
from serving.http.body import JSON, Body, Headers, parsed, received
from serving.http.byte_budget import HeldBytes
from serving.http.fields import Parameters
from serving.problems import FieldError, InvalidRequestError

PLAIN: Final = "text/plain"

Source = Literal["ga4", "segment", "rudderstack", "shopify"]

SHAPES: Final[Mapping[Source, Shape]] = {
    "ga4": "ga4",
    "segment": "segment",
    "rudderstack": "segment",
    "shopify": "shopify",
}


class CollectCall(Parameters, frozen=True):
    """How the payloads are read.

    Attributes:
        source: who has made them; without it each is recognized by its fields.
        item_id: which of a product's ids in payloads of Segment, RudderStack and Shopify is the shop's `item_id`.
    """

    source: Source | None = None
    item_id: ItemKey = "product"


class ShopifyPayload(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Shopify's web pixels, as `analytics.subscribe` passes it on.

    Attributes:
        id: identifies the event if it is sent again.
        name: the event's name, such as `product_viewed`.
        data: its `productVariant`, `cartLine`, `collection` or `checkout`.
        clientId: the visitor.
        timestamp: time of the event.
        customer: the customer with an `id`, if the pixel adds one.
    """

    name: str
    data: Object
    id: Text | None = None
    client_id: Text | None = msgspec.field(name="clientId", default=None)
    timestamp: Time | None = None
    customer: Object | None = None


class TrackerBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of Segment or RudderStack; GA4's Measurement Protocol has `events` instead.

    Attributes:
        batch: the calls of `track`, `identify`, `page` and so on.
    """

    batch: list[Object]


BODIES: Final = (GA4Payload, SegmentPayload, ShopifyPayload, TrackerBatch)


@dataclass(frozen=True)
class TrackerBody(Body[TrackerBatch]):
    """JSON of any shape; browsers send it as `text/plain`, which needs no preflight."""

    struct: type[TrackerBatch] = TrackerBatch
    alternatives: tuple[str, ...] = (PLAIN,)
    parts: tuple[type, ...] = BODIES

    async def read(
        self, headers: Headers, receive: Receive, max_bytes: int, seconds: float, held: HeldBytes | None = None
    ) -> Any:
        """Return the body as decoded JSON.

        Raises:
            CapacityError: the server holds too much for others.
            HTTPException: 408, 413 or 415, as for every body.
            InvalidRequestError: it is not JSON.
        """
        headers = tuple(headers)
        raw = await received(headers, receive, media_type_of(headers), max_bytes, seconds, held)
        try:
            return parsed(raw)
        except RecursionError:
            message = "the body is nested too deeply: expected a few levels"
            raise InvalidRequestError([FieldError("", message)]) from None


def media_type_of(headers: Headers) -> str:
    """Return the media type to require of a body: plain text if it says that it is, else JSON."""
    found = dict(headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
    return PLAIN if found == PLAIN.encode() else JSON


class HitLines(msgspec.Struct, frozen=True):
    """The events of one request of gtag, percent-encoded, a line each; none where the query is the event."""


@dataclass(frozen=True)
class HitBody(Body[HitLines]):
    """Lines of plain text, which may be missing."""

    struct: type[HitLines] = HitLines
    media_type: str = PLAIN

    async def read(
        self, headers: Headers, receive: Receive, max_bytes: int, seconds: float, held: HeldBytes | None = None
    ) -> Any:
        """Return the body as text.

        Raises:
            CapacityError: the server holds too much for others.
            HTTPException: 408, 413 or 415, as for every body.
            InvalidRequestError: it is not UTF-8.
        """
        named = dict(headers)
        named.setdefault(b"content-type", PLAIN.encode())
        raw = await received(named.items(), receive, self.media_type, max_bytes, seconds, held)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            message = f"the body is not UTF-8 (byte {error.start}): expected lines of percent-encoded text"
            raise InvalidRequestError([FieldError("", message)]) from None


HIT_BODY: Final = HitBody(
    schema={"type": "string", "description": "One event per line; empty where the query is the event."}, required=False
)

TRACKER_BODY: Final = TrackerBody(
    schema={
        "anyOf": [
            *({"$ref": f"#/components/schemas/{body.__name__}"} for body in BODIES),
            {"type": "array", "description": "Several of these, or a command of gtag."},
            {"type": "object", "description": "Any other object is ignored or rejected by itself."},
        ]
    }
)

CollectStatus = Literal["accepted", "duplicate", "rejected", "conflict", "erased", "merged", "ignored"]


class CollectResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one payload.

    Attributes:
        status: as of `POST /v1/events`, or `merged`: both ids of an `identify` are one user from now on; `ignored`: it
            is no event of e-commerce, or a merge that the key does not allow.
        event: the engine's name of the event, or the payload's own; null if it has none.
        event_id: as it was sent, null if it has none.
        errors: what is wrong with it, one entry per field; empty if it was accepted.
        emptied: fields that are stored as empty, because they have a word for nothing such as `undefined`.
        reason: why it was ignored, if that depends on the key.
    """

    status: CollectStatus
    event: str | None
    event_id: str | None
    errors: tuple[FieldError, ...] = ()
    emptied: tuple[FieldError, ...] = ()
    reason: str | None = None


class CollectResults(msgspec.Struct, frozen=True):
    """The results of the payloads.

    Attributes:
        accepted: number of events and merges that are durable, duplicates included.
        refused: number of events that are not stored.
        ignored: number of payloads that are no events of e-commerce.
        results: one per payload, in the order of the call.
    """

    accepted: int
    refused: int
    ignored: int
    results: list[CollectResult]
