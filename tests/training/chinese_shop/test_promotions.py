from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training.chinese_shop.catalog import build_goods
from training.chinese_shop.planted import END, N_WEEKS, PLANTED, START, WEEK_S
from training.chinese_shop.promotions import GROUPS, NO_WEEK, draw_promotions, week_of

GOODS = build_goods()
PROMOTIONS = draw_promotions(GOODS, np.random.default_rng(0))


def test_prices_fall_for_a_week_by_the_planted_factor() -> None:
    week, item = (int(each[0]) for each in np.nonzero(PROMOTIONS.is_on))
    at = np.array([START + week * WEEK_S, START + (week + 1) * WEEK_S - 1])
    row = np.full(2, item)
    assert PROMOTIONS.price(row, at).tolist() == [round(GOODS.price[item] * PLANTED.price_drop, 2)] * 2
    offers = PROMOTIONS.offers_table()
    assert offers.height == PROMOTIONS.is_on.sum()
    assert offers["price"][0] == PROMOTIONS.price(row, at)[0]


def test_promotions_of_the_last_week_go_on_after_the_data() -> None:
    offers = PROMOTIONS.offers_table()
    last = offers["valid_from"].dt.epoch("s") == START + (N_WEEKS - 1) * WEEK_S
    assert offers.filter(last).height == PROMOTIONS.is_on[-1].sum() > 0
    assert (offers.filter(last)["valid_to"].dt.epoch("s") == START + (N_WEEKS + 1) * WEEK_S).all()
    assert (
        offers.filter(~last).select(pl.col("valid_to") - pl.col("valid_from")).to_series().dt.total_days() == 7
    ).all()


def test_promoted_goods_are_those_of_some_groups() -> None:
    promoted = PROMOTIONS.is_on.any(axis=0)
    groups = np.array([item.group for item in GOODS.items])
    assert set(groups[promoted]) == set(GROUPS)
    share = PROMOTIONS.is_on[:, np.isin(groups, GROUPS)].mean()
    assert share == pytest.approx(PLANTED.on_promotion, abs=0.02)


def test_the_next_start_equals_a_search() -> None:
    rng = np.random.default_rng(1)
    for week, item in zip(rng.integers(0, N_WEEKS, 50), rng.integers(0, len(GOODS.items), 50), strict=True):
        later = np.flatnonzero(PROMOTIONS.is_on[week + 1 :, item])
        expected = week + 1 + later[0] if len(later) else NO_WEEK
        assert PROMOTIONS.next_start[week, item] == expected


def test_a_draw_among_promotions_takes_one_where_there_is_one() -> None:
    week = np.repeat(np.arange(N_WEEKS), 5)
    rows = PROMOTIONS.any_of("night", week, np.random.default_rng(0))
    has_any = PROMOTIONS.is_on[:, GOODS.of_group["night"]].any(axis=1)[week]
    assert np.isin(rows, GOODS.of_group["night"]).all()
    assert PROMOTIONS.is_on[week, rows][has_any].all()


def test_weeks_are_those_of_the_span() -> None:
    assert week_of(np.array([START - 1, START, START + WEEK_S, END - 1, END])).tolist() == [0, 0, 1, 59, 59]
