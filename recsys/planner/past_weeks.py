"""What the shop's own past teaches a plan: the probabilities of its lists, and when shoppers come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S
from recsys.pipeline.recommender import Recommender
from recsys.planner.arbitration import ArbitrationRules, CandidateLists, arbitrate
from recsys.planner.asking import AskRule, fit_rule
from recsys.planner.audience import plannable_users
from recsys.planner.calibration import (
    N_FEATURES,
    Calibration,
    ListCurve,
    features,
    fit_curve,
    fit_logistic,
)
from recsys.planner.config import PlanConfig
from recsys.planner.draws import uniform_draws
from recsys.planner.habits import visits_of
from recsys.planner.life_stages import N_STAGES, life_stages
from recsys.planner.send_time import HabitPrior, fit_prior
from recsys.planner.shopper_lists import Searches, ShopperLists, ask_lists
from recsys.planner.worth import item_values, relative_prices

CHUNK = 500
"""Shoppers whose lists are in memory at a time."""

HABIT_USERS = 20_000
"""Shoppers whose visits the priors of hours and weekdays are learned from."""


class PlanModel(msgspec.Struct, frozen=True):
    """What a plan has learned.

    Attributes:
        calibration: the probabilities of the lists.
        rules: of each list, for whom it is made.
        hours: the hours of everyone, and of each stage of the life cycle.
        weekdays: the weekdays of everyone, and of each stage.
    """

    calibration: Calibration
    rules: tuple[AskRule, ...]
    hours: HabitPrior
    weekdays: HabitPrior


@dataclass(frozen=True)
class PastLists:
    """Past lists of some shoppers, and what followed.

    Attributes:
        item_idx: int32 (n_users, n_lists, n_places).
        features: float64 (n_users, n_lists, n_places, N_FEATURES).
        is_bought: bool (n_users, n_lists, n_places), whether the shopper bought the item within the horizon.
        n_orders: float64 (n_users,), in the four weeks before.
        days_since: float64 (n_users,), days since the last order.
    """

    item_idx: npt.NDArray[np.int32]
    features: npt.NDArray[np.float64]
    is_bought: npt.NDArray[np.bool_]
    n_orders: npt.NDArray[np.float64]
    days_since: npt.NDArray[np.float64]


def n_places(config: PlanConfig) -> int:
    """Return the length of the lists: enough for all messages, where other lists and the last days took half."""
    return min(100, 2 * config.items_per_message * config.caps.messages_per_list + config.items_per_message)


def rules_of(config: PlanConfig) -> ArbitrationRules:
    """Return the limits of the arbitration."""
    caps = config.caps
    return ArbitrationRules(
        caps.messages_per_week, caps.messages_per_list, config.items_per_message, config.min_expected_value
    )


def list_features(lists: ShopperLists, as_of: int, price: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Describe the items of lists; see `calibration.features`.

    Args:
        lists: of some shoppers.
        as_of: their moment, seconds since 1970.
        price: of each item of the catalog, as of `relative_prices`.
    """
    visits = lists.visits
    of_items = np.where(lists.item_idx >= 0, price[lists.item_idx], 1.0) if len(price) else np.ones(lists.score.shape)
    return features(lists.score, of_items, visits.recent_orders(as_of), visits.days_since_order(as_of))


def fit_plan(
    recommender: Recommender,
    config: PlanConfig,
    names: Sequence[str],
    on_count: Callable[[int, int], None] = lambda done, total: None,
) -> PlanModel:
    """Learn a plan from the latest horizons of the bundle's data.

    Lists as of the beginning of each past horizon are compared with what followed. The items' probabilities are
    logistic regressions per list. Each list is then cut into messages as in a plan of its own, and the probability that
    at least one item is bought is the isotonic regression of these messages on `1 − Π(1 − p)`.

    Args:
        recommender: the open bundle.
        config: the plan.
        names: its lists.
        on_count: receives the number of shoppers whose past lists are made, and of all.
    """
    past = list(_past(recommender, config, names, on_count))
    weights = [_item_weights(past, n) for n in range(len(names))]
    plain = Calibration(tuple(names), tuple(ListCurve(each) for each in weights), config.horizon_days)
    value, _ = item_values(recommender.current, config.value)
    curves = []
    for n, each in enumerate(weights):
        chosen = [_past_messages(part, n, plain, value, config) for part in past]
        raw, bought = (np.concatenate(part) for part in zip(*chosen, strict=True)) if chosen else (_NO_RAW, _NO_LABELS)
        curves.append(fit_curve(each, raw, bought))
    calibration = Calibration(tuple(names), tuple(curves), config.horizon_days)
    hours, weekdays = _habits(recommender, config)
    return PlanModel(calibration, _rules(past, calibration, value, config), hours, weekdays)


