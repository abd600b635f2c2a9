"""Settings learned by trial: which are tried, when they change, and that the models are fitted with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.history import HistoryConfig, build_history
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit_cache import FitCache
from recsys.ranking import model_search
from recsys.ranking.basket_questions import BasketQuestions, draw_baskets
from recsys.ranking.holdout import Holdout, PastRequest, leave_last_out, past_requests
from recsys.ranking.model_search import SETTINGS, PastTasks, Scores, Setting, learn_settings, ndcg_of
from tests.shop import at, dataset_of, moment, small_config


def holdout_and_requests(n_users: int = 120) -> tuple[Holdout, list[PastRequest]]:
    """Two tastes: users buy within one half of the items."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{10 * (user % 2) + item}", "timestamp": at(moment(n + rng.random()))}
        for user in range(n_users)
        for n, item in enumerate(rng.choice(10, 6, replace=False))
    ]
    dataset = dataset_of(rows)
    cut = leave_last_out(dataset, dataset.end, rng)
    config = replace(small_config().ranker, short_share=0.0)
    return cut, past_requests(cut, build_history(cut.known, HistoryConfig()), config, rng)


@pytest.fixture(scope="module")
def past() -> tuple[Holdout, list[PastRequest]]:
    return holdout_and_requests()


def cache_of(cut: Holdout) -> FitCache:
    return FitCache(cut.known, cut.now)


def tasks_of(requests: list[PastRequest]) -> PastTasks:
    """Requests of users only."""
    nothing = np.empty(0, np.int64)
    return PastTasks(requests, BasketQuestions(nothing.astype(np.int32), nothing, nothing, 1))


def scorer(better: float) -> Setting:
    """A setting whose lists are right only at one value."""

    def fit(models: FitCache, config: EngineConfig) -> Scores:
        right = config.als.regularization == better
        known = models.dataset
        n = len(known.items)
        halves = np.array([int(id_[1:]) // 10 for id_ in known.items.ids])
        noise = np.random.default_rng(0).random(n).astype(np.float32)
        return lambda histories: np.stack(
            [(halves == halves[each.item_idx[0]]).astype(np.float32) + noise if right else noise for each in histories]
        )

    return Setting(("als", "regularization"), "ndcg@20", ndcg_of(fit), factors=(3.0,))


def test_a_value_that_gains_for_certain_is_chosen(
    past: tuple[Holdout, list[PastRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config()
    own = config.als.regularization
    monkeypatch.setattr(model_search, "SETTINGS", (scorer(3 * own),))
    chosen, report = learn_settings(cache_of(past[0]), tasks_of(past[1]), config, np.random.default_rng(0))
    assert chosen.als.regularization == 3 * own
    assert report.chosen == (3 * own,)
    assert report.gain_lows[0] > 0
    assert report.n_requests == len(past[1])


def test_a_value_that_does_not_gain_leaves_the_configured_one(
    past: tuple[Holdout, list[PastRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config()
    monkeypatch.setattr(model_search, "SETTINGS", (scorer(config.als.regularization),))
    chosen, report = learn_settings(cache_of(past[0]), tasks_of(past[1]), config, np.random.default_rng(0))
    assert chosen == config
    assert report.gains == (0.0,)


def test_too_few_requests_try_nothing(past: tuple[Holdout, list[PastRequest]]) -> None:
    cut, requests = past
    chosen, report = learn_settings(cache_of(cut), tasks_of(requests[:99]), small_config(), np.random.default_rng(0))
    assert chosen == small_config()
    assert report.n_requests == 0


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: ".".join(setting.path))
def test_every_setting_is_measured_on_every_task(setting: Setting, past: tuple[Holdout, list[PastRequest]]) -> None:
    cut, requests = past
    config, cache = small_config(), cache_of(cut)
    baskets = draw_baskets(cut, 100, np.random.default_rng(0), by_basket=False)
    for value in (setting.value(config), *setting.others(config)):
        changed = setting.put(config, value)
        assert setting.value(changed) == value
        found = setting.measure(cache, PastTasks(requests, baskets), changed)
        assert len(found) in (len(requests), len(baskets))
        assert ((found >= 0) & (found <= 1)).all()


def test_shrinkage_is_learned_from_baskets(
    monkeypatch: pytest.MonkeyPatch, past: tuple[Holdout, list[PastRequest]]
) -> None:
    """A measure that is right at one shrinkage only chooses it, by its own tasks."""
    own = small_config().copurchase.item_shrinkage

    def measure(models: FitCache, tasks: PastTasks, config: EngineConfig) -> np.ndarray:
        is_right = config.copurchase.item_shrinkage == 3 * own
        return (np.random.default_rng(0).random(300) < (0.9 if is_right else 0.2)).astype(float)

    setting = Setting(("copurchase", "item_shrinkage"), "hit_rate@10", measure, factors=(0.3, 3.0))
    monkeypatch.setattr(model_search, "SETTINGS", (setting,))
    chosen, report = learn_settings(cache_of(past[0]), tasks_of([]), small_config(), np.random.default_rng(0))
    assert chosen.copurchase.item_shrinkage == 3 * own
    assert report.to_dict()["copurchase.item_shrinkage"]["metric"] == "hit_rate@10"


def test_the_same_seed_gives_the_same_settings(past: tuple[Holdout, list[PastRequest]]) -> None:
    first, second = (
        learn_settings(cache_of(past[0]), tasks_of(past[1]), small_config(), np.random.default_rng(5)) for _ in range(2)
    )
    assert first == second
