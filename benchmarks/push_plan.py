"""A push plan replayed on what followed: orders compared with bestsellers, calibration, and hours of visits.

    python -m benchmarks.push_plan --models FOLDER --data FOLDER

The bundle is trained on a past of the data, such as the tables without the last 28 days. The same purchases would
partly have been made without any message: the results compare plans by association, and are no uplift.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S, Dataset, load_dataset
from recsys.pipeline.recommender import Recommender
from recsys.planner.audience import plannable_users
from recsys.planner.calibration import calibration_error
from recsys.planner.config import chosen_lists, parse_plan
from recsys.planner.habits import visits_of
from recsys.planner.past_weeks import fit_plan
from recsys.planner.planner import Planner
from recsys.planner.send_time import best_hours

N_RESAMPLES = 1000
FRESH_DAYS = 28
WINDOW_DAYS = 28


def interval(statistic: Callable[[npt.NDArray[np.int64]], float], n: int) -> list[float]:
    """Return a statistic of all shoppers and its 95 % bootstrap interval over shoppers."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(N_RESAMPLES)]
    return [round(float(x), 4) for x in (statistic(np.arange(n)), *np.quantile(drawn, [0.025, 0.975]))]


class Followed:
    """What shoppers bought after a moment.

    Args:
        dataset: all data.
        user_ids: the shoppers.
        start: the moment, seconds since 1970.
        days: length of the period.
    """

    def __init__(self, dataset: Dataset, user_ids: list[str], start: int, days: int) -> None:
        bought = dataset.target_events
        rows = dataset.users.rows(user_ids)
        position = np.full(len(dataset.users) + 1, -1)
        position[rows] = np.arange(len(rows))
        self._n = len(dataset.items)
        at, user = bought.timestamp, position[bought.user_idx]
        keys = user * self._n + bought.item_idx
        after = (user >= 0) & (at > start) & (at <= start + days * DAY_S)
        recent = (user >= 0) & (at <= start) & (at > start - FRESH_DAYS * DAY_S)
        self.keys = np.unique(keys[after])
        self.fresh = np.setdiff1d(self.keys, keys[recent])
        self._items = dataset.items

    def conversions(
        self, user: npt.NDArray[np.int64], item_ids: list[list[str]], *, fresh: bool
    ) -> npt.NDArray[np.bool_]:
        """Return which messages were followed by a purchase of one of their items."""
        size = [len(ids) for ids in item_ids]
        rows = self._items.rows([id_ for ids in item_ids for id_ in ids]).astype(np.int64)
        message = np.repeat(np.arange(len(size)), size)
        hit = np.isin(user[message] * self._n + rows, self.fresh if fresh else self.keys)
        return np.bincount(message, hit, len(size)) > 0


