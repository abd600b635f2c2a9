"""Services among products, in planted shops with and without categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.core.request import Request
from recsys.data.dataset import Dataset
from recsys.data.service_items import ServiceItemConfig, find_service_items
from recsys.fitting.fit import fit_models
from recsys.pipeline.recommend import recommend
from tests.shop import at, dataset_of, moment, small_config

CONFIG = ServiceItemConfig()
STAPLE = "staple"


def shop(
    *, categories: bool, service: str | None, title: str | None = None, spread: float = 10.0, share: float = 0.2
) -> Dataset:
    """Baskets of two of forty products, half of them with a staple by weight; a service is in some of them."""
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for n in range(400):
        held = {f"product {each}": 9.0 for each in rng.integers(40, size=2)}
        if n % 2:
            held[STAPLE] = float(rng.uniform(1, 8))
        if service and rng.random() < share:
            held[service] = float(rng.uniform(1, spread))
        rows += [
            {
                "item_id": item,
                "basket_id": str(n),
                "user_id": f"u{n % 30}",
                "price": price,
                "timestamp": at(moment(n / 9)),
            }
            for item, price in held.items()
        ]
    ids = {row["item_id"] for row in rows} - {service}
    items = [
        {"item_id": item, "title": item, "category": ["all", item] if categories else None} for item in sorted(ids)
    ]
    if service:
        items.append({"item_id": service, "title": title})
    return dataset_of(rows, items)


def found(dataset: Dataset, config: ServiceItemConfig = CONFIG) -> list[str]:
    return [item.item_id for item in find_service_items(dataset, config)]


@pytest.mark.parametrize("categories", [True, False])
@pytest.mark.parametrize("title", ["POSTAGE", "DOTCOM POSTAGE", "Bank Charges", "Next Day Carriage", "运费", "补差价"])
def test_a_named_service_is_found(title: str, *, categories: bool) -> None:
    assert found(shop(categories=categories, service="S1", title=title)) == ["S1"]


@pytest.mark.parametrize("categories", [True, False])
@pytest.mark.parametrize("service", ["POSTAGE", "BANK CHARGES"])
def test_an_id_is_a_name_where_there_is_no_title(service: str, *, categories: bool) -> None:
    assert found(shop(categories=categories, service=service)) == [service]


def test_without_a_name_all_other_signs_are_needed() -> None:
    assert found(shop(categories=True, service="S1", title="M")) == ["S1"]
    assert not found(shop(categories=False, service="S1", title="M"))
    assert not found(shop(categories=True, service="S1", title="M", spread=1.1))
    assert not found(shop(categories=True, service="S1", title="M", share=0.005))


def test_a_name_alone_is_not_enough() -> None:
    assert not found(shop(categories=False, service="S1", title="tea sample", spread=1.1, share=0.01))
    assert not found(shop(categories=False, service="S1", title="set of three postage stamp tins"))


@pytest.mark.parametrize("categories", [True, False])
def test_a_staple_in_half_of_all_baskets_at_any_price_is_a_product(*, categories: bool) -> None:
    assert not found(shop(categories=categories, service=None))


def test_ids_can_be_forced_in_and_out() -> None:
    dataset = shop(categories=True, service="S1", title="POSTAGE")
    assert found(dataset, ServiceItemConfig(never=("S1",))) == []
    assert found(dataset, ServiceItemConfig(always=(STAPLE, "unknown"))) == [STAPLE, "S1"]
    assert found(dataset, ServiceItemConfig(detect=False)) == []
    assert found(dataset, ServiceItemConfig(detect=False, always=("S1",))) == ["S1"]


def test_without_events_there_is_none() -> None:
    assert found(dataset_of([], [{"item_id": "POSTAGE"}])) == []


@pytest.mark.parametrize("placement", ["popular", "for_you", "bought_together", "complementary"])
def test_no_list_contains_a_service(placement: str) -> None:
    engine = fit_models(shop(categories=True, service="S1", title="POSTAGE", share=0.6), small_config())
    anchor = {"item_ids": (STAPLE,)} if placement in ("bought_together", "complementary") else {"user_id": "u1"}
    asked = Request(placement, engine.dataset_info.end, 40, **({} if placement == "popular" else anchor))
    listed = [item.item_id for item in recommend(engine, asked).items]
    assert "S1" not in listed
    assert listed or placement == "complementary"