def _past(
    recommender: Recommender, config: PlanConfig, names: Sequence[str], on_count: Callable[[int, int], None]
) -> Iterator[PastLists]:
    engine, horizon = recommender.engine, config.horizon_days * DAY_S
    searches: Searches = {}
    n_done, price = 0, relative_prices(recommender.current)
    moments = [recommender.data_end - week * horizon for week in range(1, config.calibration.weeks + 1)]
    samples = [(as_of, _sample(recommender, config, as_of)) for as_of in moments]
    total = sum(len(user_ids) for _, user_ids in samples)
    for as_of, user_ids in samples:
        for start in range(0, len(user_ids), CHUNK):
            part = user_ids[start : start + CHUNK]
            lists = ask_lists(recommender, part, names, n_places(config), as_of, searches)
            bought = purchases_between(recommender, part, as_of, as_of + horizon)
            keys = np.arange(len(part))[:, None, None] * engine.n_items + lists.item_idx
            yield PastLists(
                lists.item_idx,
                list_features(lists, as_of, price),
                np.isin(keys, bought) & (lists.item_idx >= 0),
                lists.visits.recent_orders(as_of).astype(np.float64),
                lists.visits.days_since_order(as_of),
            )
            n_done += len(part)
            on_count(n_done, total)


def purchases_between(
    recommender: Recommender, user_ids: Sequence[str], start: int, stop: int
) -> npt.NDArray[np.int64]:
    """Return the purchases of the bundle's data after `start` and up to `stop`.

    Returns:
        int64, `position of the user · n_items + item`, distinct and ascending.
    """
    engine = recommender.engine
    found = []
    for position, row in enumerate(engine.users.rows(user_ids).tolist()):
        later = engine.history.of(row, stop)
        chosen = (later.timestamp > start) & (later.event_type == engine.dataset_info.target_event)
        found.append(position * engine.n_items + later.item_idx[chosen].astype(np.int64))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _sample(recommender: Recommender, config: PlanConfig, as_of: int) -> list[str]:
    """Return shoppers with a history at a moment, drawn at random."""
    history = recommender.engine.history
    firsts = history.indptr[:-1]
    has_events = history.indptr[1:] > firsts
    times = history.timestamp
    known = np.zeros(len(has_events), np.bool_)
    known[has_events] = times[firsts[has_events]] <= as_of
    rows = recommender.engine.users.rows
    user_ids = plannable_users(recommender.engine, recommender.live)
    user_ids = [user_id for user_id, is_known in zip(user_ids, known[rows(user_ids)], strict=True) if is_known]
    order = np.argsort(uniform_draws(f"calibration {as_of}", user_ids), kind="stable")
    return [user_ids[n] for n in order[: config.calibration.users].tolist()]


def _item_weights(past: Sequence[PastLists], n: int) -> tuple[float, ...]:
    listed = [each.item_idx[:, n] >= 0 for each in past]
    x = np.concatenate([each.features[:, n][rows] for each, rows in zip(past, listed, strict=True)] or [_NO_FEATURES])
    y = np.concatenate([each.is_bought[:, n][rows] for each, rows in zip(past, listed, strict=True)] or [_NO_LABELS])
    return fit_logistic(x, y)


_NO_FEATURES = np.empty((0, N_FEATURES))
_NO_LABELS = np.empty(0, np.bool_)
_NO_RAW = np.empty(0)


