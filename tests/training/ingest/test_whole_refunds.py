from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENTS
from training.ingest.casts import PROBLEMS
from training.ingest.checks import ROW
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport
from training.ingest.whole_refunds import with_refunded_items

Run = Callable[..., tuple[IngestReport, Path]]
START = datetime(2024, 5, 1, tzinfo=UTC)
SCHEMA = EVENTS | {PROBLEMS: pl.String()}
LENIENT = IngestConfig(max_reject_share=1.0)


def row(event: str, item_id: str | None, basket_id: str | None, day: int, user_id: str | None = "u") -> dict[str, Any]:
    return {
        "event": event,
        "item_id": item_id,
        "basket_id": basket_id,
        "timestamp": START + timedelta(days=day),
        "user_id": user_id,
    }


def refunded(*rows: dict[str, Any]) -> tuple[list[tuple[int, str | None]], int]:
    frame = pl.DataFrame(rows, schema=SCHEMA).with_row_index(ROW)
    events, count = with_refunded_items(frame)
    assert events.columns == frame.columns
    return events.filter(pl.col("event") == "refund").select(ROW, "item_id").rows(), count


ORDER = [row("purchase", "a", "o", 0), row("purchase", "b", "o", 0), row("purchase", "a", "o", 0)]


def test_every_item_of_the_order_is_taken_back_once() -> None:
    assert refunded(*ORDER, row("refund", None, "o", 3)) == ([(3, "a"), (3, "b")], 1)


@pytest.mark.parametrize(
    "refund",
    [
        row("refund", None, "unknown", 3),
        row("refund", None, None, 3),
        row("refund", None, "o", -1),
        row("refund", None, "o", 3, "another"),
        row("refund", "b", "o", 3),
        row("refund", None, "o", 3) | {PROBLEMS: "item_id is a word for nothing"},
    ],
)
def test_other_refunds_stay_as_they_are(refund: dict[str, Any]) -> None:
    assert refunded(*ORDER, refund) == ([(3, refund["item_id"])], 0)


def test_the_latest_order_of_a_number_is_meant() -> None:
    later = [row("purchase", "c", "o", 30), row("purchase", "d", "o", 60)]
    assert refunded(*ORDER, *later, row("refund", None, "o", 31)) == ([(5, "c")], 1)


def test_a_refund_of_nobody_is_of_the_buyer_of_the_order() -> None:
    assert refunded(*ORDER, row("refund", None, "o", 3, None)) == ([(3, "a"), (3, "b")], 1)


ROWS = st.builds(
    row,
    st.sampled_from(["purchase", "refund", "view_item"]),
    st.sampled_from(["a", "b", None]),
    st.sampled_from(["o", "p", None]),
    st.integers(0, 9),
    st.sampled_from(["u", "v", None]),
)


@given(st.lists(ROWS, max_size=12))
def test_no_row_is_lost_and_no_other_changes(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA).with_row_index(ROW)
    events, count = with_refunded_items(frame)
    assert events[ROW].unique().to_list() == frame[ROW].to_list()
    changed = events.join(frame, on=[ROW, "item_id"], how="anti", nulls_equal=True)
    assert changed[ROW].n_unique() == count
    assert set(changed["event"]) <= {"refund"}


GA4 = {"event_name": "refund", "event_timestamp": 1714900000000000, "user_pseudo_id": "v", "items": []}
SEGMENT = {"type": "track", "event": "Order Refunded", "anonymousId": "v", "timestamp": "2024-05-05T09:00:00Z"}
PAYLOADS = [
    GA4 | {"ecommerce": {"transaction_id": "o1"}},
    SEGMENT | {"properties": {"order_id": "o1"}},
    {"event": "refund", "basket_id": "o1", "timestamp": "2024-05-05T09:00:00Z", "visitor_id": "v"},
]


@pytest.mark.parametrize("refund", PAYLOADS)
def test_a_whole_order_of_an_export_is_taken_back(run: Run, tmp_path: Path, refund: dict[str, Any]) -> None:
    bought = {"event": "purchase", "visitor_id": "v", "basket_id": "o1", "timestamp": "2024-05-01T08:00:00Z"}
    orders, refunds = tmp_path / "orders.jsonl", tmp_path / "refunds.jsonl"
    orders.write_text("\n".join(json.dumps(bought | {"item_id": item}) for item in "ab"), encoding="utf-8")
    refunds.write_text(json.dumps(refund), encoding="utf-8")
    report, out = run(LENIENT, events=[orders, refunds])
    events = report.tables["events"]
    assert (events.rows, events.kept, events.rejected) == (4, 4, 0)
    assert "1 refund of whole orders, read as one per item" in events.notes
    kept = pl.read_parquet(out / "events.parquet").filter(pl.col("event") == "refund")
    assert kept["item_id"].sort().to_list() == ["a", "b"]
