from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from recsys.data.collected import hits_of, payloads_of
from recsys.data.payloads import parse_payload

VIEW = {"name": "view_item", "params": {"items": [{"item_id": "tea"}]}}
TRACK = {"type": "track", "event": "Product Viewed", "properties": {"product_id": "tea"}}


def test_a_single_payload_is_itself() -> None:
    assert payloads_of(TRACK) == [TRACK]
    assert payloads_of([TRACK, VIEW, 5]) == [TRACK, VIEW, 5]
    assert payloads_of([]) == []


def test_a_batch_has_its_calls_and_a_list_may_have_batches() -> None:
    batch = {"batch": [TRACK, {"type": "page"}], "sentAt": "2024-06-30T00:00:00Z", "writeKey": "k"}
    assert payloads_of(batch) == [TRACK, {"type": "page"}]
    assert payloads_of([batch, VIEW]) == [TRACK, {"type": "page"}, VIEW]


def test_events_of_the_measurement_protocol_have_the_ids_of_the_payload() -> None:
    body = {"client_id": "c", "user_id": "u", "timestamp_micros": 5, "events": [VIEW, {"name": "page_view"}, 3]}
    ids = {"client_id": "c", "user_id": "u", "timestamp_micros": 5}
    assert payloads_of(body) == [ids | VIEW, {**ids, "name": "page_view", "params": {}}, 3]
    own = {"events": [{"item_id": "tea", "event": "view_item", "user_id": "u"}]}
    assert payloads_of(own) == own["events"]


def test_commands_of_gtag_and_entries_of_its_data_layer() -> None:
    params = {"items": [{"item_id": "tea"}], "client_id": "c"}
    (command,) = payloads_of(["event", "view_item", params])
    (entry,) = payloads_of({"event": "view_item", "ecommerce": {"items": [{"item_id": "tea"}]}, "client_id": "c"})
    assert parse_payload(command) == parse_payload(entry)
    assert parse_payload(entry)[0]["visitor_id"] == "c"
    several = payloads_of([["config", "G-1"], ["event", "view_item", params], ["event"]])
    assert [each["name"] for each in several] == ["config", "view_item", None]


@pytest.mark.parametrize(
    ("payload", "event_id"),
    [
        ({"name": "purchase", "params": {"transaction_id": "T1"}}, "purchase-T1"),
        ({"name": "purchase", "params": {"transaction_id": 7}}, "purchase-7"),
        ({"name": "purchase", "params": {"transaction_id": "T1"}, "event_id": "own"}, "own"),
        ({"name": "purchase", "params": {}}, None),
        ({"name": "purchase", "params": {"transaction_id": ["T1"]}}, None),
        ({"name": "refund", "params": {"transaction_id": "T1"}}, None),
    ],
)
def test_a_purchase_is_counted_once_per_transaction(payload: dict[str, Any], event_id: str | None) -> None:
    assert payloads_of(payload)[0].get("event_id") == event_id


@pytest.mark.parametrize(("body", "field"), [({"batch": 1}, "batch"), ({"events": {}}, "events")])
def test_a_batch_that_is_no_list_is_named(body: Any, field: str) -> None:
    with pytest.raises(DataError, match=f"^{field}: expected a list"):
        payloads_of(body)


QUERY = "v=2&tid=G-1&cid=9.8&uid=u%201&sid=17&_p=111&_s=2&cu=EUR"


def test_a_hit_of_one_event() -> None:
    (hit,) = hits_of(
        f"{QUERY}&en=purchase&ep.transaction_id=T1&epn.value=9&pr2=idcup~pr1&pr1=idtea~nmGreen~~tea~pr3.5~qt2~lp4", ""
    )
    rows = parse_payload(hit)
    assert [(row["item_id"], row["price"], row["quantity"], row["position"]) for row in rows] == [
        ("tea", 3.5, 2.0, 4),
        ("cup", 1.0, None, None),
    ]
    first = rows[0]
    assert (first["user_id"], first["visitor_id"], first["session_id"]) == ("u 1", "9.8", "17")
    assert (first["basket_id"], first["currency"], first["event_id"]) == ("T1", "EUR", "9.8-111-2-1#1")


def test_a_batch_of_hits_shares_its_query() -> None:
    hits = hits_of(QUERY, "en=view_item&pr1=idtea\r\n\nen=page_view&_et=5\n")
    assert [(hit["name"], hit["client_id"], hit["event_id"]) for hit in hits] == [
        ("view_item", "9.8", "9.8-111-2-1"),
        ("page_view", "9.8", "9.8-111-2-2"),
    ]


def test_hits_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(DataError, match=r"^hit: not percent-encoded UTF-8"):
        hits_of("en=%ff", "")


@given(st.text(), st.text())
def test_any_text_is_hits_or_a_data_error(query: str, body: str) -> None:
    with suppress(DataError):
        for hit in hits_of(query, body):
            assert parse_payload(hit)
