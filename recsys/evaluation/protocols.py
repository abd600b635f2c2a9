"""Evaluation protocols: the question, the baselines and the metrics of each placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from recsys.core.errors import DataError
from recsys.core.metrics import Lists
from recsys.evaluation import measures, tasks
from recsys.evaluation.association import ASSOCIATIONS, DISCOUNTED, associated_lists, count_baskets
from recsys.evaluation.baselines import PERSONAL
from recsys.evaluation.cold_start import (
    KEPT_ITEMS,
    MIN_BUYERS,
    evaluate_cold_users,
    evaluate_hidden_items,
    hide_items,
    leave_users_out,
)
from recsys.evaluation.experiment import N_LISTED, Experiment, QuestionResults, draw, score_lists
from recsys.evaluation.item_sets import evaluate_sets
from recsys.evaluation.methods import baseline_lists, recent_own_lists, served_lists
from recsys.evaluation.sessions import (
    FIRST_ITEMS,
    SESSION_BASELINES,
    SessionBaselines,
    next_new_item,
    session_lists,
)
from recsys.evaluation.tasks import Task

ROLLING_DECAY_DAYS: Final = 90.0
"""τ of `exponential_decay` on rolling histories, whose last baskets are recent and count for more."""

FINDERS: Final = ("popularity", "user_knn", "up_cf", "als", "bpr", "item_bm25", "item_cosine", "ease")
"""Baselines that can score items that a user never bought."""


SESSION_PLACEMENTS: Final = ("for_you", "discover", "similar", "viewed_together")
"""Lists that a session may have."""

COLD_USERS: Final = "No user bought both before the window and in it"


class InsufficientDataError(DataError):
    """The data has no queries for a question; the message states why."""


Protocol = Callable[[Experiment], Iterator[QuestionResults]]


def next_basket(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate `for_you` on each user's first basket in the window."""
    task = _require_queries(draw(tasks.next_basket(experiment.dataset, experiment.window)), COLD_USERS)
    names = [name for name in PERSONAL if name != "user_knn"]
    lists = {"for_you": experiment.served(task, "for_you")}
    lists |= baseline_lists(experiment.past, task, names, N_LISTED, experiment.progress)
    yield score_lists(experiment, task, lists, measures.accuracy, treatments=("for_you",), primary_metric="recall@10")


