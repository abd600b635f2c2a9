"""`GET /v1/users/{user_id}`: attributes and segments, live events included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from recsys.core.schema import SEGMENTS, USERS
from recsys.pipeline.recommender import Recommender
from serving.api.users import UserProfile, UserSegments
from tests.serving.conftest import Client, client_of
from tests.shop import NEW_YORKER, OPTED_OUT, USERS_WITH_HISTORY, WEEKLY_ITEM


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def _path(user_id: str) -> str:
    return f"/v1/users/{quote(user_id, safe='')}"


def test_every_column_and_every_segment_has_a_field() -> None:
    assert UserSegments.__struct_fields__ == tuple(SEGMENTS)
    assert set(UserProfile.__struct_fields__) == {*USERS, "as_of", "attributes", "segments"}


@pytest.mark.parametrize("user_id", USERS_WITH_HISTORY[:6])
def test_the_segments_are_those_of_the_table(shop: Client, shop_models: Path, user_id: str) -> None:
    found = shop.get(_path(user_id)).json()
    table = Recommender.of_bundle(shop_models).segments()
    assert found["user_id"] == user_id
    row = table.filter(user_id=user_id).row(0, named=True)
    for name in SEGMENTS:
        expected = pytest.approx(row[name], rel=1e-4) if isinstance(row[name], float) else row[name]
        assert found["segments"][name] == expected, name


def test_live_events_and_attributes_count(shop: Client) -> None:
    assert shop.get(_path("new")).status_code == 404
    assert "is not a known user" in shop.get(_path("new")).json()["detail"]
    event = {
        "event": "purchase",
        "item_id": WEEKLY_ITEM,
        "user_id": "new",
        "price": 7.5,
        "currency": "CNY",
        "basket_id": "b",
    }
    answer = shop.request("POST", "/v1/events", json={"events": [event]})
    assert answer.status_code == 200, answer.text
    body = {"region": "Hubei", "tags": ["a"], "attributes": {"level": 3}, "created_at": "2024-01-01T00:00:00Z"}
    assert shop.request("PATCH", _path("new"), json=body).status_code == 200
    found = shop.get(_path("new")).json()
    assert (found["region"], found["tags"], found["attributes"]) == ("Hubei", ["a"], {"level": 3})
    assert found["created_at"] == "2024-01-01T00:00:00Z"
    assert (found["segments"]["n_orders"], found["segments"]["average_order"]) == (1, 7.5)
    assert found["segments"]["life_cycle"] == "growing"


def test_a_user_without_personalization_has_no_segments(shop: Client) -> None:
    found = shop.get(_path(OPTED_OUT)).json()
    assert (found["personalization"], found["segments"]) == (False, None)
    user_id = USERS_WITH_HISTORY[0]
    shop.request("PATCH", _path(user_id), json={"personalization": False})
    assert shop.get(_path(user_id)).json()["segments"] is None


def test_merged_and_erased_users(shop: Client) -> None:
    one, other = USERS_WITH_HISTORY[:2]
    n_orders = [shop.get(_path(each)).json()["segments"]["n_orders"] for each in (one, other)]
    shop.request("POST", f"{_path(one)}/merge", json={"from": other})
    found = shop.get(_path(other)).json()
    assert (found["user_id"], found["segments"]["n_orders"]) == (one, sum(n_orders))
    shop.request("DELETE", _path(one))
    assert shop.get(_path(one)).status_code == 404


def test_moments_and_wrong_parameters(shop: Client) -> None:
    early = shop.get(f"{_path(NEW_YORKER)}?as_of=2024-04-01T00:00:00Z").json()
    assert early["as_of"] == "2024-04-01T00:00:00Z"
    assert early["timezone"] == "America/New_York"
    assert early["segments"]["n_orders"] < shop.get(_path(NEW_YORKER)).json()["segments"]["n_orders"]
    assert shop.get(f"{_path(NEW_YORKER)}?as_of=2099-01-01T00:00:00Z").status_code == 422
    assert shop.get(f"{_path(NEW_YORKER)}?limit=3").status_code == 422


def test_filters_of_lists_read_segments(shop: Client) -> None:
    user_id = USERS_WITH_HISTORY[0]
    for condition, is_empty in (("user.segment.n_orders > 0", False), ("user.segment.n_orders < 0", True)):
        found = shop.get(f"{_path(user_id)}/recommendations?placement=for_you&filter={quote(condition)}")
        assert found.status_code == 200
        assert (found.json()["items"] == []) is is_empty
    wrong = shop.get(f"{_path(user_id)}/recommendations?filter={quote('user.segment.lifecycle = 1')}")
    assert wrong.status_code == 422
    assert "did you mean 'life_cycle'?" in wrong.text
