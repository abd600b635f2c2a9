"""What an engine knows of its own tables, by hand on eight items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core.schema import ITEMS, USERS
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine, FittedDataInfo
from tests.recsys.tiny_engine import N_ITEMS, f32, i32, tiny_engine
from tests.shop import at, dataset_of, moment, table

ENGINE = tiny_engine()


def test_items_are_called_by_their_title_else_by_their_id() -> None:
    named = table([{"item_id": "a", "title": "Tea"}, {"item_id": "b"}], ITEMS)
    engine = tiny_engine(items_table=named)
    assert engine.titles == ("Tea", "b")
    assert engine.items.ids == ("a", "b")


def test_users_have_their_own_zone_and_may_opt_out() -> None:
    users = [
        {"user_id": "u", "timezone": "Asia/Shanghai"},
        {"user_id": "v", "personalization": False},
        {"user_id": "w", "personalization": True},
    ]
    engine = tiny_engine(users_table=table(users, USERS))
    assert engine.users.rows(["w", "u", "x"]).tolist() == [2, 0, -1]
    assert engine.user_timezones == ("Asia/Shanghai", None, None)
    assert engine.is_opted_out.tolist() == [False, True, False]


def test_the_catalogue_by_sales_and_by_pool() -> None:
    assert ENGINE.by_popularity.tolist() == [0, 1, 2, 3, 4, 6, 5, 7]
    assert ENGINE.by_popularity.dtype == np.int32
    assert ENGINE.is_tail.tolist() == [False, False, *[True] * 6]
    assert ENGINE.listable["all"] is None, "where all can be had there is no mask"
    some = np.arange(N_ITEMS) % 2 == 0
    engine = tiny_engine(catalog=replace(ENGINE.catalog, available=some))
    for pool, expected in (("all", [0, 2, 4, 6]), ("tail", [2, 4, 6])):
        mask = engine.listable[pool]
        assert mask is not None
        assert np.flatnonzero(mask).tolist() == expected


def test_an_item_s_share_of_its_type() -> None:
    """Of types that sell .5, .25 and .15; what has no type is measured by all sales."""
    expected = [0.6, 0.4, 0.6, 0.4, 2 / 3, 1 / 3, 0.1, 0]
    assert ENGINE.share_in_type.tolist() == pytest.approx(expected)
    unsold = replace(ENGINE.popularity, share=f32(*[0.0] * N_ITEMS))
    assert tiny_engine(popularity=unsold).share_in_type.tolist() == [0] * N_ITEMS
    untyped = replace(ENGINE.catalog, item_type=i32(*[-1] * N_ITEMS), type_category=i32(), type_names=())
    assert tiny_engine(catalog=untyped).share_in_type.tolist() == ENGINE.popularity.share.tolist()


def test_every_engine_has_a_state_of_its_own() -> None:
    other = tiny_engine()
    assert ENGINE.state is ENGINE.state
    assert ENGINE.general_state is ENGINE.state
    assert other.state is not ENGINE.state


def test_the_shop_is_described_by_its_dataset() -> None:
    rows = [
        {"user_id": "u", "item_id": "a", "timestamp": at(moment(0, 9) + 60)},
        {"user_id": "u", "item_id": "b", "timestamp": at(moment(3, 9) + 60)},
    ]
    dataset: Dataset = dataset_of(rows, timezone="Asia/Shanghai")
    dataset = replace(dataset, store_seq=7, merges={"v": "u"})
    info = FittedDataInfo.of(dataset)
    assert (info.timezone, info.end, info.has_hours) == ("Asia/Shanghai", moment(3, 9) + 60, True)
    assert (info.store_seq, info.merged, info.merged_into) == (7, ("v",), ("u",))
    nothing = FittedDataInfo.of(dataset_of())
    assert (nothing.end, nothing.has_hours) == (0, True)


def test_given_values_of_properties_are_not_computed_again(shop_engine: Engine) -> None:
    titles = ("another title",)
    engine = shop_engine.with_computed(titles=titles, users=shop_engine.users)
    assert engine.titles is titles
    assert engine.users is shop_engine.users
    assert shop_engine.titles != titles
    assert engine.state is not shop_engine.state


@pytest.mark.parametrize("name", ["catalog", "with_computed", "unknown"])
def test_only_cached_properties_can_be_given(shop_engine: Engine, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name!r} is not a cached property"):
        shop_engine.with_computed(**{name: None})
