"""Exports with other events, with names of the shop's own, and of several files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, OTHER_EVENTS
from training.ingest.event_names import SKIP, aliases_of, find_skipped
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport

Run = Callable[..., tuple[IngestReport, Path]]
Write = Callable[..., Path]
STRICT = IngestConfig(max_reject_share=0.0)
WHEN = {"timestamp": "2024-05-01T08:00:00Z", "userId": "u"}


def ga4(name: str, *item_ids: str) -> dict[str, Any]:
    items = [{"item_id": item_id} for item_id in item_ids]
    return {"event_name": name, "event_timestamp": 1714550400000000, "user_pseudo_id": "v", "items": items}


def segment(name: str, *item_ids: str) -> dict[str, Any]:
    products = [{"product_id": item_id} for item_id in item_ids]
    return {"type": "track", "event": name, "properties": {"order_id": "o", "products": products}} | WHEN


def retail(name: str, *item_ids: str) -> dict[str, Any]:
    details = [{"product": {"id": item_id}} for item_id in item_ids]
    return {"eventType": name, "visitorId": "v", "eventTime": WHEN["timestamp"], "productDetails": details}


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    def write(*payloads: Any, name: str = "events.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(payload, ensure_ascii=False) for payload in payloads), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("payload", "name", "count"),
    [
        (ga4("view_cart", "a", "b"), "view_cart", 2),
        (ga4("add_payment_info", "a"), "add_payment_info", 1),
        (ga4("select_promotion", "a"), "select_promotion", 1),
        (ga4("page_view"), "page_view", 1),
        (ga4("newsletter_opened"), "newsletter_opened", 1),
        ({"client_id": "c", "events": [{"name": "scroll", "params": {}}]}, "scroll", 1),
        (segment("Cart Viewed", "a", "b"), "Cart Viewed", 2),
        (segment("Coupon Applied"), "Coupon Applied", 1),
        ({"type": "identify", "traits": {"plan": "x"}} | WHEN, "identify", 1),
        ({"type": "page", "name": "Home", "properties": {"path": "/", "product_id": "a"}} | WHEN, "page", 1),
        ({"type": "screen", "anonymousId": "v", "properties": {}}, "screen", 1),
        ({"type": "alias", "userId": "u", "previousId": "v"}, "alias", 1),
        ({"type": "group", "userId": "u", "groupId": "g"}, "group", 1),
        (retail("search", "a"), "search", 1),
        (retail("home-page-view"), "home-page-view", 1),
        (
            {"item_id": "(not set)", "event": "session_start", "timestamp": 1714550400, "user_id": "u"},
            "session_start",
            1,
        ),
        ({"item_id": " NULL ", "event": "scroll", "timestamp": WHEN["timestamp"], "user_id": "u"}, "scroll", 1),
        ({"item_id": None, "event": "heartbeat", "timestamp": WHEN["timestamp"], "user_id": "u"}, "heartbeat", 1),
    ],
)
def test_events_that_are_not_about_items_are_skipped_by_name(
    run: Run, lines: Write, payload: dict[str, Any], name: str, count: int
) -> None:
    report, out = run(STRICT, events=lines(payload, ga4("purchase", "a")))
    table = report.tables["events"]
    assert (table.rows, table.kept, table.rejected, table.skipped) == (count + 1, 1, 0, {name: count})
    assert pl.read_parquet(out / "events.parquet")["event"].to_list() == ["purchase"]


def test_a_product_line_without_an_id_is_rejected_alone(run: Run, lines: Write) -> None:
    order = segment("Order Completed", "a", "b")
    order["properties"]["products"].insert(1, {"name": "Gift wrap", "price": 1})
    report, out = run(events=lines(order))
    assert pl.read_parquet(out / "events.parquet")["item_id"].to_list() == ["a", "b"]
    assert report.tables["events"].reasons == {"item_id is empty": 1}


def test_a_bad_amount_in_a_payload_costs_its_cell_alone(run: Run, lines: Write) -> None:
    order = segment("Order Completed", "a", "b", "c")
    for product, price in zip(order["properties"]["products"], ("2,50", {"amount": 3}, 4), strict=True):
        product["price"] = price
    report, out = run(STRICT, events=lines(order))
    assert pl.read_parquet(out / "events.parquet").select("item_id", "price").rows() == [
        ("a", 2.5),
        ("b", None),
        ("c", 4.0),
    ]
    assert report.tables["events"].rejected == 0


OWN = [("u1", "a", "view"), ("u1", "b", "购买"), ("u2", "a", "view"), ("u2", "b", "heartbeat")]


@pytest.fixture
def own(events_file: Write) -> Path:
    rows = [{"user_id": user, "item_id": item, "event": name} | {"timestamp": "2024-05-01"} for user, item, name in OWN]
    return events_file(rows)


def test_unknown_names_are_reported_with_their_counts_and_the_known_names(run: Run, own: Path) -> None:
    with pytest.raises(DataError) as refused:
        run(STRICT, events=own)
    for text in ("'view' 2, 'heartbeat' 1, '购买' 1", *EVENT_NAMES, "--event-name 'view=purchase'", "'view=skip'"):
        assert text in str(refused.value)
    mapped = {"购买": "Order Completed", "heartbeat": SKIP}
    report, out = run(IngestConfig(max_reject_share=1.0, event_names=mapped), events=own)
    table = report.tables["events"]
    assert (table.skipped, table.unknown_events) == ({"heartbeat": 1}, {"view": 2})
    assert table.rows == table.kept + table.rejected + sum(table.skipped.values())
    assert pl.read_parquet(out / "events.parquet")["event"].to_list() == ["purchase"]


def test_names_of_the_shop_are_mapped_in_tables_and_in_payloads(run: Run, own: Path, lines: Write) -> None:
    names = {"view": "view_item", "购买": "purchase", "heartbeat": SKIP, "Bestellung": "Order Completed"}
    config = IngestConfig(max_reject_share=0.0, event_names=names)
    assert run(config, events=own)[0].tables["events"].kept == 3
    _, out = run(config, events=lines(segment("Bestellung", "a", "b")))
    events = pl.read_parquet(out / "events.parquet")
    assert events.select("event", "basket_id").rows() == [("purchase", "o")] * 2, "an order, so its id is a basket"


@pytest.mark.parametrize("name", ["view_cart", "Product Viewed", "purchase"])
def test_a_shop_may_map_names_that_are_known_otherwise(run: Run, lines: Write, name: str) -> None:
    def ingested(meaning: str) -> list[str]:
        config = IngestConfig(max_reject_share=0.0, event_names={name: meaning})
        _, out = run(config, events=lines(ga4("refund", "z"), ga4(name, "a")))
        return pl.read_parquet(out / "events.parquet").sort("item_id")["event"].to_list()

    assert ingested("add_to_cart") == ["add_to_cart", "refund"]
    assert ingested(SKIP) == ["refund"]


def test_a_name_is_mapped_to_a_known_one(run: Run, own: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"event 'view' is mapped to 'viewed', expected skip or one of view_item_list"
    ):
        run(IngestConfig(event_names={"view": "viewed"}), events=own)


def test_many_unknown_names_are_one_reason(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    report, out = run(events=events_file([good, *(good | {"event": f"x; {n}"} for n in range(300))]))
    assert report.tables["events"].reasons == {"event is not a known name": 300}
    assert len(report.tables["events"].unknown_events) == 300
    assert pl.read_parquet(out / "rejects.parquet")["reason"][7] == "event is not a known name, got 'x;7'"


def test_no_name_is_both_known_and_skipped() -> None:
    assert not set(OTHER_EVENTS) & {*EVENT_NAMES, *EVENT_ALIASES}
    assert len(set(OTHER_EVENTS)) == len(OTHER_EVENTS)


def test_an_event_with_a_word_that_is_an_id_of_the_shop_is_about_an_item(run: Run, lines: Write) -> None:
    row = {"item_id": "None", "event": "liked", "timestamp": WHEN["timestamp"], "user_id": "u"}
    config = IngestConfig(real_words=("None",), max_reject_share=1.0)
    report, _ = run(config, events=lines(row, row | {"event": "purchase"}))
    assert (report.tables["events"].rejected, report.tables["events"].unknown_events) == (1, {"liked": 1})


def test_a_row_without_a_name_is_no_event_of_another_kind(run: Run, lines: Write) -> None:
    row = {"item_id": " ", "event": " ", "timestamp": " ", "user_id": " "}
    report, _ = run(IngestConfig(max_reject_share=1.0), events=lines(row, ga4("purchase", "a")))
    assert (report.tables["events"].rejected, report.tables["events"].skipped) == (1, {})


NAMES = st.sampled_from([*EVENT_NAMES[:3], "Product Viewed", "view_cart", "x", "y", "", None])


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["a", "", None])), min_size=1, max_size=8),
    st.dictionaries(st.sampled_from(["x", "y", "view_cart", "purchase"]), st.sampled_from(["purchase", SKIP])),
)
def test_an_event_is_skipped_by_its_name_or_for_want_of_an_item(
    rows: list[tuple[str | None, str | None]], names: dict[str, str]
) -> None:
    frame = pl.DataFrame(rows, schema={"event": pl.String, "item_id": pl.String}, orient="row")
    aliases = aliases_of(names)
    for (name, item_id), skipped in zip(rows, find_skipped(frame, names), strict=True):
        is_known = not name or (names.get(name) != SKIP and (name in aliases or name in EVENT_NAMES))
        is_other = name in OTHER_EVENTS and name not in names
        expected = not is_known and (bool(name) and (names.get(str(name)) == SKIP or is_other or not item_id))
        assert skipped == (name if expected else None)


def test_several_files_of_one_table_are_added_up(run: Run, lines: Write, tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("sku,event,timestamp,user_id\na,purchase,2024-05-01,u\n,purchase,2024-05-01,u\n", encoding="utf-8")
    parquet = tmp_path / "b.parquet"
    row = {"item_id": ["b"], "event": ["view_item"], "timestamp": ["2024-05-02"], "visitor_id": [7]}
    pl.DataFrame(row).write_parquet(parquet)
    config = IngestConfig(max_reject_share=1.0, columns={"sku": "item_id"})
    report, out = run(config, events=[csv, parquet, lines(ga4("purchase", "c"))])
    assert report.tables["events"].kept == 3
    assert pl.read_parquet(out / "events.parquet")["item_id"].to_list() == ["a", "c", "b"]
    assert pl.read_parquet(out / "rejects.parquet")["row"].to_list() == [2]
    with pytest.raises(ConfigError, match=r"events: .*a\.csv is given twice"):
        run(config, events=[csv, csv])


@pytest.mark.parametrize("table", ["events", "items", "users", "offers"])
def test_every_table_may_have_several_files(run: Run, tmp_path: Path, good: dict[str, Any], table: str) -> None:
    rows = {
        "events": [good, good | {"item_id": "j"}],
        "items": [{"item_id": "i"}, {"item_id": "j"}],
        "users": [{"user_id": "u"}, {"user_id": "v"}],
        "offers": [{"item_id": "i", "price": 1}, {"item_id": "j", "price": 2}],
    }
    files: dict[str, list[Path]] = {}
    for name, pair in rows.items():
        files[name] = [tmp_path / f"{name}{number}.jsonl" for number in range(len(pair))]
        for path, row in zip(files[name], pair, strict=True):
            path.write_text(json.dumps(row), encoding="utf-8")
    sources = {"events": files["events"][:1], "items": files["items"][:1], "users": files["users"][:1]}
    report, _ = run(STRICT, **{**sources, table: files[table]})
    assert report.tables[table].kept == 2
