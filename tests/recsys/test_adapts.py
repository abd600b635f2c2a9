"""One configuration, shops of different habits: each is learned from its own data, and no list is worse for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
import pytest

from recsys.core import metrics
from recsys.core.schema import EVENTS, ITEMS, USERS
from recsys.data.dataset import Dataset, build_dataset
from recsys.evaluation.baselines import TrainingSlice
from recsys.evaluation.methods import baseline_lists, served_lists
from recsys.evaluation.splits import find_window
from recsys.evaluation.tasks import Task, next_basket
from recsys.fitting.engine import Engine
from recsys.ranking.fit import fit_engine
from tests.shop import at, moment, small_config, table

N_USERS, N_ITEMS, N_TYPES, N_DAYS = 260, 240, 12, 120
HOLDOUT_DAYS = 14


@dataclass(frozen=True)
class Habits:
    """How a shop's customers behave.

    Attributes:
        repeats: chance that a purchase is of something bought before.
        basket: items of a basket.
        event: what is recorded.
        with_hours: whether each type has an hour of its own; else times are dates.
    """

    repeats: float
    basket: int
    event: str = "purchase"
    with_hours: bool = False


SHOPS = {
    "repeats rule": Habits(0.8, 4),
    "repeats are rare": Habits(0.02, 3),
    "one item an order": Habits(0.3, 1),
    "views alone": Habits(0.3, 3, "view_item"),
    "strong hours": Habits(0.5, 3, with_hours=True),
}


def _shop(habits: Habits) -> Dataset:
    """Shoppers with two types that they love each; the items of a type sell unevenly."""
    rng = np.random.default_rng(7)
    type_of = np.arange(N_ITEMS) % N_TYPES
    appeal = 1 / (1 + np.arange(N_ITEMS) // N_TYPES)
    rows = []
    for user in range(N_USERS):
        loved, owned = rng.choice(N_TYPES, 2, replace=False), []
        for day in np.sort(rng.choice(N_DAYS, 10, replace=False)).tolist():
            type_ = int(rng.choice(loved)) if rng.random() < 0.9 else int(rng.integers(N_TYPES))
            hour = 2 * type_ if habits.with_hours else 0
            for _ in range(habits.basket):
                same = [item for item in owned if type_of[item] == type_]
                if same and rng.random() < habits.repeats:
                    item = int(rng.choice(same))
                else:
                    chance = np.where((type_of == type_) & ~np.isin(np.arange(N_ITEMS), owned), appeal, 0)
                    chance = chance if chance.any() else appeal
                    item = int(rng.choice(N_ITEMS, p=chance / chance.sum()))
                owned.append(item)
                rows.append(
                    {
                        "user_id": f"u{user}",
                        "item_id": f"i{item}",
                        "event": habits.event,
                        "timestamp": at(moment(day, hour)),
                        "basket_id": f"{user}/{day}",
                    }
                )
    nobody = pl.DataFrame(schema=USERS)
    return build_dataset(table(rows, EVENTS), pl.DataFrame(schema=ITEMS), nobody, timezone="Asia/Shanghai")


@cache
def _judged(name: str) -> tuple[Dataset, Engine, Task, TrainingSlice]:
    dataset = _shop(SHOPS[name])
    window = find_window(dataset, "report", HOLDOUT_DAYS)
    known = dataset.until(window.start)
    return (
        dataset,
        fit_engine(known, small_config(), now=window.start),
        next_basket(dataset, window),
        TrainingSlice(known, window.start),
    )


def _recall(lists: np.ndarray, task: Task) -> float:
    return float(metrics.recall_at_k(lists, task.relevant, 10).mean())


every_shop = pytest.mark.parametrize("name", SHOPS)


@every_shop
def test_for_you_beats_what_everyone_buys_and_what_the_shopper_bought(name: str) -> None:
    _, engine, task, past = _judged(name)
    ours = _recall(served_lists(engine, task, "for_you", 10), task)
    others = baseline_lists(past, task, ["popularity", "gp_topfreq"], 10)
    assert ours > 1.2 * _recall(others["popularity"], task)
    assert ours > 0.95 * _recall(others["gp_topfreq"], task)


@every_shop
def test_a_ranker_serves_only_where_it_foretold_better_than_the_blend(name: str) -> None:
    _, engine, _, _ = _judged(name)
    blends, rankers = engine.blends, engine.rankers
    assert rankers.next.is_fitted == blends.next.uses_ranker
    assert rankers.new.is_fitted == (blends.new.uses_ranker or blends.tail.uses_ranker)
    for blend in (blends.next, blends.new, blends.tail):
        values = dict(zip(blend.orders, blend.values, strict=True))
        assert values[blend.order] == max(values.values())
        assert blend.uses_ranker == (blend.order == "ranker")
        assert "popularity" in values


def test_the_weight_of_the_hour_is_learned() -> None:
    assert _judged("strong hours")[1].rankers.next.hour_weight > 0.3
    assert not _judged("repeats rule")[1].timeofday.is_fitted


def test_rare_repeats_are_known_to_be_rare() -> None:
    assert _judged("repeats are rare")[1].repeat.repeat_share < _judged("repeats rule")[1].repeat.repeat_share / 2
