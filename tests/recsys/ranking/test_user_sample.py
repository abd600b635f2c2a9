"""The sample of a large shop: whole users, of about the size that is wanted; settings learned on it fit the shop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core.ids import IdMap
from recsys.data.dataset import Dataset
from recsys.fitting import fit_cache
from recsys.fitting.fit_cache import FitCache
from recsys.ranking import model_search, past_questions, user_sample
from recsys.ranking.holdout import Holdout, leave_last_out
from recsys.ranking.model_search import PastTasks, Setting, learn_settings
from recsys.ranking.past_questions import ask_the_past
from recsys.ranking.user_sample import sample_users
from tests.shop import small_config


@pytest.fixture
def cut(shop_dataset: Dataset) -> Holdout:
    return leave_last_out(shop_dataset, shop_dataset.end, np.random.default_rng(0))


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch, cut: Holdout) -> None:
    """The shop of the tests is large."""
    monkeypatch.setattr(fit_cache, "LARGE_EVENTS", 1)
    monkeypatch.setattr(user_sample, "LARGE_EVENTS", 1)
    monkeypatch.setattr(user_sample, "SAMPLE_EVENTS", len(cut.known.events) // 2)


def test_a_shop_that_is_not_large_is_taken_whole(cut: Holdout) -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    sample = sample_users(cut, rng)
    assert (sample.cut, sample.share) == (cut, 1.0)
    assert rng.bit_generator.state == before, "what is drawn afterwards stays the same"


@pytest.mark.usefixtures("small_sizes")
def test_users_are_drawn_whole_with_their_answers(cut: Holdout) -> None:
    sample = sample_users(cut, np.random.default_rng(1))
    known, answers = sample.cut.known.events, sample.cut.answers
    assert sample.share == pytest.approx(0.5, abs=0.01)
    assert 0.3 < len(known) / len(cut.known.events) < 0.7
    users = sample.cut.known.users
    assert 0 < len(users) < len(cut.known.users)
    assert sample.cut.known.profiles["user_id"].to_list() == list(users.ids)
    for all_events, some in ((cut.known.events, known), (cut.answers, answers)):
        events_of = dict.fromkeys(users.ids, 0)
        for row in all_events.user_idx[all_events.user_idx >= 0].tolist():
            if (user := cut.known.users.ids[row]) in events_of:
                events_of[user] += 1
        found = np.bincount(some.user_idx[some.user_idx >= 0], minlength=len(users))
        assert dict(zip(users.ids, found.tolist(), strict=True)) == events_of
    assert 0 < len(answers) < len(cut.answers)


@pytest.mark.usefixtures("small_sizes")
def test_anonymous_baskets_are_drawn_whole(cut: Holdout) -> None:
    events = replace(cut.known.events, user_idx=np.full(len(cut.known.events), -1, np.int32))
    nobody = replace(cut.known, events=events, users=IdMap(()), profiles=cut.known.profiles[:0])
    answers = replace(cut.answers, user_idx=np.full(len(cut.answers), -1, np.int32))
    sample = sample_users(replace(cut, known=nobody, answers=answers), np.random.default_rng(1))
    drawn = sample.cut.known.events
    assert 0 < len(drawn) < len(events)
    assert len(drawn) == np.isin(events.basket_idx, drawn.basket_idx).sum()


def test_settings_that_are_weighed_against_counts_shrink_with_the_share(
    cut: Holdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, float]] = []

    def measure(models: FitCache, tasks: PastTasks, config: object) -> np.ndarray:
        seen.append((config.ease.regularization, config.als.regularization))  # type: ignore[attr-defined]
        return np.full(200, float(len(seen)))

    tried = Setting(("ease", "regularization"), "ndcg@20", measure, factors=(2.5,), grows=True)
    monkeypatch.setattr(model_search, "SETTINGS", (tried,))
    config, baskets = small_config(), past_questions.draw_baskets(cut, 10, np.random.default_rng(0), by_basket=True)
    rng = np.random.default_rng(0)
    learned, kept = learn_settings(FitCache(cut.known, cut.now), PastTasks((), baskets), config, rng, 0.25)
    own, other = config.ease.regularization, config.als.regularization
    assert seen == [(own * 0.25, other), (own * 2.5 * 0.25, other)]
    assert (kept.configured, kept.chosen) == ((own,), (own * 2.5,)), "the shop's own values are kept"
    assert learned.ease.regularization == own * 2.5


@pytest.mark.usefixtures("small_sizes")
def test_a_large_shop_searches_on_the_sample_and_fits_on_everything(
    shop_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[FitCache] = []
    learn = past_questions.learn_settings
    monkeypatch.setattr(
        past_questions, "learn_settings", lambda models, *given: (searched.append(models), learn(models, *given))[1]
    )
    config = small_config()
    config = replace(config, ranker=replace(config.ranker, min_queries=2), blend=replace(config.blend, enabled=True))
    whole = FitCache(shop_dataset, shop_dataset.end)
    past = ask_the_past(whole, config, np.random.default_rng(0))
    assert past is not None
    (models,) = searched
    assert models.first is whole.first
    assert len(models.dataset.events) < len(shop_dataset.events)
    assert len(past.every) > 0
