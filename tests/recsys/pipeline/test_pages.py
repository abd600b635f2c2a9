from __future__ import annotations

from collections.abc import Callable

import pytest

from recsys.bundles.bundle import Manifest
from recsys.core.placements import PLACEMENTS, Page
from recsys.core.request import Recommendations, RecommendedItem, Request
from recsys.fitting.engine import Engine
from recsys.pipeline.pages import compose_page, fill_lists, personalization_share
from recsys.pipeline.recommender import Recommender
from tests.shop import OPTED_OUT, PHONES, USERS_WITH_HISTORY, VARIANTS


@pytest.fixture(scope="module")
def recommender(shop_engine: Engine) -> Recommender:
    manifest = Manifest.__new__(Manifest)
    object.__setattr__(manifest, "version", "v")
    return Recommender(shop_engine, manifest)


def asking(
    engine: Engine, user_id: str | None, item_ids: tuple[str, ...] = (), limit: int = 8
) -> Callable[[str], Request]:
    return lambda name: Request(name, engine.dataset_info.end, limit, user_id, item_ids)


@pytest.mark.parametrize("user_id", [None, OPTED_OUT, *USERS_WITH_HISTORY[:30:5]])
@pytest.mark.parametrize("item_ids", [(), (PHONES[0],)])
def test_no_item_and_no_variant_comes_twice(
    recommender: Recommender, user_id: str | None, item_ids: tuple[str, ...]
) -> None:
    page = Page("all", tuple(PLACEMENTS))
    found = compose_page(recommender, page, asking(recommender.engine, user_id, item_ids))
    shelves = [shelf.recommendations for shelf in found]
    listed = [item.item_id for shelf in shelves for item in shelf.items]
    products = [VARIANTS.get(item_id, item_id) for item_id in listed]
    assert len(products) == len(set(products)) > 10
    assert all(shelf.items for shelf in shelves)
    assert bool(item_ids) == any(PLACEMENTS[shelf.placement].anchor == "item" for shelf in shelves)
    shares = [personalization_share(shelf) for shelf in shelves]
    assert shares == sorted(shares, reverse=True)


def test_the_first_of_the_file_has_the_first_choice(recommender: Recommender) -> None:
    ask = asking(recommender.engine, USERS_WITH_HISTORY[5])
    shelves = [each.recommendations for each in compose_page(recommender, Page("home", ("popular", "for_you")), ask)]
    by_name = {shelf.placement: shelf for shelf in shelves}
    assert by_name["popular"].items == recommender.recommend_for(ask("popular")).items
    assert [shelf.placement for shelf in shelves] == ["for_you", "popular"], (
        "and those that know the shopper come first"
    )


def test_evidence_is_counted_among_the_first_five() -> None:
    def shelf(*sources: str) -> Recommendations:
        items = tuple(RecommendedItem(str(n), 1.0, n, source, ()) for n, source in enumerate(sources, 1))
        return Recommendations("x", "v", items, False, (), 0.0, 0, "UTC")

    assert personalization_share(shelf()) == 0
    assert personalization_share(shelf("als", "popular", "pinned", "repeat")) == 0.5
    assert personalization_share(shelf("als", "als", "als", "als", "popular", "als")) == 0.8
    assert personalization_share(shelf("popular_by_hour", "complementary")) == 0.5


def test_lists_choose_in_their_order_and_keep_it(recommender: Recommender) -> None:
    ask = asking(recommender.engine, USERS_WITH_HISTORY[5], (PHONES[0],))
    names = ("popular", "complementary", "popular", "for_you")
    found = [each.recommendations for each in fill_lists(recommender, map(ask, names))]
    assert tuple(each.placement for each in found) == names
    assert found[0].items == recommender.recommend_for(ask("popular")).items
    listed = [VARIANTS.get(item.item_id, item.item_id) for each in found for item in each.items]
    assert len(listed) == len(set(listed)) > 10
    assert list(fill_lists(recommender, ())) == []