def rolling(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate `for_you` on every basket in the window, with the history up to it."""
    task = _require_queries(experiment.rolling_task, COLD_USERS)
    lists = {"for_you": experiment.rolling_for_you}
    for name, decay_days in (("gp_topfreq", np.inf), ("exponential_decay", ROLLING_DECAY_DAYS)):
        lists[name] = recent_own_lists(
            experiment.rolling_engine, experiment.past, task, N_LISTED, decay_days, experiment.progress
        )
    yield score_lists(experiment, task, lists, measures.accuracy, treatments=("for_you",), primary_metric="recall@10")


def discovery(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate `discover` and `long_tail` on what users bought for the first time."""
    task = _require_queries(
        draw(tasks.discovery(experiment.dataset, experiment.window)), "No known user bought a new item in the window"
    )
    treatments = ("discover", "long_tail")
    lists = {name: experiment.served(task, name) for name in treatments}
    lists |= baseline_lists(experiment.past, task, FINDERS, N_LISTED, experiment.progress, only_new=True)
    yield score_lists(
        experiment, task, lists, measures.accuracy_and_exposure, treatments=treatments, primary_metric="ndcg@20"
    )


def complements(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate related items from one item of a basket.

    `bought_together` is evaluated on the other items, `complementary` on those of other product types.
    """
    rng = np.random.default_rng(0)
    task = _require_queries(
        draw(tasks.completion(experiment.dataset, experiment.window, rng)), "No basket of the window contains two items"
    )
    lists = {"bought_together": experiment.served(task, "bought_together")} | _associations(experiment, task)
    yield score_lists(
        experiment, task, lists, measures.completion, treatments=("bought_together",), primary_metric="hit_rate@10"
    )
    others = tasks.of_other_types(task, experiment.engine.catalog.item_type)
    task = _require_queries(others, "No basket of the window contains items of two product types")
    yield _with_exposure(
        experiment,
        score_lists(
            experiment,
            task,
            _complement_lists(experiment, task),
            measures.completion_by_other_types,
            treatments=("complementary",),
            primary_metric="ips_recall@10",
            prefix="acc_",
        ),
    )


def time_of_day(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate `popular` at the hour of each basket against the same without hours; `time_of_day` against `for_you`."""
    if not experiment.engine.timeofday.is_fitted:
        raise InsufficientDataError("The event times are dates without hours: lists by the hour cannot be evaluated.")
    task = _require_queries(
        draw(tasks.anonymous(experiment.dataset, experiment.window)), "Nothing was bought in the window"
    )
    model = experiment.engine.timeofday
    hourless = replace(experiment.engine, timeofday=replace(model, lift=np.ones_like(model.lift)))
    one = served_lists(hourless, task.take(np.arange(1)), "popular", N_LISTED)
    lists = {"popular": experiment.served(task, "popular"), "popular_without_hour": np.repeat(one, len(task), axis=0)}
    yield score_lists(
        experiment, task, lists, measures.accuracy_by_hour, treatments=("popular",), primary_metric="recall@10"
    )
    task = _require_queries(experiment.rolling_task, COLD_USERS)
    by_hour = served_lists(experiment.rolling_engine, task, "time_of_day", N_LISTED, experiment.progress)
    lists = {"time_of_day": by_hour, "for_you": experiment.rolling_for_you}
    yield score_lists(
        experiment, task, lists, measures.accuracy_by_hour, treatments=("time_of_day",), primary_metric="recall@10"
    )


def cold_items(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate which users buy an item without known purchases."""
    hidden = hide_items(experiment.dataset, experiment.window, experiment.engine.config, np.random.default_rng(0))
    if hidden is None:
        raise InsufficientDataError(f"Too few items have {MIN_BUYERS} buyers before the window: no item can be hidden.")
    yield from evaluate_hidden_items(hidden, experiment.window)


def cold_users(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate `for_you` for users that no model was fitted on, from their last items only."""
    _require_queries(tasks.next_basket(experiment.dataset, experiment.window), COLD_USERS)
    cold = leave_users_out(experiment.dataset, experiment.window, experiment.engine.config, np.random.default_rng(0))
    _require_queries(cold.task, "No user who was left out of training bought both before the window and in it")
    for n_kept in KEPT_ITEMS:
        yield evaluate_cold_users(cold, n_kept, experiment.progress)


def sessions(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate the lists of anonymous sessions on the next item that is new to the session, after 1, 2, 3 and 5."""
    every = next_new_item(experiment.dataset, experiment.window)
    _require_queries(every.task, "No session of the window has two items in order")
    baselines = SessionBaselines(experiment.past.dataset, experiment.window.start)
    for n_items in FIRST_ITEMS:
        asked = every.of_length(n_items)
        if not len(asked):
            continue
        lists = {
            name: session_lists(experiment.engine, asked, name, N_LISTED, experiment.progress)
            for name in SESSION_PLACEMENTS
        }
        lists |= {name: baselines.lists(name, asked, N_LISTED, experiment.progress) for name in SESSION_BASELINES}
        values = {
            method: {
                f"{name}_n{n_items}": value for name, value in measures.next_item(experiment, asked.task, rows).items()
            }
            for method, rows in lists.items()
        }
        yield QuestionResults(SESSION_PLACEMENTS, f"recall@20_n{n_items}", values, lists, asked.task)


def item_sets(experiment: Experiment) -> Iterator[QuestionResults]:
    """Evaluate the sets on later baskets: how many have a set as a whole, compared with random pairs."""
    if not len(experiment.engine.item_sets):
        raise InsufficientDataError("No items are together in more baskets than chance explains: there are no sets.")
    by_basket = experiment.engine.copurchase.by_basket
    task = tasks.several(experiment.dataset, experiment.window, by_user=not by_basket)
    yield evaluate_sets(experiment, draw(_require_queries(task, "No basket of the window contains two items")))


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.__name__: protocol
        for protocol in (
            next_basket,
            rolling,
            discovery,
            complements,
            time_of_day,
            cold_items,
            cold_users,
            sessions,
            item_sets,
        )
    }
)


def _require_queries(task: Task, reason: str) -> Task:
    if not len(task):
        raise InsufficientDataError(f"{reason}.")
    return task


def _associations(experiment: Experiment, task: Task) -> dict[str, Lists]:
    counts = count_baskets(experiment.past.dataset)
    return {name: associated_lists(counts, score, task.seed, N_LISTED) for name, score in ASSOCIATIONS.items()}


def _complement_lists(experiment: Experiment, task: Task) -> dict[str, Lists]:
    counts, types = count_baskets(experiment.past.dataset), experiment.engine.catalog.item_type
    return {"complementary": experiment.served(task, "complementary")} | {
        name: associated_lists(counts, score, task.seed, N_LISTED, types)
        for name, score in {**ASSOCIATIONS, **DISCOUNTED}.items()
    }


def _with_exposure(experiment: Experiment, question: QuestionResults) -> QuestionResults:
    """Add how often one item returns in the lists of the best sellers."""
    share = experiment.past.basket_share
    best = np.argsort(-share, kind="stable")[: min(measures.BEST_SELLERS, int((share > 0).sum()))]
    lists = _complement_lists(experiment, tasks.for_items(best.astype(np.int32), experiment.window, len(share)))
    exposure = {name: measures.exposure_among_best_sellers(rows, len(share)) for name, rows in lists.items()}
    return replace(question, totals={name: {**totals, **exposure[name]} for name, totals in question.totals.items()})
