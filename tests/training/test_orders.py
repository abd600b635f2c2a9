"""Orders from a shop's files to its lists: delivered twice, returned, of products, and of items that left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.core.request import Request
from recsys.data.dataset import load_dataset
from recsys.pipeline.recommender import Recommender
from tests.jobs import NOW, run_jobs, train_small, write_rows
from tests.shop import TIMEZONE
from training.doctor.doctor import DoctorReport, render, run_doctor
from training.ingest.catalog_state import CatalogConfig
from training.ingest.ingest import IngestConfig, InputFiles, ingest

START = datetime(2024, 3, 1, 2, tzinfo=UTC)
USERS, WEEKS = 24, 4
PLACEMENTS = ("for_you", "discover", "long_tail", "time_of_day", "buy_again", "popular")


def ga4_order(user: int, week: int, days_late: float = 0) -> dict[str, Any]:
    """One order of soap and of the user's own item, as the export of GA4 has it."""
    at = START + timedelta(days=7 * week + days_late, minutes=user)
    return {
        "event_name": "purchase",
        "event_timestamp": str(int(at.timestamp() * 1_000_000)),
        "user_pseudo_id": f"v{user}",
        "ecommerce": {"transaction_id": f"o{user}-{week}"},
        "items": [
            {"item_id": "soap", "quantity": "2", "price": 3},
            {"item_id": f"own-{user % 5}", "quantity": 1, "price": 9},
        ],
    }