def _past_messages(
    past: PastLists, n: int, plain: Calibration, value: npt.NDArray[np.float64], config: PlanConfig
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return `1 − Π(1 − p)` and the outcome of the messages that one list alone would have been."""
    only = slice(n, n + 1)
    item_idx = past.item_idx[:, only]
    probability = plain.item_probability(past.features)[:, only]
    lists = CandidateLists(item_idx, probability, np.zeros(item_idx.shape, np.bool_))
    chosen = arbitrate(lists, value, lambda raw: raw, replace(rules_of(config), min_expected_value=0.0))
    outcome = past.is_bought[chosen.user[:, None], n, chosen.places] & (chosen.places >= 0)
    return chosen.raw, np.asarray(outcome.any(axis=1))


def last_value(
    item_idx: npt.NDArray[np.int32],
    probability: npt.NDArray[np.float64],
    calibration: Calibration,
    value: npt.NDArray[np.float64],
    config: PlanConfig,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the expected value of each shopper's last message, 0 where there is room for more, and that of all.

    Args:
        item_idx: int32 (n_users, n_lists, n_places).
        probability: float64, same shape, of the items.
        calibration: of the lists.
        value: float64 (n_items,).
        config: the plan.
    """
    n_users = len(item_idx)
    lists = CandidateLists(item_idx, probability, np.zeros(item_idx.shape, np.bool_))
    chosen = arbitrate(lists, value, calibration.message_probability, rules_of(config))
    expected, last = chosen.expected_value, np.zeros(n_users)
    is_last = chosen.order == config.caps.messages_per_week - 1
    last[chosen.user[is_last]] = expected[is_last]
    return last, np.bincount(chosen.user, expected, n_users).astype(np.float64)


def _rules(
    past: Sequence[PastLists], calibration: Calibration, value: npt.NDArray[np.float64], config: PlanConfig
) -> tuple[AskRule, ...]:
    """Return for whom each list is made.

    Past plans would have lost `max_skipped_value` of their expected value at most, in equal parts of each list but the
    first, which all shoppers have.
    """
    n_lists = len(calibration.lists)
    rules = [AskRule()]
    probability = [calibration.item_probability(each.features) for each in past]
    n_orders = _joined([each.n_orders for each in past])
    days_since = _joined([each.days_since for each in past])
    for n in range(1, n_lists):
        lasts, gains, totals = [], [], []
        for each, p in zip(past, probability, strict=True):
            shown = [each.item_idx.copy() for _ in range(2)]
            shown[0][:, n:], shown[1][:, n + 1 :] = -1, -1
            (last, before), (_, after) = (last_value(part, p, calibration, value, config) for part in shown)
            lasts.append(last)
            gains.append(after - before)
            totals.append(after)
        allowed_loss = config.max_skipped_value * float(_joined(totals).sum()) / (n_lists - 1)
        rules.append(fit_rule(_joined(lasts), n_orders, days_since, _joined(gains), allowed_loss))
    return tuple(rules)


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _habits(recommender: Recommender, config: PlanConfig) -> tuple[HabitPrior, HabitPrior]:
    engine = recommender.engine
    user_ids = plannable_users(engine, recommender.live)
    order = np.argsort(uniform_draws("habits", user_ids), kind="stable")[:HABIT_USERS]
    user_ids = [user_ids[n] for n in order.tolist()]
    rows = engine.users.rows(user_ids).tolist()
    zones = [engine.user_timezones[row] or engine.dataset_info.timezone for row in rows]
    histories = [engine.history.of(row, recommender.data_end) for row in rows]
    visits = visits_of(histories, zones, engine.dataset_info.target_event)
    stages, n_stages = life_stages(engine, user_ids, recommender.data_end), N_STAGES if engine.segments.is_fitted else 0
    forever = 1e6
    hours = fit_prior(visits.hours(recommender.data_end, forever), stages, n_stages)
    return hours, fit_prior(visits.weekdays(recommender.data_end, forever), stages, n_stages)
