"""Festivals, climate, stages of life, places, themes and first orders: what is planted is found, at its time only."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import RecommendedItem, Request
from recsys.pipeline.recommend import recommend_with_trace
from recsys.rules.loader import parse_placements
from tests.recsys.moments.moment_shop import LiveShop, fitted
from tests.shop import dataset_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
ITEMS = [
    {"item_id": "mooncake", "category": ["Food", "Cakes"], "tags": ["月饼"], "price": 90.0},
    {"item_id": "lantern", "category": ["Home", "Lanterns"], "price": 30.0},
    {"item_id": "dryer", "category": ["Home", "Dryers"], "tags": ["除湿"]},
    {"item_id": "milk-1", "category": ["Baby", "1段"]},
    {"item_id": "milk-2", "category": ["Baby", "Milk"], "tags": ["2段"]},
    {"item_id": "tea", "category": ["Food", "Tea"], "tags": ["下午茶", "零食"]},
    {"item_id": "soap", "category": ["Home", "Soap"]},
]
USERS = [{"user_id": "parent", "child_birth_date": "2024-01-01"}, {"user_id": "south", "region": "广东"}]


def when(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=SHANGHAI).timestamp())  # type: ignore[arg-type]


def bought(user: str, item: str, *moment: int) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "timestamp": datetime(*moment, tzinfo=SHANGHAI)}  # type: ignore[arg-type]


EVENTS = [
    *(bought(f"s{n}", "soap", 2023, 1 + n % 12, 1 + n % 28, 10) for n in range(120)),
    *(bought(f"l{n}", "lantern", 2023, 9, 17 + n % 12, 10) for n in range(40)),
    *(bought(f"l{n}", "lantern", 2023, 1 + n % 8, 5, 10) for n in range(8)),
    *(bought(f"s{n}", "tea", 2023, 12, 1 + n % 28, 11) for n in range(28)),
    bought("end", "soap", 2023, 12, 31, 10),
]


def engine_of() -> Any:
    dataset = dataset_of(EVENTS, ITEMS, USERS)
    born = [{each["user_id"]: each.get("child_birth_date") for each in USERS}.get(id_) for id_ in dataset.users.ids]
    import polars as pl

    return fitted(replace(dataset, profiles=dataset.profiles.with_columns(pl.Series("child_birth_date", born))))


ENGINE = engine_of()


def ask(placement: str, as_of: int, user_id: str | None = None, **more: Any) -> dict[str, RecommendedItem]:
    request = Request(placement, as_of, user_id=user_id, **more)
    return {item.item_id: item for item in recommend_with_trace(ENGINE, request).recommendations.items}


def test_a_festival_lists_what_sold_before_the_last_one_and_what_is_tagged() -> None:
    """Mid-autumn was on 29 September 2023, and is on 17 September 2024."""
    found = ask("festival", when(2024, 9, 12, 9))
    assert set(found) == {"lantern", "mooncake"}
    lantern, cake = found["lantern"].reasons[0], found["mooncake"].reasons[0]
    assert lantern.code == cake.code == "festival"
    assert lantern.text.startswith("for Mid-Autumn Festival, in 5 days: bought ")
    assert lantern.text_zh.startswith("5天后就是中秋节：上次节前")
    assert float(lantern.values["lift"]) > 2
    assert cake.text == "for Mid-Autumn Festival, in 5 days"
    assert found["lantern"].due_at == "2024-09-16T16:00:00Z"
    assert found["lantern"].expires_at == "2024-09-17T16:00:00Z"


@pytest.mark.parametrize("moment", [(2024, 9, 2), (2024, 9, 18), (2024, 4, 1)])
def test_outside_its_days_a_festival_lists_nothing(moment: tuple[int, ...]) -> None:
    assert ask("festival", when(*moment, 12)) == {}


def test_a_steady_item_has_no_lift() -> None:
    for name in ENGINE.festival_lifts.names:
        rows, lift = ENGINE.festival_lifts.of(name)
        assert ENGINE.items.row("soap") not in rows
        assert (lift >= 1.5).all()
    assert "mid_autumn" in ENGINE.festival_lifts.names
    assert len(ENGINE.festival_lifts.of("qixi")[0]) == 0


def test_the_climate_of_the_region_decides() -> None:
    spring = when(2024, 3, 10, 9)
    assert set(ask("climate", spring, "south")) == set(ask("climate", spring, context={"region": "CN-GD"})) == {"dryer"}
    assert ask("climate", spring) == ask("climate", spring, "south", context={"region": "北京"}) == {}
    (item,) = ask("climate", spring, "south").values()
    assert item.reasons[0].text_zh == "适合回南天"
    assert item.expires_at == "2024-04-30T16:00:00Z"


def test_the_age_of_a_child_opens_and_closes_the_stages() -> None:
    """By tags, and by a level of the category."""
    assert [set(ask("life_stage", when(2024, month, 1, 9), "parent")) for month in (3, 9)] == [{"milk-1"}, {"milk-2"}]
    assert ask("life_stage", when(2024, 3, 1, 9), "south") == {}


def test_a_birth_date_that_is_sent_live_counts_at_the_next_request() -> None:
    live, as_of = LiveShop(ENGINE), when(2024, 3, 1, 9)
    assert live.ids("life_stage", "someone", as_of=as_of) == []
    live.add("user_put", "someone", attributes={"child_birth_date": "2024-02-01"})
    assert live.ids("life_stage", "someone", as_of=as_of) == ["milk-1"]
    live.add("user_patch", "someone", attributes={"child_birth_date": "2023-08-01"})
    assert live.ids("life_stage", "someone", as_of=as_of) == ["milk-2"]


def test_places_and_themes() -> None:
    friday = when(2024, 5, 3, 18)
    assert set(ask("nearby", friday, context={"place": "office"})) == {"tea"}
    assert ask("nearby", friday) == {}
    assert set(ask("theme", friday)) == {"tea"}
    assert ask("theme", when(2024, 5, 3, 12)) == {}


def test_a_shop_defines_its_own_occasions() -> None:
    table = {"extends": "theme", "occasions": [{"name": "洗护周", "tags": ["Soap"], "weekdays": [1]}]}
    placements = parse_placements({"placements": {"mine": table}}).placements
    for day, expected in ((6, ["soap"]), (7, [])):
        request = Request("mine", when(2024, 5, day, 12))
        found = recommend_with_trace(ENGINE, request, placements=placements).recommendations
        assert [item.item_id for item in found.items] == expected


def test_first_orders_are_for_those_who_have_not_ordered() -> None:
    found = ask("first_order", when(2024, 1, 5, 9), "nobody")
    assert next(iter(found)) == "soap"
    assert "of first orders" in found["soap"].reasons[0].text
    assert found["soap"].reasons[0].text_zh.endswith("的首单都有它")
    assert "tea" not in found, "nobody began with it"
    assert ask("first_order", when(2024, 1, 5, 9), "s1") == {}


def test_new_categories_are_those_that_the_user_has_not_bought_from() -> None:
    """Of the category of soap are the lantern and the dryer too."""
    found = ask("new_categories", when(2024, 1, 5, 9), "l1")
    assert found
    assert {"lantern", "soap", "dryer"}.isdisjoint(found)
    assert any(reason.code == "new_category" for item in found.values() for reason in item.reasons)


def test_occasions_do_not_change_other_lists() -> None:
    assert not PLACEMENTS["for_you"].occasions
    assert np.isfinite(ENGINE.popularity.share).all()
