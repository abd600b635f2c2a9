"""Calls that change the catalogue and what is known of shoppers: each is one entry of the live log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.exceptions import HTTPException

from recsys.schema import ITEMS, USERS
from recsys.store import Entry, Kind
from serving.body import Body, BodyId, wrong_ids
from serving.operation import Operation
from serving.parameters import Id, Parameters
from serving.problems import FieldError, InvalidRequestError, shown
from serving.service import Service
from serving.wire import encode

MAX_TEXT: Final = 1_000
MAX_LABEL: Final = 256
MAX_LIST: Final = 100
MAX_OFFERS: Final = 1_000
"""Offers of one item; those of more stores than this come with the nightly tables."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9998, 1, 1, tzinfo=UTC)
"""A year before the calendar's end, so that every zone's local time of it is a date."""

Text = Annotated[str, Meta(max_length=MAX_TEXT)] | None | UnsetType
Label = Annotated[str, Meta(max_length=MAX_LABEL)] | None | UnsetType
Labels = Annotated[list[Annotated[str, Meta(max_length=MAX_LABEL)]], Meta(max_length=MAX_LIST)] | None | UnsetType
Amount = Annotated[float, Meta(ge=0)] | None | UnsetType
Flag = bool | None | UnsetType
Time = Annotated[datetime, Meta(tz=True)] | None | UnsetType
Attribute = (
    Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
    | float
    | bool
    | Annotated[str, Meta(max_length=MAX_TEXT)]
    | Annotated[list[Annotated[str, Meta(max_length=MAX_LABEL)]], Meta(max_length=MAX_LIST)]
    | None
)
AttributeName = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)]
Attributes = Annotated[dict[AttributeName, Attribute], Meta(max_length=MAX_LIST)] | UnsetType
Named = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)] | None


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an item costs, or whether it can be had, in a place and for a time.

    Attributes:
        region: where it applies; everywhere if not given.
        store: the store that it is of; all if not given.
        channel: the channel that it is of; all if not given.
        price: of one unit there; the item's own if not given.
        available: whether it can be bought there; as in general if not given.
        valid_from: since when it applies.
        valid_to: until when it applies, exclusive.
    """

    region: Named = None
    store: Named = None
    channel: Named = None
    price: Annotated[float, Meta(ge=0)] | None = None
    available: bool | None = None
    valid_from: Annotated[datetime, Meta(tz=True)] | None = None
    valid_to: Annotated[datetime, Meta(tz=True)] | None = None


ItemOffers = Annotated[list[Offer], Meta(max_length=MAX_OFFERS)] | None | UnsetType


class ItemFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item, or what changes of it.

    Attributes:
        item_group_id: the product that variants share.
        title: its name, for people.
        category: its path, broad to narrow.
        tags: what it is like.
        brand: its maker.
        price: of one unit, now.
        list_price: before any reduction.
        currency: of both prices, ISO 4217.
        available: whether it can be bought now.
        created_at: since when it is in the catalogue.
        offers: all of its offers by region, store and channel, in the place of those that it had (docs/offers.md).
        attributes: further columns by name: texts, numbers, true or false, lists of texts.
    """

    item_group_id: BodyId | UnsetType | None = UNSET
    title: Text = UNSET
    category: Labels = UNSET
    tags: Labels = UNSET
    brand: Label = UNSET
    price: Amount = UNSET
    list_price: Amount = UNSET
    currency: Label = UNSET
    available: Flag = UNSET
    created_at: Time = UNSET
    offers: ItemOffers = UNSET
    attributes: Attributes = UNSET


class UserFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shopper, or what changes of them.

    Attributes:
        created_at: since when they are known.
        timezone: IANA name of the zone that their hours are in.
        region: where they shop.
        tags: what they are like.
        personalization: false for lists that need no history, and no history kept for training.
        attributes: further columns by name: texts, numbers, true or false, lists of texts.
    """

    created_at: Time = UNSET
    timezone: Label = UNSET
    region: Label = UNSET
    tags: Labels = UNSET
    personalization: Flag = UNSET
    attributes: Attributes = UNSET


class OneItem(Parameters, frozen=True):
    """One item of the catalogue.

    Attributes:
        item_id: the item.
    """

    item_id: Id


class OneUser(Parameters, frozen=True):
    """One shopper.

    Attributes:
        user_id: the shopper.
    """

    user_id: Id


class Logged(msgspec.Struct, frozen=True):
    """A change that is durable.

    Attributes:
        seq: number of the live log up to which the change is in it.
        kind: what it is in the log.
        key: the id that it is about.
    """

    seq: int
    kind: str
    key: str


async def put_item(service: Service, call: OneItem, item: ItemFields) -> bytes:
    """Put an item into the catalogue, whole: what is not given is not known of it.

    An item that is there already is replaced.
    """
    return encode(await log_change(service, "item_put", call.item_id, _given(item, ITEMS, keep_null=False)))


async def patch_item(service: Service, call: OneItem, item: ItemFields) -> bytes:
    """Change the given fields of an item, and leave the others; null clears a field, or an attribute.

    A price, say, or that it is sold out. Of an item that is not known yet it is the first that is.
    """
    return encode(await log_change(service, "item_patch", call.item_id, _given(item, ITEMS, keep_null=True)))


async def delete_item(service: Service, call: OneItem) -> bytes:
    """Take an item out of the catalogue: no list has it any more. What shoppers did with it stays.

    To take out one that is not there is no error.
    """
    return encode(await log_change(service, "item_delete", call.item_id, {}))


async def put_user(service: Service, call: OneUser, user: UserFields) -> bytes:
    """Say what is known of a shopper, whole: what is not given is not known.

    What they did is not touched. 409 where an erasure came in between.
    """
    return encode(await log_change(service, "user_put", call.user_id, _given(user, USERS, keep_null=False)))


async def patch_user(service: Service, call: OneUser, user: UserFields) -> bytes:
    """Change the given fields of a shopper, and leave the others; null clears a field, or an attribute.

    409 where an erasure came in between.
    """
    return encode(await log_change(service, "user_patch", call.user_id, _given(user, USERS, keep_null=True)))


async def log_change(service: Service, kind: Kind, key: str, body: dict[str, Any]) -> Logged:
    """Store one change.

    Raises:
        HTTPException: 409 if it is of before an erasure of the shopper, or a merge that would close a circle.
        StoreError: it is not stored.
    """
    entry = Entry(kind, key, float(service.now()), service.clock.received_at(), body)
    (outcome,) = await service.stored([entry])
    if outcome == "erased":
        raise HTTPException(409, f"{shown(key)!r} was erased just now, and this change is of before: send it again")
    if outcome == "conflict":
        into = shown(body["into"])
        raise HTTPException(409, f"{into!r} is joined to {shown(key)!r} already: undo that merge first")
    return Logged(await asyncio.to_thread(service.store.last_seq), kind, key)


def _given(fields: ItemFields | UserFields, columns: Mapping[str, Any], keep_null: bool) -> dict[str, Any]:
    """The fields that were given, as the log holds them.

    Args:
        fields: the body.
        columns: of the table that it is for.
        keep_null: whether null says something, as in a patch, or is the same as nothing.

    Raises:
        InvalidRequestError: naming what a schema cannot see.
    """
    given: dict[str, Any] = {
        name: value
        for name in fields.__struct_fields__
        if (value := getattr(fields, name)) is not UNSET and (keep_null or value is not None)
    }
    attributes: dict[str, Any] = given.get("attributes", {})
    faults = wrong_ids([("item_group_id", given.get("item_group_id"))])
    faults += _faults(given.get("created_at"), given.get("timezone"))
    faults += [
        FieldError(f"attributes.{name}", f"attributes.{name}: {name} is a field of its own, not an attribute")
        for name in attributes
        if name in columns
    ]
    offers: list[Offer] = given.get("offers") or []
    for place, offer in enumerate(offers):
        faults += _offer_faults(f"offers[{place}]", offer)
    if faults:
        raise InvalidRequestError(faults)
    if offers:
        given["offers"] = [_offer_logged(offer) for offer in offers]
    if given.get("created_at") is not None:
        given["created_at"] = given["created_at"].astimezone(UTC).isoformat()
    if attributes and not keep_null:
        given["attributes"] = {name: value for name, value in attributes.items() if value is not None}
    return given


def _offer_faults(name: str, offer: Offer) -> list[FieldError]:
    faults = [
        fault for end in ("valid_from", "valid_to") for fault in _wrong_time(f"{name}.{end}", getattr(offer, end))
    ]
    if offer.price is None and offer.available is None:
        faults.append(FieldError(name, f"{name} says nothing: give its price, available or both"))
    if not faults and offer.valid_from is not None and offer.valid_to is not None and offer.valid_to < offer.valid_from:
        found = offer.valid_to.isoformat()
        message = f"{name}.valid_to is {found}: expected a time from its valid_from, {offer.valid_from.isoformat()}, on"
        faults.append(FieldError(f"{name}.valid_to", message, found))
    return faults


def _offer_logged(offer: Offer) -> dict[str, Any]:
    """What an offer says, as the log holds it."""
    plain = {name: getattr(offer, name) for name in offer.__struct_fields__}
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in plain.items()
        if value is not None
    }


def _wrong_time(name: str, found: datetime | None) -> list[FieldError]:
    if found is None or EARLIEST <= found < LATEST:
        return []
    told = found.isoformat()
    return [FieldError(name, f"{name} is {told}: expected a time from 1970 to {LATEST.year - 1}", told)]


def _faults(created_at: datetime | None, timezone: str | None) -> list[FieldError]:
    faults = _wrong_time("created_at", created_at)
    if timezone is not None and timezone not in _zones():
        message = f"timezone is {shown(timezone)!r}: expected an IANA name, such as Asia/Shanghai"
        faults.append(FieldError("timezone", message, shown(timezone)))
    return faults


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _operation(method: str, of: type[Parameters], respond: Any, takes: type[msgspec.Struct] | None) -> Operation[Any]:
    is_item = of is OneItem
    return Operation(
        method,
        "/v1/items/{item_id}" if is_item else "/v1/users/{user_id}",
        of,
        respond,
        (Logged,),
        failures=(414, 422, 503) if is_item else (409, 414, 422, 503),
        scope="catalog",
        body=None if takes is None else Body(takes),
    )


OPERATIONS: Final = (
    _operation("PUT", OneItem, put_item, ItemFields),
    _operation("PATCH", OneItem, patch_item, ItemFields),
    _operation("DELETE", OneItem, delete_item, None),
    _operation("PUT", OneUser, put_user, UserFields),
    _operation("PATCH", OneUser, patch_user, UserFields),
)
