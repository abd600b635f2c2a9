"""The shapes of events in a call's body, for its documentation: ours, and those of GA4, Segment and Google Retail.

An event is decoded as JSON of any shape and validated by itself (`serving.api.event_validation`), so that one bad event
does not affect the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from recsys.core.schema import EVENT_NAMES, MESSAGE_EVENTS
from serving.http.fields import Id, Price, Timestamp

MAX_EVENTS: Final = 1_000

Text = str | int
Number = float | str
Time = str | int | float
Object = dict[str, Any]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event between a user and an item. It has at least one of `user_id`, `visitor_id`, `session_id`, `basket_id`.

    Attributes:
        item_id: the item.
        event: the kind of event, by its name in GA4; Segment's and Google Retail's names are aliases.
        timestamp: time of the event; the server's clock if not given.
        user_id: the user.
        visitor_id: the visitor, if nobody is logged in.
        session_id: the session.
        basket_id: the cart or order.
        event_id: identifies the event if it is sent again.
        quantity: number of units.
        price: of one unit, as paid.
        currency: of the price, ISO 4217.
        value: a rating.
        channel: app, web, mini-program …
        region: the user's region.
        store: the shop's branch; receipt numbers may restart in each.
        recommendation_id: of the response that listed the item.
        placement: the list that contained the item.
        position: the item's position in that list.
        propensity: probability of that position.
        received_at: time at which the shop received the event.
    """

    item_id: Id
    event: Annotated[str, Meta(extra_json_schema={"enum": list(EVENT_NAMES)})]
    timestamp: Timestamp | None = None
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    basket_id: Id | None = None
    event_id: Id | None = None
    quantity: Annotated[float, Meta(ge=0)] | None = None
    price: Price | None = None
    currency: Id | None = None
    value: float | None = None
    channel: Id | None = None
    region: Id | None = None
    store: Id | None = None
    recommendation_id: Id | None = None
    placement: Id | None = None
    position: Annotated[int, Meta(ge=0)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    received_at: Timestamp | None = None


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a message to a user, such as one of a push plan.

    Attributes:
        event: what happened.
        user_id: the user.
        timestamp: time of the event; the server's clock if not given.
        channel: push, email, sms …
        recommendation_id: of the message's list.
        message_id: the shop's own id of the message.
        placement: the list of the items.
        item_ids: the items of a message that was sent.
        item_id: the item that was clicked.
        propensity: probability of the hour at which it was sent.
        experiment: as in the plan: the message is an exposure to it.
        variant: as in the plan.
        event_id: identifies the event if it is sent again.
        received_at: time at which the shop received the event.
    """

    event: Annotated[str, Meta(extra_json_schema={"enum": list(MESSAGE_EVENTS)})]
    user_id: Id
    timestamp: Timestamp | None = None
    channel: Id | None = None
    recommendation_id: Id | None = None
    message_id: Id | None = None
    placement: Id | None = None
    item_ids: list[Id] | None = None
    item_id: Id | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    experiment: Id | None = None
    variant: Id | None = None
    event_id: Id | None = None
    received_at: Timestamp | None = None


class GA4Payload(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Google Analytics 4: of gtag, the Measurement Protocol or the BigQuery export.

    Attributes:
        name: the event's name, in gtag and the Measurement Protocol.
        event_name: the event's name, in the export.
        params: parameters, with `items` among them.
        event_params: parameters in the export: objects with `key` and `value`.
        items: the items, in the export.
        ecommerce: the order, in the export.
        events: the events of one Measurement Protocol payload, each with `name` and `params`.
        event_timestamp: time of the event in microseconds, in the export.
        timestamp_micros: the same in the Measurement Protocol.
        timestamp: time of the event in any format, if neither of these is given.
        event_id: identifies the event if it is sent again.
        currency: of the prices, ISO 4217, if it is not a parameter.
        user_id: the user.
        user_pseudo_id: the visitor, in the export.
        client_id: the visitor, in the Measurement Protocol.
    """

    name: str | None = None
    event_name: str | None = None
    params: Object | None = None
    event_params: list[Object] | Object | None = None
    items: list[Object] | None = None
    ecommerce: Object | None = None
    events: list[Object] | None = None
    event_timestamp: Number | None = None
    timestamp_micros: Number | None = None
    timestamp: Time | None = None
    event_id: Text | None = None
    currency: str | None = None
    user_id: Text | None = None
    user_pseudo_id: Text | None = None
    client_id: Text | None = None


class SegmentPayload(msgspec.Struct, frozen=True, kw_only=True):
    """A `track` call of Segment's specification for e-commerce.

    Attributes:
        event: the event's name, such as `Product Viewed`.
        type: always `track`.
        properties: the product, or a list `products`.
        messageId: identifies the event if it is sent again.
        userId: the user.
        anonymousId: the visitor.
        timestamp: time of the event.
        originalTimestamp: the same, if `timestamp` is not given.
        receivedAt: time at which Segment received the event.
    """

    event: str
    properties: Object
    type: str | None = None
    message_id: Text | None = msgspec.field(name="messageId", default=None)
    user_id: Text | None = msgspec.field(name="userId", default=None)
    anonymous_id: Text | None = msgspec.field(name="anonymousId", default=None)
    timestamp: Time | None = None
    original_timestamp: Time | None = msgspec.field(name="originalTimestamp", default=None)
    received_at: Time | None = msgspec.field(name="receivedAt", default=None)


class RetailPayload(msgspec.Struct, frozen=True, kw_only=True):
    """A user event of Google Retail.

    Attributes:
        eventType: the event's name, such as `detail-page-view`.
        productDetails: the items, each with `product` and `quantity`.
        visitorId: the visitor.
        userInfo: the user, in `userId`.
        sessionId: the session.
        cartId: the cart.
        purchaseTransaction: the order, in `id`, and its `currencyCode`.
        eventId: identifies the event if it is sent again.
        eventTime: time of the event.
    """

    event_type: str = msgspec.field(name="eventType")
    product_details: list[Object] | None = msgspec.field(name="productDetails", default=None)
    visitor_id: Text | None = msgspec.field(name="visitorId", default=None)
    user_info: Object | None = msgspec.field(name="userInfo", default=None)
    session_id: Text | None = msgspec.field(name="sessionId", default=None)
    cart_id: Text | None = msgspec.field(name="cartId", default=None)
    purchase_transaction: Object | None = msgspec.field(name="purchaseTransaction", default=None)
    event_id: Text | None = msgspec.field(name="eventId", default=None)
    event_time: Time | None = msgspec.field(name="eventTime", default=None)


EVENT_SHAPES: Final = (Event, MessageEvent, GA4Payload, SegmentPayload, RetailPayload)

AnyEvent = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [
                *({"$ref": f"#/components/schemas/{shape.__name__}"} for shape in EVENT_SHAPES),
                {"description": "Any other value is rejected by itself; the other events are not affected."},
            ]
        }
    ),
]


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events to store.

    Attributes:
        events: one or many; each is validated by itself.
    """

    events: Annotated[list[AnyEvent], Meta(min_length=1, max_length=MAX_EVENTS)]
