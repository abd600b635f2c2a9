from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import ConfigError, DataError
from recsys.data.catalog import read_catalog
from recsys.data.dataset import load_dataset
from recsys.models.pairs.copurchase import CopurchaseConfig, fit_copurchase
from recsys.models.temporal.repeat import RepeatConfig, fit_repeat
from training.doctor.doctor import DoctorReport, render, run_doctor
from training.ingest.ingest import IngestConfig

START = datetime(2024, 1, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def folder(run: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Ingest tables given as rows."""

    def build(**tables: list[dict[str, Any]]) -> Path:
        sources = {}
        for name, rows in tables.items():
            sources[name] = tmp_path / f"{name}.jsonl"
            sources[name].write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        _, out = run(IngestConfig(timezone="UTC", max_reject_share=1.0), **sources)
        return Path(out)

    return build


def event(item: str, user: str, day: float, basket: str | None = None, **more: Any) -> dict[str, Any]:
    moment = (START + timedelta(days=day)).isoformat()
    row = {"item_id": item, "user_id": user, "event": "purchase", "timestamp": moment, "basket_id": basket}
    return row | more


def verdicts(report: DoctorReport) -> dict[str, str]:
    return {name: feed.grade for feed in report.feeds for name in feed.lists}


def test_offers_for_items_that_nobody_knows_are_counted(folder: Callable[..., Path]) -> None:
    events, items = [event("a", "u", 0)], [{"item_id": "b"}]
    offers = [{"item_id": name, "price": price} for price, name in enumerate(("a", "b", "c", "c"), 1)]
    report = run_doctor(folder(events=events, items=items, offers=offers))
    assert report.catalogue.orphan_offers == 2
    told = "2 offers of 4 for items that neither the items table nor an event has: they are not used"
    assert told in render(report)
    assert "offers of" not in render(run_doctor(folder(events=events, items=items, offers=offers[:2])))


def test_a_small_shop(folder: Callable[..., Path]) -> None:
    out = folder(
        events=[
            event("a", "u", 0, "1", received_at=(START + timedelta(seconds=2)).isoformat()),
            event("b", "u", 0, "1"),
            event("a", "u", 5, "2"),
            event("a", "v", 5, "3"),
            event("x", "v", 5, "3"),
            event("b", "v", 6, "4", event="view_item"),
            event("b", "v", 6, "4", quantity=0),
        ],
        items=[{"item_id": "a", "category": "p > q"}, {"item_id": "b"}, {"item_id": "c", "title": "c"}],
        users=[{"user_id": "u"}],
    )
    report = run_doctor(out, now=START + timedelta(days=5.5))
    assert report.rows == {"events": 6, "items": 3, "users": 1}
    assert (report.users, report.visitors, report.items) == (2, 0, 3)
    assert report.kinds == {"purchase": 5, "view_item": 1}
    assert (report.days.active, report.days.silent, report.days.finer) == (3, 4, True)
    assert [(str(a), str(b)) for a, b in report.days.gaps] == [("2024-01-02", "2024-01-05")]
    catalogue = report.catalogue
    assert catalogue.without_content == pytest.approx(1 / 3)
    assert (catalogue.orphan_items, catalogue.orphan_events, catalogue.orphan_users) == (1, 1, 1)
    assert catalogue.never_bought == 1
    assert (report.baskets.count, report.baskets.pairs, report.baskets.single_share) == (
        3,
        2,
        pytest.approx(1 / 3),
    )
    assert report.repeat_share == 1.0, "a again by u: the one purchase after a shopper's first day"
    assert (report.clock.known, report.clock.median_s, report.clock.future) == (1, 2.0, 1)
    assert report.rejects == {"events": {"a purchase of quantity zero": 1}}
    assert set(verdicts(report).values()) == {"thin", "yes"}
    json.dumps(report.to_dict())
    text = render(report)
    assert "2024-01-01 to 2024-01-07 (UTC); times of day are known" in text
    assert "no events: 2024-01-02 to 2024-01-05" in text


def test_items_alone(folder: Callable[..., Path]) -> None:
    report = run_doctor(folder(items=[{"item_id": "a", "title": "手工皮具"}]))
    found = verdicts(report)
    assert found.pop("similar") == "thin"
    assert found.pop("cold items") == "thin"
    assert set(found.values()) == {"no"}
    assert "no event" in render(report)


def test_dates_only_and_nobody_twice(folder: Callable[..., Path]) -> None:
    events = [{"item_id": str(n), "user_id": str(n), "event": "purchase", "timestamp": "2024-01-01"} for n in range(10)]
    report = run_doctor(folder(events=events))
    assert report.days.finer is False
    found = verdicts(report)
    assert found["time_of_day"] == "no"
    assert found["buy_again"] == "no"
    assert found["for_you"] == "no"
    assert found["similar"] == "no"
    assert found["popular"] == "thin"


def test_sessions_alone_and_one_item(folder: Callable[..., Path]) -> None:
    events = [
        {"item_id": "a", "session_id": str(n), "event": "view_item", "timestamp": f"2024-01-01T0{n}:30:00Z"}
        for n in range(5)
    ]
    report = run_doctor(folder(events=events))
    assert (report.users, report.items, report.baskets.count, report.repeat_share) == (0, 1, 5, 0.0)
    assert render(report)


def test_a_bot_is_suspected_and_a_good_customer_is_not(folder: Callable[..., Path]) -> None:
    people = [event(str(n % 7), f"u{n % 30}", n / 30, str(n)) for n in range(300)]
    keen = [event(str(n), "keen", n / 30, f"k{n}") for n in range(60)]
    bot = [event(str(n), "bot", n / 5000, f"b{n}", event="view_item") for n in range(2000)]
    report = run_doctor(folder(events=people + keen + bot))
    assert report.bots.suspects == 1
    assert report.bots.events == 2000
    assert report.bots.busiest[0][0] == "bot"
    assert "suspected bot: bot" in render(report)


def test_rich_data_feeds_every_list(folder: Callable[..., Path]) -> None:
    events = [
        event(str((u * 7 + n * n) % 150), f"u{u}", n + u / 200, f"{u}-{n // 2}") for u in range(200) for n in range(60)
    ]
    items = [{"item_id": str(n), "title": str(n), "category": "a > b"} for n in range(150)]
    report = run_doctor(folder(events=events, items=items))
    assert set(verdicts(report).values()) == {"yes"}


def test_a_table_of_an_earlier_release_lacks_columns(folder: Callable[..., Path]) -> None:
    out = folder(events=[event("a", "u1", 0.0, "b1"), event("b", "u1", 1.0, "b2")], items=[{"item_id": "a"}])
    whole = run_doctor(out)
    for name, columns in (("events", ("store", "region", "received_at")), ("items", ("brand", "tags"))):
        pl.read_parquet(out / f"{name}.parquet").drop(columns).write_parquet(out / f"{name}.parquet")
    assert run_doctor(out) == whole


def test_folders_that_cannot_be_read(folder: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="recsys ingest"):
        run_doctor(tmp_path / "none")
    out = folder(items=[{"item_id": "a"}])
    (out / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"items\.parquet cannot be read"):
        run_doctor(out)
    (out / "dataset.json").write_text("[", encoding="utf-8")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        run_doctor(out)


def assert_agrees_with_the_models(report: DoctorReport, out: Path) -> None:
    dataset = load_dataset(out)
    catalog = read_catalog(dataset.catalog)
    assert report.repeat_share == pytest.approx(fit_repeat(dataset, catalog, RepeatConfig()).repeat_share)
    model = fit_copurchase(dataset, catalog, CopurchaseConfig(), dataset.end)
    assert (report.baskets.by_basket, report.baskets.count) == (model.by_basket, model.n_all)
    served = bool((model.bought_together.item_idx >= 0).any())
    assert (verdicts(report)["bought_together"] != "no") is served


def why(report: DoctorReport, name: str) -> str:
    return next(feed.why for feed in report.feeds if name in feed.lists)


def test_a_shop_of_views_alone_is_judged_by_views(folder: Callable[..., Path]) -> None:
    views = [
        event(str((u + n) % 12), f"u{u}", n // 3 + n / 100, event="view_item", session_id=f"{u} {n // 3}")
        for u in range(40)
        for n in range(15)
    ]
    out = folder(events=views)
    report = run_doctor(out)
    assert (report.goal, report.goals) == ("view_item", 600)
    assert report.baskets.by_basket is True
    assert report.baskets.pairs == 200, "sessions"
    assert_agrees_with_the_models(report, out)
    assert {name for name, verdict in verdicts(report).items() if verdict == "no"} == {"cold items"}
    assert why(report, "bought_together").startswith("200 baskets have two or more items")
    text = render(report)
    assert "the target event is a view (view_item)" in text
    assert "% of the views after a user's first day repeat" in text
    assert "purchases" not in text


def test_ratings_by_day_fall_back_to_shoppers(folder: Callable[..., Path]) -> None:
    ratings = [
        {"item_id": str((u * 3 + n) % 20), "user_id": f"u{u}", "event": "purchase", "value": 1 + n % 5}
        | {"timestamp": f"2024-01-{n + 1:02}"}
        for u in range(30)
        for n in range(6)
    ]
    out = folder(events=ratings)
    report = run_doctor(out)
    assert (report.baskets.by_basket, report.baskets.count, report.baskets.pairs) == (False, 30, 30)
    assert_agrees_with_the_models(report, out)
    assert verdicts(report)["bought_together"] == "thin"
    assert "all purchases of one user count as one basket: 30 users" in why(report, "bought_together")
    assert verdicts(report)["buy_again"] == "no"
    assert "None of" not in render(report)


def test_a_day_is_a_basket_where_nothing_else_is(folder: Callable[..., Path]) -> None:
    events = [
        {"item_id": str(u + n), "user_id": f"u{u}", "event": "purchase", "timestamp": "2024-01-01"}
        for u in range(4)
        for n in range(2)
    ]
    out = folder(events=events)
    report = run_doctor(out)
    assert (report.baskets.by_basket, report.baskets.pairs) == (True, 4)
    assert_agrees_with_the_models(report, out)


def test_without_items_similar_comes_from_takers(folder: Callable[..., Path]) -> None:
    out = folder(events=[event(str(n), f"u{u}", n + u / 50) for u in range(120) for n in range(u % 5, 110, 5)])
    report = run_doctor(out)
    found = verdicts(report)
    assert (found["similar"], found["cold items"]) == ("yes", "no")
    assert "compared by their users" in why(report, "similar")
    assert why(report, "cold items").startswith("There is no items table")


def test_long_tail_names_the_limit_that_binds(folder: Callable[..., Path]) -> None:
    few_users = run_doctor(folder(events=[event(str(n), f"u{u}", n + u / 50) for u in range(20) for n in range(200)]))
    assert verdicts(few_users)["long_tail"] == "thin"
    assert "20 users or visitors have two" in why(few_users, "long_tail")
    assert "tail items on" not in why(few_users, "long_tail")
    best_sellers = [event("best", f"u{u}", n, f"{u} {n}") for u in range(120) for n in range(9)]
    others = [event(str(u % 9), f"u{u}", 20, f"{u}") for u in range(120)]
    few_items = run_doctor(folder(events=best_sellers + others))
    assert verdicts(few_items)["long_tail"] == "thin"
    assert "9 are the tail" in why(few_items, "long_tail")
    assert "50 tail items are enough" in why(few_items, "long_tail")


def test_nothing_is_said_of_purchases_that_are_not_there(folder: Callable[..., Path]) -> None:
    report = run_doctor(folder(items=[{"item_id": "a", "title": "a"}]))
    text = render(report)
    assert "items: 1 row\n" in text
    assert "%" not in text.split("Supported lists")[0]
    assert why(report, "buy_again") == "There is no purchase, so no repeat is known."


def test_postage_is_reported_by_id_with_its_figures(folder: Callable[..., Path]) -> None:
    events = [event(f"i{n % 9}", f"u{n}", n / 9, f"b{n}", price=5.0) for n in range(90)]
    events += [event("POST", f"u{n}", n / 9, f"b{n}", price=float(3 + n % 30)) for n in range(0, 90, 5)]
    items = [{"item_id": "POST", "title": "POSTAGE"}, *({"item_id": f"i{n}", "title": f"mug {n}"} for n in range(9))]
    report = run_doctor(folder(events=events, items=items))
    assert [item.item_id for item in report.service_items] == ["POST"]
    assert report.service_items[0].basket_share == pytest.approx(0.2)
    assert "no product, left out of every list: POST (in 20.0% of the baskets; named like a service" in render(report)
    assert report.to_dict()["service_items"][0]["item_id"] == "POST"


def test_what_the_ingest_skipped_is_told(folder: Callable[..., Path]) -> None:
    others = [event("a", "u", 1) | {"event": name} for name in ("view_cart", "view_cart", "besichtigt")]
    text = render(run_doctor(folder(events=[event("a", "u", 0), *others])))
    assert "skipped, because they are not about an item: 'view_cart' 2" in text
    assert "unknown names: 'besichtigt' 1; known are view_item_list" in text


OWN = """
[placements.mine]
extends = "for_you"
sources = {als = 1, popular = 0.5}
filter = "shelf = 'x'"
boosts = [{filter = "shelf = 'y'", factor = 2}]
pins = [{item_id = "b", rank = 1}]
"""


@pytest.mark.parametrize("has_catalog", [True, False])
def test_a_file_of_placements_is_checked_against_the_data(
    folder: Callable[..., Path], tmp_path: Path, has_catalog: bool
) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(OWN if has_catalog else OWN.replace("shelf", "brand"), encoding="utf-8")
    items = [{"item_id": "a", "shelf": "x"}, {"item_id": "b", "shelf": "y"}, {"item_id": "c", "available": False}]
    tables = {"items": items} if has_catalog else {}
    data = folder(events=[event("a", "u", 0)], **tables)
    assert run_doctor(data).placements is None
    report = run_doctor(data, placements=path)
    weights, *rules = report.placements or ()
    assert weights.startswith("mine has weights of its own (als 1, popular 0.5): the learned weights")
    assert "comparison with simpler orders" in weights
    if has_catalog:
        assert [rule.partition(" of 2")[0] for rule in rules[:1]] == ["mine.boosts[0].filter keeps 0"]
        assert rules[1].startswith("mine.pins[0] pins 'b', which is left out by the filter")
    assert f"Placements\n  {weights}" in render(report)
    path.write_text('[placements.mine]\nextends = "for_you"\n', encoding="utf-8")
    assert "Placements\n  nothing to report" in render(run_doctor(data, placements=path))
    path.write_text('[placements.mine]\nextends = "for_you"\nfilter = "nothing = 1"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown column 'nothing'"):
        run_doctor(data, placements=path)
