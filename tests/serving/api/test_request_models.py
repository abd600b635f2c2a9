from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from recsys.core.request import DEFAULT_LIMIT, Request
from serving.api.explain import ExplainParams
from serving.api.request_models import (
    ALL_ANCHORS,
    ListParameters,
    ListRequest,
    PageRequest,
    RankRequest,
    UserContext,
    as_of_or_now,
    check_placement,
    limit_of,
    list_request,
)
from serving.api.routes import ItemList, UserList
from serving.problems import InvalidRequestError
from serving.runtime.snapshot import Snapshot
from tests.serving.conftest import Client


@pytest.fixture
def snapshot(client: Client) -> Snapshot:
    found: Snapshot = client.app.state.app_context.watcher.snapshot()
    return found


def test_calls_share_the_fields_of_their_base() -> None:
    for struct in (ItemList, UserList, ExplainParams):
        assert set(ListParameters.__struct_fields__) <= set(struct.__struct_fields__)
    for body in (ListRequest, PageRequest, RankRequest):
        assert set(UserContext.__struct_fields__) <= set(body.__struct_fields__)


@pytest.mark.parametrize("struct", [ListParameters, UserContext, ListRequest, PageRequest, RankRequest, UserList])
def test_unknown_fields_are_refused(struct: type[msgspec.Struct]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"placement": "p", "item_ids": ["i"], "user_id": "u", "color": 1}, struct)


def test_a_url_and_a_body_make_the_same_request(snapshot: Snapshot) -> None:
    call = UserList(user_id="u", filter="price < 3", region="north", channel="app", limit=7)
    of_url = call.request(snapshot, 5)
    body = ListRequest(
        placement="for_you", user_id="u", filter="price < 3", context={"region": "north", "channel": "app"}, limit=7
    )
    assert of_url == list_request(snapshot, body, "for_you", 5)
    chosen = snapshot.recommender.filter("price < 3")
    context = {"region": "north", "channel": "app"}
    assert of_url == Request("for_you", 5, 7, "u", filter=chosen, context=context)


def test_repeated_items_keep_their_order(snapshot: Snapshot) -> None:
    body = ListRequest(placement="complementary", item_ids=["b", "a", "b"])
    assert list_request(snapshot, body, "complementary", 0).item_ids == ("b", "a", "b")


def test_the_limit_is_the_given_one_else_the_placements(snapshot: Snapshot) -> None:
    assert limit_of(snapshot, "for_you", 3) == 3
    assert limit_of(snapshot, "for_you", None) == snapshot.recommender.placements["for_you"].limit
    assert limit_of(snapshot, "no such list", None) == DEFAULT_LIMIT


def test_as_of_is_between_1970_and_the_servers_clock(client: Client) -> None:
    app_context = client.app.state.app_context
    now = app_context.clock.now()
    tolerance = app_context.settings.future_tolerance_seconds
    assert abs(as_of_or_now(app_context, None) - now) <= 1
    assert as_of_or_now(app_context, datetime(2024, 5, 1, tzinfo=UTC)) == 1714521600
    assert as_of_or_now(app_context, datetime.fromtimestamp(now + tolerance, UTC)) == now + tolerance
    for when in (datetime.fromtimestamp(now + tolerance + 60, UTC), datetime(1969, 12, 31, tzinfo=UTC)):
        with pytest.raises(InvalidRequestError, match="expected a time from 1970"):
            as_of_or_now(app_context, when)


def test_a_placement_must_exist_and_have_the_anchor(snapshot: Snapshot) -> None:
    assert frozenset({"item", "user", "none", "any"}) == ALL_ANCHORS
    check_placement(snapshot, "similar", ALL_ANCHORS)
    for name in ("similar", "no such list", "x" * 1000):
        with pytest.raises(InvalidRequestError) as caught:
            check_placement(snapshot, name, frozenset({"user"}))
        (error,) = caught.value.errors
        assert error.field == "placement"
        assert "for_you" in error.message
        assert len(error.message) < 1000
