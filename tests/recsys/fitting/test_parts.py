"""The seam of engines: a shop in two parts gives the models of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

import numpy as np

from recsys.core.sums import add
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.parts import ACTS, WholeShop
from tests.shop import small_config

T = TypeVar("T")


@dataclass(frozen=True)
class TwoParts(WholeShop):
    """The users of a shop in two halves that are counted apart; anonymous events are in the second one."""

    def total(self, count: Callable[[Dataset], T], kind: type[T]) -> T:
        is_first = self.dataset.events.user_idx >= len(self.dataset.users) // 2
        parts = (replace(self.dataset, events=self.dataset.events.take(rows)) for rows in (is_first, ~is_first))
        return reduce(add, map(count, parts))


def test_models_of_parts_are_those_of_the_whole(shop_dataset: Dataset) -> None:
    config: EngineConfig = small_config()
    whole = fit_models(shop_dataset, config)
    parts = FitCache(shop_dataset, shop_dataset.end, parts=TwoParts(shop_dataset))
    found = fit_models(shop_dataset, config, cache=parts)
    for model in ("popularity", "repeat", "timeofday", "festival_lifts", "first_orders"):
        mine, theirs = vars(getattr(whole, model)), vars(getattr(found, model))
        for name, value in mine.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_allclose(theirs[name], value, rtol=1e-6, err_msg=f"{model}.{name}")
    np.testing.assert_array_equal(found.copurchase.n_baskets, whole.copurchase.n_baskets)
    together = (engine.copurchase.bought_together for engine in (whole, found))
    np.testing.assert_allclose(*(each.score for each in together), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.ease.weight, whole.ease.weight, atol=1e-5)
    np.testing.assert_array_equal(found.sequence.around.row_of, whole.sequence.around.row_of)


def test_a_span_has_the_latest_events_of_some_types(shop_dataset: Dataset) -> None:
    shop, events = WholeShop(shop_dataset), shop_dataset.events
    assert shop.span(ACTS)[1] == events.timestamp[np.isin(events.event_type, ACTS)][-1]
    assert shop.span(ACTS, 10)[0] == events.timestamp[np.isin(events.event_type, ACTS)][-10]
    assert shop.span(()) == (0, 0)
