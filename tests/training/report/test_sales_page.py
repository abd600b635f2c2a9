from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.training.growth.planted import START, event, write_tables
from tests.training.report.pages import stands_alone
from training.growth.config import GrowthConfig
from training.growth.reports import GrowthReport, growth_report
from training.report.growth_page import write_page
from training.report.sales_page import growth_page
from training.report.words import LANGUAGES, Language, Words

HOSTILE = "<i>web</i>"


def full_shop(folder: Path) -> GrowthReport:
    """Every kind of event, of which half of the carts are not paid, and lists of the live log."""
    rows: list[dict[str, Any]] = []
    for n in range(1200):
        day, person, item = n / 10, f"u{n % 90}", f"i{n % 7}"
        rows.append(event(person, "view_item", day, item, channel=HOSTILE))
        rows += [event(person, "add_to_cart", day + 0.01, item, channel=HOSTILE)] * (n % 2)
        rows += [event(person, "purchase", day + 0.02, item, price=9.0, currency="CNY", channel="app")] * (n % 4 == 1)
    rows.append(event("x", "purchase", 100, "i0", price=1.0, currency="USD"))
    rows.append(event("", "purchase", 110, "i0", user_id=None, basket_id="till", price=5.0, currency="CNY"))
    items = [{"item_id": f"i{n}", "created_at": START + timedelta(days=15 * n)} for n in range(7)]
    data = write_tables(folder, rows, items)
    at = (START + timedelta(days=100)).timestamp()
    shown = {"placement": "discover", "model_version": "v", "user_id": "u1"}
    shown["items"] = [{"item_id": f"i{n}"} for n in range(7)]
    bought = {"event": "purchase", "item_id": "i6", "user_id": "u1", "price": 9.0, "currency": "CNY"}
    with closing(SqliteStore(folder / "store.sqlite")) as log:
        log.append([LogEntry("impression", f"r{n}", at, at, shown) for n in range(50)])
        log.append(
            [
                LogEntry("event", None, at, at, bought | {"recommendation_id": f"r{n}", "basket_id": f"b{n}"})
                for n in range(20)
            ]
        )
    return growth_report(data, GrowthConfig(), log=folder / "store.sqlite")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> GrowthReport:
    return full_shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_stands_alone_and_has_every_section(report: GrowthReport, language: Language, tmp_path: Path) -> None:
    words = Words(language)
    write_page(growth_page(report, words), words, tmp_path / "page.html")
    shown = stands_alone((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert shown.ids == ["funnel", "carts", "revenue", "arpu", "channels", "lists", "ledger-tail", "ledger-new"]
    assert HOSTILE in shown.text
    assert "i" not in shown.tags


def test_the_findings_in_words(report: GrowthReport) -> None:
    page = growth_page(report, Words("en"))
    titles = {each.name: each.title for each in page.sections}
    assert titles["carts"].endswith("% of carts are not paid within 24 hours, above the limit of 30.0%")
    assert [alert.since for alert in page.alerts] == ["since 2 Mar 2026", "since 2 Jun 2026"]
    assert page.alerts[1].message == "discover shows new items on 28.6% of its positions and allows 10.0%"
    assert titles["lists"] == "discover sells most of what lists sell: 20 of 20 purchases"
    assert titles["ledger-new"].startswith("New items get 28.6% of the positions")
    assert any("it brought" in line for each in page.sections for line in each.lines)
    assert any("Other currencies than CNY: 1 order lines" in line for line in page.missing)
    (cart_tile,) = [tile for tile in page.tiles if tile.is_alert]
    assert cart_tile.value == titles["carts"].split()[0]
    assert 0.48 < report.carts.window.loss.value < 0.52  # type: ignore[union-attr]


def page_of_rows(folder: Path, rows: list[dict[str, Any]]) -> Any:
    return growth_page(growth_report(write_tables(folder, rows), GrowthConfig()), Words("en"))


def test_placements_that_events_name(tmp_path: Path) -> None:
    rows = [event(f"u{n}", "purchase", n, placement="discover" if n % 4 else "for_you") for n in range(60)]
    (section,) = [each for each in page_of_rows(tmp_path, rows).sections if each.name == "placements"]
    assert section.title == "discover leads to most orders of lists: 75.0%"
    assert [row[0] for row in section.table.rows] == ["discover", "for_you"]


def test_a_shop_of_orders_alone(tmp_path: Path) -> None:
    page = page_of_rows(tmp_path, [event(f"u{n % 10}", "purchase", n) for n in range(100)])
    assert {each.name for each in page.sections} == {"funnel", "orders", "ledger-tail"}
    assert page.sections[0].title == "100% of the 10 buyers of the last 28 days had bought before"
    for word in ("Views", "Carts", "Revenue", "Channels", "Lists", "New items"):
        assert any(line.startswith(word) for line in page.missing)


def test_a_shop_of_views_alone(tmp_path: Path) -> None:
    page = page_of_rows(tmp_path, [event(f"u{n % 10}", "view_item", n) for n in range(100)])
    assert [each.title for each in page.sections] == ["10 people reached the step View in 28 days"]
    assert {tile.name: tile.value for tile in page.tiles} == {"active people": "10"}
    assert any(line.startswith("Orders") for line in page.missing)


def test_a_till_without_people(tmp_path: Path) -> None:
    rows = [event("", "purchase", n, user_id=None, basket_id=f"b{n}", price=2.0) for n in range(100)]
    page = page_of_rows(tmp_path, rows)
    assert {each.name for each in page.sections} == {"revenue", "ledger-tail"}
    assert {tile.name: tile.value for tile in page.tiles} == {"revenue": "56", "per order": "2", "orders": "28"}


def test_three_events_of_one_day(tmp_path: Path) -> None:
    page = page_of_rows(tmp_path, [event("u", name, 0) for name in ("view_item", "add_to_cart", "purchase")])
    assert {"funnel", "orders"} <= {each.name for each in page.sections}
