from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.search.vector_index import N_CODED
from training.sizing.costs import Costs, Curve
from training.sizing.estimate import BUSY, Estimate, Prices, Shop, as_rows, estimates

LARGEST = {"events": 1e7, "items": 1e6, "users": 1e6}
COSTS = Costs(
    "a machine",
    {
        "training, s": Curve(0, 1e-4, 0, 0, 0.1, LARGEST),
        "training, MB": Curve(1024, 0, 0.01, 0, 0.1, LARGEST),
        "spark, s": Curve(100, 2e-4, 0, 0, 0.1, LARGEST),
        "bundle, MB": Curve(0, 0, 0.001, 0, 0.1, LARGEST),
        "server, MB": Curve(512, 0, 0, 0, 0.1, LARGEST),
        "for_you, ms": Curve(2, 0, 0, 0, 0.1, LARGEST),
        "complementary, ms": Curve(1, 0, 0, 0, 0.1, LARGEST),
    },
    {"http_ms_per_call": 0.5, "search_ms_per_item": 1e-5, "events_per_s": 10_000.0, "log_bytes_per_event": 500.0},
)
SHOP = Shop(1e7, 1e5, 1e6, lists_per_s=100, personal_share=0.25)


def by_name(shop: Shop, prices: Prices = Prices()) -> dict[tuple[str, str], Estimate]:  # noqa: B008
    return {(each.part, each.what): each for each in estimates(shop, COSTS, prices)}


def test_costs_become_processors_and_memory() -> None:
    found = by_name(SHOP)
    assert found["training", "processor hours"].value == pytest.approx(1000 / 3600)
    assert found["training", "memory, GB"].value == pytest.approx(2024 / 1024)
    assert found["training on Spark", "processor hours"].value == pytest.approx(2100 / 3600)
    assert found["servers", "ms of a processor per list"].value == pytest.approx(0.25 * 2 + 0.75 * 1 + 0.5)
    assert found["servers", "cores"].value == pytest.approx(100 * 1.75 / 1000 / BUSY)
    assert found["push job", "processor hours for a list for each user"].value == pytest.approx(1e6 * 0.002 / 3600)
    assert {each.beyond for each in found.values()} == {1.0}
    assert not any(part == "price" for part, _ in found)


def test_what_is_extrapolated_and_what_is_too_large_is_said() -> None:
    found = by_name(Shop(1e9, 1e7, 1e8, lists_per_s=5000, events_per_day=2e9))
    training = found["training", "processor hours"]
    assert training.beyond == 100
    assert "spark" in found["training", "memory, GB"].note
    assert "split" in found["live log", "events per second, on average"].note
    assert "several machines" in found["servers", "cores"].note
    row = next(row for row in as_rows([training]))
    assert row["basis"] == "extrapolated 100 x"


def test_a_list_for_a_user_costs_a_search_of_what_codes_do_not_cover() -> None:
    what = "push job", "processor hours for a list for each user"
    hours = {n_items: by_name(replace(SHOP, n_items=n_items))[what].value for n_items in (1e5, N_CODED, 1e6)}
    assert hours[1e5] == hours[N_CODED]
    assert hours[1e6] - hours[1e5] == pytest.approx(1e6 * (1e6 - N_CODED) * 1e-5 / 1000 / 3600)


def test_prices_add_up() -> None:
    found = by_name(SHOP, Prices(core_hour=0.05, gb_hour=0.01, disk_gb_month=0.1))
    per_million = found["price", "per million lists"].value
    assert per_million == pytest.approx(1e6 * 1.75 / 1000 / BUSY / 3600 * 0.05)
    month = found["price", "per month"].value
    assert found["price", "per month and million users"].value == pytest.approx(month)
    training = found["price", "of a training"].value
    assert training == pytest.approx(1000 / 3600 / 1.4 * (2 * 0.05 + 2024 / 1024 * 0.01))
    cores, gigabytes = 100 * 1.75 / 1000 / BUSY, 0.5
    servers = 30 * 24 * (cores * 0.05 + gigabytes * 0.01)
    assert month == pytest.approx(servers + 30 * training + found["live log", "disk for 30 days, GB"].value * 0.1)
    many = by_name(replace(SHOP, lists_per_s=100_000.0), Prices(gb_hour=0.01))["price", "per month"].value
    assert many > 10 * 30 * 24 * gigabytes * 0.01, "each machine has its memory"
    twice = by_name(replace(SHOP, trainings_per_day=2.0), Prices(0.05, 0.01, 0.1))["price", "per month"].value
    assert twice - month == pytest.approx(30 * found["price", "of a training"].value)
