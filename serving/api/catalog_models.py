"""What items and shoppers are said to be in a call's body, read strictly, and as the live log holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Meta, UnsetType

from serving.http.body import BodyId, wrong_ids
from serving.problems import FieldError, InvalidRequestError, shown

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


def given_fields(fields: ItemFields | UserFields, columns: Mapping[str, Any], keep_null: bool) -> dict[str, Any]:
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
