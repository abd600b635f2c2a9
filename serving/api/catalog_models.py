"""Items and users in the bodies of calls, and their form in the live log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Meta, UnsetType

from recsys.core.schema import COLUMN_NAMES, is_column_name
from recsys.core.timestamps import EARLIEST, LATEST
from serving.http.fields import Id, Integer, Label, Name, Price, Timestamp
from serving.http.validation import MAX_FAULTS
from serving.problems import FieldError, InvalidRequestError, shown

MAX_TEXT: Final = 1_000
MAX_ENTRIES: Final = 100
MAX_OFFERS: Final = 1_000
"""Offers of one item; the nightly tables may have more."""

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Labels = Annotated[list[Label], Meta(max_length=MAX_ENTRIES)]
Attribute = Integer | float | bool | Text | Labels | None
Attributes = Annotated[dict[Name, Attribute], Meta(max_length=MAX_ENTRIES)]


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The price of an item, or its availability, in a region, store or channel and for a time.

    Attributes:
        region: the region where it applies; everywhere if not given.
        store: the store where it applies; all if not given.
        channel: the channel where it applies; all if not given.
        price: of one unit there; the item's own if not given.
        available: whether the item can be bought there; the item's own value if not given.
        valid_from: start of its validity.
        valid_to: end of its validity, exclusive.
    """

    region: Name | None = None
    store: Name | None = None
    channel: Name | None = None
    price: Price | None = None
    available: bool | None = None
    valid_from: Timestamp | None = None
    valid_to: Timestamp | None = None


Offers = Annotated[list[Offer], Meta(max_length=MAX_OFFERS)]


class ItemFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item, or the changed fields of one.

    Attributes:
        item_group_id: the product that variants share.
        title: its name, for people.
        category: its path, broad to narrow.
        tags: its properties.
        brand: its brand.
        price: of one unit, now.
        list_price: before any reduction.
        currency: of both prices, ISO 4217.
        available: whether it can be bought now.
        created_at: when it was added to the catalog.
        updated_at: when the shop made this change; the time of the call if not given.
        offers: all of its offers by region, store and channel, instead of its earlier ones (docs/offers.md).
        attributes: further columns by name: texts, numbers, true or false, lists of texts.
    """

    item_group_id: Id | UnsetType | None = UNSET
    title: Text | UnsetType | None = UNSET
    category: Labels | UnsetType | None = UNSET
    tags: Labels | UnsetType | None = UNSET
    brand: Label | UnsetType | None = UNSET
    price: Price | UnsetType | None = UNSET
    list_price: Price | UnsetType | None = UNSET
    currency: Label | UnsetType | None = UNSET
    available: bool | UnsetType | None = UNSET
    created_at: Timestamp | UnsetType | None = UNSET
    updated_at: Timestamp | UnsetType | None = UNSET
    offers: Offers | UnsetType | None = UNSET
    attributes: Attributes | UnsetType = UNSET


class UserFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user, or the changed fields of one.

    Attributes:
        created_at: when the user was first known.
        timezone: IANA name of the user's time zone.
        region: the user's region.
        tags: the user's properties.
        personalization: false for an opt-out: lists do not use the user's history, and training does not either.
        attributes: further columns by name: texts, numbers, true or false, lists of texts.
    """

    created_at: Timestamp | UnsetType | None = UNSET
    timezone: Label | UnsetType | None = UNSET
    region: Label | UnsetType | None = UNSET
    tags: Labels | UnsetType | None = UNSET
    personalization: bool | UnsetType | None = UNSET
    attributes: Attributes | UnsetType = UNSET


def given_fields(fields: ItemFields | UserFields, columns: Mapping[str, Any], keep_null: bool) -> dict[str, Any]:
    """Return the given fields in the log's form.

    Args:
        fields: the body.
        columns: of the table.
        keep_null: whether null clears a field, as in a patch, or is the same as a field that is not given.

    Raises:
        InvalidRequestError: names each field that is wrong in a way that its schema does not state.
    """
    given: dict[str, Any] = {
        name: value
        for name in fields.__struct_fields__
        if (value := getattr(fields, name)) is not UNSET and (keep_null or value is not None)
    }
    attributes: dict[str, Any] = given.get("attributes", {})
    faults = _faults(given.get("created_at"), given.get("timezone"))
    faults += [
        FieldError(f"attributes.{name}", f"attributes.{name}: {name} is a field of its own, not an attribute")
        for name in attributes
        if name in columns
    ]
    faults += [
        FieldError("attributes", f"attributes has the name {shown(name)!r}: expected {COLUMN_NAMES}", shown(name))
        for name in attributes
        if not is_column_name(name)
    ]
    offers: list[Offer] = given.get("offers") or []
    for index, offer in enumerate(offers):
        faults += _offer_faults(f"offers[{index}]", offer)
    if faults:
        raise InvalidRequestError(faults[:MAX_FAULTS])
    if offers:
        given["offers"] = [_logged_offer(offer) for offer in offers]
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
        faults.append(FieldError(name, f"{name} has neither price nor available: give one or both"))
    if not faults and offer.valid_from is not None and offer.valid_to is not None and offer.valid_to < offer.valid_from:
        found = offer.valid_to.isoformat()
        message = f"{name}.valid_to is {found}: expected no time before its valid_from, {offer.valid_from.isoformat()}"
        faults.append(FieldError(f"{name}.valid_to", message, found))
    return faults


def _logged_offer(offer: Offer) -> dict[str, Any]:
    """Return an offer in the log's form."""
    plain = {name: getattr(offer, name) for name in offer.__struct_fields__}
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in plain.items()
        if value is not None
    }


def _wrong_time(name: str, found: datetime | None) -> list[FieldError]:
    if found is None or EARLIEST <= found < LATEST:
        return []
    text = found.isoformat()
    return [FieldError(name, f"{name} is {text}: expected a time from 1970 to {LATEST.year - 1}", text)]


def _faults(created_at: datetime | None, timezone: str | None) -> list[FieldError]:
    faults = _wrong_time("created_at", created_at)
    if timezone is not None and timezone not in _zones():
        message = f"timezone is {shown(timezone)!r}: expected an IANA name, such as Asia/Shanghai"
        faults.append(FieldError("timezone", message, shown(timezone)))
    return faults


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