def replay(models: Path, data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Plan the week after the bundle's data, and count what followed."""
    dataset, recommender = load_dataset(data), Recommender.of_bundle(models)
    config = parse_plan(settings)
    names = chosen_lists(config, recommender.placements)
    started = time.process_time()
    model = fit_plan(recommender, config, names)
    fitting_s = time.process_time() - started
    user_ids = plannable_users(recommender.engine, None)
    started = time.process_time()
    plan = Planner(recommender, config, names, model, recommender.data_end).plan(user_ids)
    planning_s = time.process_time() - started
    n_users, at = len(user_ids), {user_id: n for n, user_id in enumerate(user_ids)}
    user = np.array([at[user_id] for user_id in plan["user_id"]])
    followed = Followed(dataset, user_ids, recommender.data_end, config.horizon_days)
    best = [recommender.engine.items.ids[row] for row in recommender.engine.by_popularity[:100].tolist()]
    listable = recommender.engine.listable["all"]
    best = [id_ for id_ in best if listable is None or listable[recommender.engine.items.row(id_)]]
    k = config.items_per_message
    order = plan.select(n="user_id").with_row_index().group_by("n", maintain_order=True).len()["len"].to_list()
    bestsellers = [best[n * k : n * k + k] for count in order for n in range(count)]
    results: dict[str, Any] = {
        "messages": len(plan),
        "shoppers": n_users,
        "lists": dict(plan["placement"].value_counts().rows()),
        "fitting_cpu_s": round(fitting_s, 1),
        "cpu_ms_per_shopper": round(planning_s / n_users * 1e3, 3),
    }
    for kind in ("all", "fresh"):
        ours, theirs = (
            np.bincount(user, followed.conversions(user, ids, fresh=kind == "fresh"), n_users)
            for ids in (plan["item_ids"].to_list(), bestsellers)
        )
        results[f"{kind}: converted messages"] = [int(ours.sum()), int(theirs.sum())]
        results[f"{kind}: ratio"] = interval(lambda rows, a=ours, b=theirs: a[rows].sum() / b[rows].sum(), n_users)  # type: ignore[misc]
    p = plan["probability"].to_numpy()
    hit = followed.conversions(user, plan["item_ids"].to_list(), fresh=False)
    expected, counted = np.bincount(user, p, n_users), np.bincount(user, hit, n_users)
    results["calibration: expected over counted − 1"] = interval(
        lambda rows: expected[rows].sum() / counted[rows].sum() - 1, n_users
    )
    results["calibration: expected calibration error"] = round(calibration_error(p, hit), 4)
    results["calibration: bins"] = [
        [round(float(p[part].mean()), 3), round(float(hit[part].mean()), 3)]
        for part in np.array_split(np.argsort(p, kind="stable"), 10)
    ]
    return results


def hours(models: Path, data: Path) -> dict[str, Any]:
    """Compare the own hour of shoppers with everyone's most frequent one, on their visits in the next four weeks."""
    dataset, recommender = load_dataset(data), Recommender.of_bundle(models)
    engine, config = recommender.engine, parse_plan({})
    user_ids = plannable_users(engine, None)
    model = fit_plan(recommender, parse_plan({"calibration": {"users": 1, "weeks": 1}}), ("buy_again",))
    zones = [engine.user_timezones[row] or dataset.timezone for row in engine.users.rows(user_ids).tolist()]
    now, nobody = recommender.data_end, np.full(len(user_ids), -1)
    past = visits_of(
        [engine.history.of(row, now) for row in engine.users.rows(user_ids).tolist()], zones, dataset.target_event
    )
    counts = past.hours(now, config.hours.half_life_days)
    allowed = config.hours.allowed()
    own = best_hours(model.hours.of(counts, nobody), allowed)
    everyone = best_hours(np.tile(past.hours(now, 1e6).sum(axis=0), (len(user_ids), 1)), allowed)
    events = dataset.events
    chosen = (events.timestamp > now) & (events.timestamp <= now + WINDOW_DAYS * DAY_S)
    _, first = np.unique(events.basket_idx[chosen], return_index=True)
    position = np.full(len(dataset.users) + 1, -1)
    position[dataset.users.rows(user_ids)] = np.arange(len(user_ids))
    user, hour = position[events.user_idx[chosen][first]], events.hour[chosen][first].astype(np.int64)
    known = (user >= 0) & (hour >= 0)
    user, hour = user[known], hour[known]
    n = len(user_ids)
    hits = [
        np.bincount(user, np.minimum((hour - b[user]) % 24, (b[user] - hour) % 24) <= 1, n) for b in (own, everyone)
    ]
    visits = np.bincount(user, minlength=n)
    return {
        "visits": int(visits.sum()),
        "own: hit rate": interval(lambda rows: hits[0][rows].sum() / visits[rows].sum(), n),
        "everyone: hit rate": interval(lambda rows: hits[1][rows].sum() / visits[rows].sum(), n),
        "gain": interval(lambda rows: hits[0][rows].sum() / hits[1][rows].sum() - 1, n),
    }


def main() -> None:
    """Print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of the plan, as JSON")
    given = parser.parse_args()
    found = {"send time": hours(given.models, given.data), "plan": replay(given.models, given.data, given.settings)}
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
