from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from recsys.core.schema import ITEMS, USERS
from serving.api.catalog_models import ItemFields, Offer, UserFields, given_fields
from serving.http.validation import MAX_FAULTS
from serving.problems import InvalidRequestError


def item(**fields: Any) -> ItemFields:
    return msgspec.convert(fields, ItemFields)


def faults(fields: ItemFields | UserFields) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        given_fields(fields, ITEMS, keep_null=True)
    return [error.field for error in caught.value.errors]


def test_only_given_fields_are_returned() -> None:
    assert given_fields(ItemFields(), ITEMS, keep_null=True) == {}
    assert given_fields(item(price=1, tags=[]), ITEMS, keep_null=True) == {"price": 1.0, "tags": []}
    assert given_fields(UserFields(region="Hubei"), USERS, keep_null=False) == {"region": "Hubei"}


def test_null_clears_a_field_in_a_patch_and_is_ignored_in_a_put() -> None:
    fields = item(title=None, attributes={"color": None, "weight": 1})
    assert given_fields(fields, ITEMS, keep_null=True) == {"title": None, "attributes": {"color": None, "weight": 1}}
    assert given_fields(fields, ITEMS, keep_null=False) == {"attributes": {"weight": 1}}


def test_times_are_stored_in_utc() -> None:
    when = datetime(2024, 5, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    fields = ItemFields(created_at=when, offers=[Offer(price=1.0, valid_from=when)])
    assert given_fields(fields, ITEMS, keep_null=True) == {
        "created_at": "2024-05-01T00:00:00+00:00",
        "offers": [{"price": 1.0, "valid_from": "2024-05-01T00:00:00+00:00"}],
    }


def test_all_faults_are_reported_at_once() -> None:
    early = datetime(1960, 1, 1, tzinfo=UTC)
    start, end = datetime(2024, 5, 2, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    offers = [Offer(store="s"), Offer(price=1.0, valid_from=start, valid_to=end), Offer(price=1.0, valid_to=early)]
    assert faults(ItemFields(created_at=early, attributes={"price": 1, "color": "red"}, offers=offers)) == [
        "created_at",
        "attributes.price",
        "offers[0]",
        "offers[1].valid_to",
        "offers[2].valid_to",
    ]
    assert faults(UserFields(timezone="Mars/Olympus")) == ["timezone"]


def test_the_number_of_faults_is_limited() -> None:
    assert len(faults(ItemFields(offers=[Offer()] * 1000))) == MAX_FAULTS


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "America/Argentina/Buenos_Aires"])
def test_time_zones(zone: str) -> None:
    assert given_fields(UserFields(timezone=zone), USERS, keep_null=True) == {"timezone": zone}
