"""The protocols on the invented shop, and the proof that none of them sees the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.event_columns import NO_HOUR
from recsys.evaluation import tasks
from recsys.evaluation.baselines import PERSONAL
from recsys.evaluation.experiment import Experiment, QuestionResults, draw
from recsys.evaluation.methods import baseline_lists, recent_own_lists, served_lists
from recsys.evaluation.protocols import PROTOCOLS, InsufficientDataError
from recsys.evaluation.splits import Window, find_window
from recsys.models.pairs.basket_pairs import group_baskets
from recsys.models.pairs.item_sets import ItemSetConfig, fit_item_sets
from tests.recsys.same import assert_same
from tests.shop import small_config

HOLDOUT_DAYS = 28
FROZEN = {"for_you": "next_basket", "discover": "discovery", "long_tail": "discovery", "complementary": "completion"}


@pytest.fixture(scope="module")
def window(shop_dataset: Dataset) -> Window:
    return find_window(shop_dataset, "report", HOLDOUT_DAYS)


@pytest.fixture(scope="module")
def experiment(shop_dataset: Dataset, window: Window) -> Experiment:
    return Experiment.cut(shop_dataset, window, small_config())


def with_another_future(dataset: Dataset, moment: int, seed: int = 0) -> Dataset:
    """Every event from a moment on, at random: who, what, at which hour and in which basket."""
    rng, events = np.random.default_rng(seed), dataset.events
    later = np.flatnonzero(events.timestamp >= moment)
    changed = {name: column.copy() for name, column in vars(events).items()}
    changed["item_idx"][later] = rng.integers(len(dataset.items), size=len(later))
    changed["user_idx"][later] = rng.integers(-1, len(dataset.users), size=len(later))
    changed["hour"][later] = rng.integers(24, size=len(later))
    changed["basket_idx"][later] = rng.permutation(changed["basket_idx"][later])
    return replace(dataset, events=replace(events, **changed))


def test_models_and_baselines_do_not_see_the_future(
    shop_dataset: Dataset, window: Window, experiment: Experiment
) -> None:
    other = Experiment.cut(with_another_future(shop_dataset, window.start), window, small_config())
    assert_same(experiment.engine, other.engine)
    asked = {
        "next_basket": tasks.next_basket(shop_dataset, window),
        "discovery": tasks.discovery(shop_dataset, window),
        "completion": tasks.completion(shop_dataset, window, np.random.default_rng(0)),
    }
    for placement, name in FROZEN.items():
        mine = experiment.served(asked[name], placement)
        assert (mine >= 0).any()
        np.testing.assert_array_equal(mine, other.served(asked[name], placement))
    mine, theirs = (baseline_lists(each.past, asked["next_basket"], PERSONAL, 20) for each in (experiment, other))
    for name in PERSONAL:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def test_rolling_lists_use_no_event_after_their_own_moment(
    shop_dataset: Dataset, window: Window, experiment: Experiment
) -> None:
    moment = (window.start + window.stop) // 2
    task = experiment.rolling_task
    task = task.take(task.as_of < moment)
    other = replace(experiment, dataset=with_another_future(shop_dataset, moment))
    for placement in ("for_you", "time_of_day"):
        mine, theirs = (served_lists(each.rolling_engine, task, placement, 20) for each in (experiment, other))
        np.testing.assert_array_equal(mine, theirs)
    mine, theirs = (recent_own_lists(each.rolling_engine, each.past, task, 20) for each in (experiment, other))
    np.testing.assert_array_equal(mine, theirs)


def test_rolling_histories_contain_events_of_the_window(experiment: Experiment) -> None:
    """Else the test above would prove nothing."""
    late = experiment.rolling_task.take(experiment.rolling_task.as_of > experiment.window.start + HOLDOUT_DAYS * 43_200)
    frozen = served_lists(experiment.engine, late, "for_you", 20)
    assert (frozen != served_lists(experiment.rolling_engine, late, "for_you", 20)).any()


def test_rolling_frequency_at_the_start_of_the_window_equals_gp_topfreq(experiment: Experiment) -> None:
    task = tasks.next_basket(experiment.dataset, experiment.window)
    mine = recent_own_lists(experiment.engine, experiment.past, task, 20)
    assert len(mine) > 30
    np.testing.assert_array_equal(mine, baseline_lists(experiment.past, task, ["gp_topfreq"], 20)["gp_topfreq"])


def test_only_new_items_are_listed_for_discovery(experiment: Experiment) -> None:
    task = tasks.discovery(experiment.dataset, experiment.window)
    (lists,) = baseline_lists(experiment.past, task, ["personal_frequency"], 20, only_new=True).values()
    owned = experiment.past.counts[task.user_idx].toarray() > 0
    for row, listed in enumerate(lists):
        assert not owned[row, listed[listed >= 0]].any()


METRICS = {
    "next_basket": {
        "for_you": {"recall@10", "recall@20", "ndcg@10", "ndcg@20", "hit_rate@10", "hit_rate@20", "map@10"}
    },
    "rolling": {"for_you": {"recall@10", "ndcg@10"}, "gp_topfreq": {"recall@10"}},
    "discovery": {
        "discover": {"ndcg@20", "recall@20", "long_tail_recall@20", "head_share@20", "novelty@20", "diversity@20"},
        "long_tail": {"long_tail_recall@20", "head_share@20"},
        "als": {"ndcg@20"},
    },
    "complements": {
        "bought_together": {"hit_rate@10", "ndcg@10"},
        "complementary": {
            "acc_hit_rate@10",
            "acc_ndcg@10",
            "tail_acc_hit_rate@10",
            "ips_recall@10",
            "tail_target_hit_rate@10",
        },
        "co_count": {"hit_rate@10", "acc_hit_rate@10", "ips_recall@10"},
        "co_count_discount_0.5": {"ips_recall@10", "tail_target_hit_rate@10"},
    },
    "time_of_day": {
        "popular": {"recall@10", "recall@10_05-10h"},
        "popular_without_hour": {"recall@10"},
        "time_of_day": {"recall@10", "ndcg@10"},
        "for_you": {"recall@10"},
    },
    "cold_items": {"engine": {"auc", "recall@50"}, "shopper_activity": {"auc"}},
    "cold_users": {
        "engine": {"recall@10_n1", "recall@10_n3", "recall@10_n5"},
        "own_and_popular": {"recall@10_n1", "recall@10_n3", "recall@10_n5"},
    },
}


@pytest.mark.parametrize("protocol", METRICS)
def test_each_protocol_gives_one_value_per_query(protocol: str, experiment: Experiment) -> None:
    questions = list(PROTOCOLS[protocol](experiment))
    found: dict[str, set[str]] = {}
    for question in questions:
        for method, values in question.values.items():
            found.setdefault(method, set()).update(values)
            for name, value in values.items():
                assert value.shape == (question.n_queries,), name
                assert ((value >= 0) | np.isnan(value)).all(), name
        assert question.primary_metric in question.values[question.treatments[0]]
        assert len(question.unit) == question.n_queries
        _holds_whole_segments(question)
    for method, metrics in METRICS[protocol].items():
        assert metrics <= found[method]


def _holds_whole_segments(question: QuestionResults) -> None:
    for masks in question.segments.values():
        assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()


def test_lists_by_the_hour_are_better_where_sales_depend_on_the_hour(experiment: Experiment) -> None:
    by_nobody, _ = PROTOCOLS["time_of_day"](experiment)
    recall = {method: values["recall@10"].mean() for method, values in by_nobody.values.items()}
    assert recall["popular"] > 1.1 * recall["popular_without_hour"]


def test_a_large_task_is_sampled(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.evaluation.experiment.MAX_QUERIES", 10)
    drawn = draw(experiment.rolling_task)
    assert len(drawn) == 10
    np.testing.assert_array_equal(drawn.as_of, draw(experiment.rolling_task).as_of)


def without_users(dataset: Dataset) -> Dataset:
    nobody = np.full(len(dataset.events), -1, np.int32)
    return replace(dataset, events=replace(dataset.events, user_idx=nobody))


def without_hours(dataset: Dataset) -> Dataset:
    return replace(dataset, events=replace(dataset.events, hour=np.full(len(dataset.events), NO_HOUR, np.int8)))


def of_single_items(dataset: Dataset) -> Dataset:
    alone = np.arange(len(dataset.events), dtype=np.int32)
    return replace(dataset, events=replace(dataset.events, basket_idx=alone), basket_keys=alone)


@pytest.mark.parametrize(
    ("change", "unfed", "words"),
    [
        (without_users, {"next_basket", "rolling", "discovery", "cold_items", "cold_users", "time_of_day"}, "No user"),
        (without_hours, {"time_of_day"}, "without hours"),
        (of_single_items, {"complements"}, "two items"),
    ],
)
def test_a_question_without_data_is_skipped_with_a_reason(
    change: object, unfed: set[str], words: str, shop_dataset: Dataset, window: Window
) -> None:
    assert callable(change)
    experiment = Experiment.cut(change(shop_dataset), window, small_config())
    told = {}
    for name in unfed | {"complements"}:
        try:
            assert list(PROTOCOLS[name](experiment))
        except InsufficientDataError as error:
            told[name] = str(error)
    assert told.keys() == unfed
    assert any(words in sentence for sentence in told.values())


def test_sets_are_evaluated_on_the_baskets_of_the_window(experiment: Experiment) -> None:
    """The past of the shop is too short for sets by the defaults; lenient settings find some."""
    with pytest.raises(InsufficientDataError, match="there are no sets"):
        list(PROTOCOLS["item_sets"](experiment))
    past = experiment.past.dataset
    lenient = ItemSetConfig(min_support=2, min_lift=1.0, false_share=1.0)
    sets = fit_item_sets(group_baskets(past, 100), experiment.engine.catalog, lenient)
    (results,) = PROTOCOLS["item_sets"](replace(experiment, engine=replace(experiment.engine, item_sets=sets)))
    task = tasks.several(experiment.dataset, experiment.window)
    assert results.n_queries == len(task) > 0
    for method in ("item_sets", "random_pairs"):
        support = results.values[method]["set_support"]
        assert len(support) == len(task)
        assert 0 <= support.mean() <= len(task)
