"""What lists promise beside accuracy: no substitute among complements, and reasons that are true."""

from __future__ import annotations

from recsys.core.request import Recommendations, Request
from recsys.data.catalog import read_catalog
from recsys.fitting.engine import Engine
from recsys.models.pairs.copurchase import CopurchaseConfig, fit_copurchase
from recsys.pipeline.recommend import recommend
from recsys.ranking.fit import fit_engine
from recsys.reasons.evidence import FEW
from tests.recsys.degenerate import degenerate_engine
from tests.recsys.small_shops import CATALOG
from tests.shop import CAMERAS, CARDS, CASES, PHONES, SHELVES, ShopTables, at, dataset_of, moment, small_config


def _ids(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer.items]


def test_a_complement_without_evidence_is_no_substitute() -> None:
    engine = degenerate_engine("items only")
    assert "b2" not in _ids(recommend(engine, Request("complementary", moment(0), 10, None, ("b1",))))


def test_complements_of_a_cart_replace_nothing_in_it(shop_engine: Engine) -> None:
    cart = Request("complementary", shop_engine.dataset_info.end, 20, None, (PHONES[0], CASES[0]))
    assert not set(_ids(recommend(shop_engine, cart))) & set(CASES)


def test_often_bought_with_a_type_is_so(shop_engine: Engine, shop_tables: ShopTables) -> None:
    bought = shop_tables.events.filter(event="purchase").group_by("basket_id").agg("item_id")
    baskets = [set(items) for items in bought["item_id"]]
    type_of = {item: set(shelf.ids) for shelf in SHELVES.values() for item in shelf.ids}
    for seed in (PHONES[0], CAMERAS[0], CARDS[0]):
        answer = recommend(shop_engine, Request("complementary", shop_engine.dataset_info.end, 20, None, (seed,)))
        for item in answer.items:
            if item.reasons[0].code == "types_go_together":
                assert any(basket & type_of[item.item_id] and basket & type_of[seed] for basket in baskets)


def test_a_type_that_was_only_viewed_is_not_called_bought() -> None:
    rows = [{"user_id": "u", "item_id": "a1", "event": "view_item", "timestamp": at(moment(0, n))} for n in range(3)]
    rows += [
        {"user_id": f"v{n}", "item_id": item, "timestamp": at(moment(0, n)), "basket_id": f"{n}{item}"}
        for n in range(9)
        for item in ("a1", "a2", "b1")
    ]
    rows += [{"user_id": "u", "item_id": "c1", "timestamp": at(moment(0, 9))}]
    engine = fit_engine(dataset_of(rows, CATALOG), small_config())
    for placement in ("for_you", "discover", "long_tail"):
        for item in recommend(engine, Request(placement, moment(1), 10, "u")).items:
            for reason in item.reasons:
                assert reason.code != "type_you_buy" or reason.values["type"] != "A"


def test_a_niche_share_is_a_share_of_those_who_buy() -> None:
    engine = degenerate_engine("no users, only baskets")
    items = recommend(engine, Request("long_tail", engine.dataset_info.end, 10)).items
    for reason in (reason for item in items for reason in item.reasons if reason.code == "niche"):
        assert 0 <= reason.values["buyer_share"] <= FEW


def test_two_lines_of_one_item_are_no_basket_of_two() -> None:
    rows = [
        {"user_id": user, "item_id": item, "basket_id": user + item, "timestamp": at(moment(day))}
        for user in "uvw"
        for day, item in enumerate(("a1", "c1"))
        for _ in range(2)
    ]
    dataset = dataset_of(rows, CATALOG)
    model = fit_copurchase(dataset, read_catalog(dataset.catalog), CopurchaseConfig(list_length=5), dataset.end)
    assert not model.by_basket
