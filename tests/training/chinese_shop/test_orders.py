"""Every planted effect can be counted in the tables, at its size; what is not planted is not there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from training.chinese_shop.catalog import N_OUTFITS, Goods, build_goods
from training.chinese_shop.orders import Lines, Shop, draw_orders, local_hour
from training.chinese_shop.planted import DAMP, DAY_S, HEATING, MID_AUTUMN, PLANTED, QIXI, WEEK_S
from training.chinese_shop.promotions import draw_promotions, week_of
from training.chinese_shop.shoppers import CITIES, NEVER, draw_shoppers

N_USERS = 3000


def build(seed: int) -> Shop:
    rng, goods = np.random.default_rng(seed), build_goods()
    shoppers = draw_shoppers(N_USERS, goods, rng)
    return Shop(goods, draw_promotions(goods, rng), shoppers, rng)


SHOP = build(0)
PURCHASES, WISHES = draw_orders(SHOP)
GOODS: Goods = SHOP.goods


def of(group: str, lines: Lines = PURCHASES) -> Lines:
    kept = np.isin(lines.item, GOODS.of_group[group])
    return Lines(lines.user[kept], lines.item[kept], lines.at[kept])


def orders(lines: Lines) -> set[tuple[int, int]]:
    return set(zip(lines.user.tolist(), lines.at.tolist(), strict=True))


def share(found: float, n: int, size: float) -> None:
    assert found == pytest.approx(size, abs=4 * np.sqrt(size * (1 - size) / n) + 0.01)


def test_a_phone_is_bought_once_and_a_quarter_as_a_kit() -> None:
    phones = of("phone")
    assert len(np.unique(phones.user)) == len(phones.user)
    kits = orders(phones) & orders(of("case")) & orders(of("film"))
    share(len(kits) / len(phones.user), len(phones.user), PLANTED.kit)
    model = dict(zip(phones.user.tolist(), (phones.item - GOODS.of_group["phone"][0]).tolist(), strict=True))
    cases = of("case")
    own = [model[user] == row for user, row in zip(cases.user, cases.item - GOODS.of_group["case"][0], strict=True)]
    assert all(own)


def test_babies_grow_through_the_stages_at_regular_intervals() -> None:
    milk, born = of("milk_powder"), SHOP.shoppers.born
    assert (born[milk.user] != NEVER).all()
    stage = (milk.item - GOODS.of_group["milk_powder"][0]) % 3
    age = (milk.at - born[milk.user]) / DAY_S
    assert (stage == np.searchsorted((180, 365, 1095), age, side="right")).all()
    order = np.lexsort((milk.at, milk.user))
    same = np.diff(milk.user[order]) == 0
    gap = np.diff(milk.at[order])[same] / DAY_S
    assert gap.mean() == pytest.approx(PLANTED.milk_days, abs=0.5)
    assert gap.std() == pytest.approx(PLANTED.milk_spread_days, abs=0.5)
    brand = (milk.item - GOODS.of_group["milk_powder"][0]) // 3
    loyal = PLANTED.brand_loyalty + (1 - PLANTED.brand_loyalty) / 4
    share((brand == SHOP.shoppers.milk_brand[milk.user]).mean(), len(brand), loyal)


def test_food_is_bought_in_its_part_of_the_day() -> None:
    morning, night = local_hour(of("morning").at), local_hour(of("night").at)
    early, late = (lambda hour: (hour < 11).mean()), (lambda hour: (hour >= 20).mean())
    assert early(morning) > 2 * early(night)
    assert late(night) > 2 * late(morning)


def test_leathercraft_is_for_its_fans_alone() -> None:
    leather = of("leather")
    assert SHOP.shoppers.is_leather_fan[leather.user].all()
    assert len(np.unique(leather.user)) > 0.015 * N_USERS


def test_outfits_are_bought_as_a_whole() -> None:
    for number in range(N_OUTFITS):
        worn = [
            orders(Lines(*(column[part.item == GOODS.of_group[group][number]] for column in vars(part).values())))
            for group in ("top", "bottom", "accessory")
            for part in [of(group)]
        ]
        assert len(set.intersection(*worn)) > 0.01 * N_USERS


def test_seekers_buy_at_a_discount() -> None:
    food = of("night")
    cheap = SHOP.promotions.is_on[week_of(food.at), food.item]
    seeks = SHOP.shoppers.is_seeker[food.user]
    assert cheap[seeks].mean() > 0.6
    assert cheap[~seeks].mean() < 0.4


def test_a_price_drop_sells_what_was_wished() -> None:
    bought = set(zip(PURCHASES.user.tolist(), PURCHASES.item.tolist(), strict=True))
    drop = SHOP.promotions.next_start[week_of(WISHES.at), WISHES.item]
    is_bought = np.array([pair in bought for pair in zip(WISHES.user.tolist(), WISHES.item.tolist(), strict=True)])
    dropped = (drop - week_of(WISHES.at)) * WEEK_S <= 50 * DAY_S
    assert is_bought[dropped].mean() > 0.15, "some users have left before the drop"
    assert is_bought[dropped].mean() > 2.5 * is_bought[~dropped].mean()


@pytest.mark.parametrize(
    ("group", "start", "end"), [("mooncakes", MID_AUTUMN - 21 * DAY_S, MID_AUTUMN), ("gifts", QIXI - 7 * DAY_S, QIXI)]
)
def test_festivals_have_their_goods(group: str, start: int, end: int) -> None:
    lines = of(group)
    assert len(lines.at) > 50
    assert ((lines.at >= start - DAY_S) & (lines.at < end + DAY_S)).all()


@pytest.mark.parametrize(("group", "city", "span"), [("dehumidifiers", "广州", DAMP), ("humidifiers", "北京", HEATING)])
def test_climate_is_regional(group: str, city: str, span: tuple[int, int]) -> None:
    lines, here = of(group), SHOP.shoppers.city == CITIES.index(city)
    is_here = here[lines.user]
    assert is_here.sum() / here.sum() > 4 * (~is_here).sum() / (~here).sum()
    assert ((lines.at >= span[0] - DAY_S) & (lines.at < span[1] + DAY_S)).all()


def test_household_goods_have_nothing_to_do_with_each_other() -> None:
    """The pairs of one order are as many as the shares of the items give, size by size."""
    home = of("home")
    _, order = np.unique(np.column_stack([home.user, home.at]), axis=0, return_inverse=True)
    table: npt.NDArray[np.float64] = np.zeros((order.max() + 1, 40))
    table[order, home.item - GOODS.of_group["home"][0]] = 1
    size = table.sum(axis=1)
    for n in (2, 3):
        baskets = table[size == n]
        rate = baskets.mean(axis=0)
        expected = np.outer(rate, rate) * (n - 1) / n * len(baskets) / (1 - (rate**2).sum() / n**2)
        both = baskets.T @ baskets
        above = np.triu(both > expected + 6 * np.sqrt(np.maximum(expected, 1)) + 3, 1)
        assert not above.any()


def test_nothing_happens_after_a_user_has_left() -> None:
    assert (PURCHASES.at <= SHOP.shoppers.last[PURCHASES.user]).all()
    assert (PURCHASES.at >= SHOP.shoppers.first[PURCHASES.user]).all()