def ingested(folder: Path, *files: tuple[str, Sequence[dict[str, Any]]]) -> Path:
    """Tables of JSON Lines, one part file per delivery."""
    (folder / "events").mkdir(parents=True)
    for name, payloads in files:
        text = "".join(json.dumps(payload) + "\n" for payload in payloads)
        (folder / "events" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    ingest(InputFiles(events=folder / "events"), IngestConfig(timezone=TIMEZONE), folder / "data", NOW)
    return folder / "data"


def facts(report: DoctorReport) -> dict[str, Any]:
    """What a report counts, without the copies themselves and the rows of the tables."""
    kept = ("users", "visitors", "items", "kinds", "goal", "goals", "baskets", "repeat_share", "feeds")
    return {name: asdict(report)[name] for name in kept}


@pytest.mark.parametrize("days_late", [0.0, 0.0001, 0.2, 2.0, 20.0])
@pytest.mark.parametrize("in_one_file", [True, False])
def test_orders_sent_again_change_nothing(tmp_path: Path, days_late: float, in_one_file: bool) -> None:
    orders = [ga4_order(user, week) for user in range(USERS) for week in range(WEEKS)]
    again = [ga4_order(user, week, days_late) for user in range(USERS) for week in range(WEEKS)]
    clean = ingested(tmp_path / "clean", ("a", orders))
    files = [("a", [*orders, *again])] if in_one_file else [("a", orders), ("b", again)]
    doubled = ingested(tmp_path / "doubled", *files)
    one, other = load_dataset(clean), load_dataset(doubled)
    for name, column in vars(one.events).items():
        np.testing.assert_array_equal(vars(other.events)[name], column, err_msg=name)
    assert facts(run_doctor(clean)) == facts(run_doctor(doubled))
    if days_late:
        assert f"{2 * USERS * WEEKS} order lines delivered again" in render(run_doctor(doubled))


@pytest.mark.parametrize("sends_ids", [True, False])
def test_lines_of_one_payload_are_pieces_of_one_line(tmp_path: Path, sends_ids: bool) -> None:
    """Two lines of soap are two pieces, of which one comes back."""
    order = ga4_order(1, 0)
    order["items"] = [{"item_id": "soap", "quantity": 1, "price": 3}] * 2
    back = order | {"event_name": "refund", "event_timestamp": str(int(NOW.timestamp() * 1_000_000) - 10)}
    back["items"] = order["items"][:1]
    if sends_ids:
        order, back = order | {"event_id": "e1"}, back | {"event_id": "e2"}
    dataset = load_dataset(ingested(tmp_path, ("a", [order, back])))
    assert (dataset.orders.added, dataset.orders.part_returns, dataset.orders.returned) == (1, 1, 0)
    assert len(dataset.target_events) == 1


def visits(user: int) -> list[dict[str, Any]]:
    """A user looks at the gadget, buys it and another item, and sends it back; every other one names the order."""
    at = START + timedelta(days=user, hours=1)
    who = {"user_id": f"u{user}"}
    order, other = f"o{user}", f"item-{user % 6}"
    return [
        {**who, "item_id": "gadget", "event": "view_item", "timestamp": at.isoformat()},
        {**who, "item_id": "gadget", "event": "purchase", "timestamp": at.isoformat(), "basket_id": order},
        {**who, "item_id": other, "event": "purchase", "timestamp": at.isoformat(), "basket_id": order},
        {
            **who,
            "item_id": "gadget",
            "event": "refund",
            "timestamp": (at + timedelta(days=9)).isoformat(),
            "basket_id": order if user % 2 else None,
        },
    ]


def test_what_everybody_returns_is_no_bestseller_and_offered_to_none_of_them(tmp_path: Path) -> None:
    events = [event for user in range(USERS) for event in visits(user)]
    report, engine = run_jobs(tmp_path, events)
    assert "24 purchases returned: they do not count" in render(run_doctor(tmp_path / "data"))
    row = engine.engine.items.row("gadget")
    model = engine.engine
    assert model.popularity.n_buyers[row] == model.copurchase.n_baskets[row] == 0
    assert model.popularity.share[row] == model.repeat.repeat_rate[row] == 0
    assert engine.engine.by_popularity[0] != row
    assert report.rows["events"] == 3 * USERS
    for placement in PLACEMENTS:
        for user in range(USERS):
            listed = engine.recommend_for(Request(placement, model.dataset_info.end, 50, user_id=f"u{user}")).items
            assert "gadget" not in {item.item_id for item in listed}, placement
    for seed in ("item-1", "item-2"):
        request = Request("bought_together", model.dataset_info.end, 50, item_ids=(seed,))
        assert "gadget" not in {item.item_id for item in engine.recommend_for(request).items}


@pytest.mark.parametrize("complete", [True, False])
def test_an_item_that_left_a_complete_catalog_is_in_no_list(tmp_path: Path, complete: bool) -> None:
    rows = [
        {
            "user_id": f"u{n % 20}",
            "item_id": f"i{n % 5}",
            "event": "purchase",
            "timestamp": START + timedelta(hours=7 * n),
        }
        for n in range(200)
    ]
    items = [{"item_id": f"i{n}", "title": f"Thing {n}"} for n in range(1, 20)]
    sources = InputFiles(write_rows(rows, tmp_path / "events.parquet"), write_rows(items, tmp_path / "items.csv"))
    config = IngestConfig(timezone=TIMEZONE)
    report = ingest(sources, config, tmp_path / "data", NOW, catalog=CatalogConfig(complete=complete))
    assert ("not listed" in report.tables["items"].notes[0]) == complete
    train_small(tmp_path / "data", tmp_path / "models")
    engine = Recommender.open(tmp_path / "models")
    end = engine.engine.dataset_info.end
    asked = [Request(placement, end, 50, user_id=f"u{user}") for placement in PLACEMENTS for user in range(20)]
    asked += [Request(placement, end, 50, item_ids=("i1",)) for placement in ("bought_together", "similar")]
    listed = {item.item_id for request in asked for item in engine.recommend_for(request).items}
    assert ("i0" in listed) == (not complete)
    assert "i1" in listed
    page = engine.recommend_for(Request("similar", end, 50, item_ids=("i0",)))
    assert not page.missing_ids, "its page still has lists"


def test_a_product_has_the_lists_of_a_variant(tmp_path: Path) -> None:
    """Views have the id of the product, sales that of the variant."""
    items = [
        {"item_id": f"P{n}-{size}", "item_group_id": f"P{n}", "category": f"Shop > C{n % 4}", "available": size != "S"}
        for n in range(8)
        for size in "SML"
    ]
    events = []
    for n in range(160):
        who = {"user_id": f"u{n % 32}", "timestamp": (START + timedelta(hours=5 * n)).isoformat()}
        sold = {**who, "event": "purchase", "basket_id": f"o{n}"}
        events.append({**who, "item_id": f"P{n % 8}", "event": "view_item"})
        events += [{**sold, "item_id": f"P{k % 8}-{'SML'[n % 3]}"} for k in (n, n + 1)]
    _, engine = run_jobs(tmp_path, events, items)
    model = engine.engine
    assert not set(model.items.ids) & {f"P{n}" for n in range(8)}
    for n in range(8):
        assert model.items.ids[model.item_row(f"P{n}")] in (f"P{n}-M", f"P{n}-L")
        for placement in ("bought_together", "complementary", "similar", "viewed_together"):
            answer = engine.recommend_for(Request(placement, model.dataset_info.end, 20, item_ids=(f"P{n}",)))
            assert not answer.missing_ids
            listed = [item.item_id for item in answer.items]
            assert listed
            assert set(listed) <= set(model.items.ids)
            assert not any(id_.startswith(f"P{n}-") or id_.endswith("-S") for id_ in listed)
    assert "160 events of products" in render(run_doctor(tmp_path / "data"))
