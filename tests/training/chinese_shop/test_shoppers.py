from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training.chinese_shop.catalog import build_goods
from training.chinese_shop.planted import END, PLANTED, START
from training.chinese_shop.shoppers import CITIES, NEVER, draw_shoppers, users_table


def test_shares_of_users_are_as_planted() -> None:
    shoppers = draw_shoppers(20_000, build_goods(), np.random.default_rng(0))
    shares = {
        "parents": shoppers.born != NEVER,
        "leather_fans": shoppers.is_leather_fan,
        "seekers": shoppers.is_seeker,
        "leavers": shoppers.is_leaver,
    }
    for name, chosen in shares.items():
        size = getattr(PLANTED, name)
        assert chosen.mean() == pytest.approx(size, abs=4 * np.sqrt(size * (1 - size) / 20_000))
    assert (shoppers.first >= START).all()
    assert ((shoppers.last >= shoppers.first) & (shoppers.last < END)).all()


def test_the_shop_knows_children_consent_and_a_group_without_effect(chinese_tables: dict[str, pl.DataFrame]) -> None:
    users = chinese_tables["users"]
    assert users["user_id"].is_unique().all()
    assert set(users["region"]) == set(CITIES)
    assert users["child_birth_date"].null_count() > 0.6 * users.height
    assert users["child_birth_date"].dtype == pl.Datetime("us", "UTC")
    assert 0.4 < (users["测试组"] == "甲").mean() < 0.6  # type: ignore[operator]
    assert 0.7 < users["consent_push"].mean() < 0.9  # type: ignore[operator]


def test_the_table_does_not_tell_what_only_the_generator_knows() -> None:
    shoppers = draw_shoppers(50, build_goods(), np.random.default_rng(0))
    columns = users_table(shoppers, np.random.default_rng(1)).columns
    assert not {"hour", "is_seeker", "is_leaver", "is_leather_fan", "favourites"} & set(columns)
