from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

import pytest

from recsys.core.occasions import LIFE_STAGES, PLACE_OCCASIONS, Occasion
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.fitting.engine import Engine
from recsys.moments.stages import ANY, stages_of
from recsys.pipeline.recommend import recommend_with_trace
from tests.recsys.moments.moment_shop import LiveShop, fitted
from tests.shop import dataset_of

NOW = datetime(2024, 6, 1, 8, tzinfo=UTC)
TAGS: dict[str, list[str]] = {"m1": ["1段"], "m2": ["2段"], "m3": ["3段"], "m12": ["1段", "2段"], "soap": []}
ITEMS: list[dict[str, Any]] = [{"item_id": id_, "category": ["Baby"], "tags": tags} for id_, tags in TAGS.items()]
EVENTS = [{"user_id": f"u{n}", "item_id": id_, "timestamp": NOW - timedelta(days=9)} for n in range(4) for id_ in TAGS]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return fitted(dataset_of(EVENTS, ITEMS))


def born(days_ago: int) -> dict[str, Any]:
    return {"child_birth_date": (NOW - timedelta(days=days_ago)).date().isoformat()}


def test_items_have_the_bits_of_their_stages(engine: Engine) -> None:
    stages = stages_of(engine, (*PLACE_OCCASIONS, *LIFE_STAGES, *LIFE_STAGES))
    (mask,) = stages.of_item
    assert {id_: int(mask[engine.items.row(id_)]) for id_ in TAGS} == {"m1": 1, "m2": 2, "m3": 4, "m12": 3, "soap": 0}
    pet = Occasion("puppy", ("kibble",), date="pet_birth_date", to_days=365)
    assert stages_of(engine, (pet,)).occasions == ()
    assert stages_of(engine, ()).of_item.shape == (0, engine.n_items)


@pytest.mark.parametrize(("days", "bits"), [(10, 1), (170, 3), (200, 2), (360, 6), (400, 4), (2000, ANY), (-90, ANY)])
def test_a_user_is_in_the_open_stages(engine: Engine, days: int, bits: int) -> None:
    assert stages_of(engine, LIFE_STAGES).of_user(NOW, born(days)).tolist() == [bits]


@pytest.mark.parametrize("value", [None, "soon", ["x"], 1e300])
def test_an_unknown_date_is_any_stage(engine: Engine, value: Any) -> None:
    assert stages_of(engine, LIFE_STAGES).of_user(NOW, {"child_birth_date": value}).tolist() == [ANY]


@pytest.mark.parametrize("days", range(-40, 1100, 7))
def test_the_list_of_a_child_is_of_one_stage(engine: Engine, days: int) -> None:
    live = LiveShop(engine)
    live.add("user_put", "parent", attributes=born(days))
    listed = live.ids("life_stage", "parent", as_of=int(NOW.timestamp()))
    (mask,) = stages_of(engine, PLACEMENTS["life_stage"].occasions).of_item
    assert reduce(and_, (int(mask[engine.items.row(id_)]) for id_ in listed), ANY) != 0
    assert bool(listed) == (-30 <= days < 1095)


def test_without_a_date_there_is_no_stage(engine: Engine) -> None:
    request = Request("life_stage", int(NOW.timestamp()), user_id="u1")
    assert recommend_with_trace(engine, request).recommendations.items == ()
