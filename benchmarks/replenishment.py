"""Measures the list of items that are due: purchases within a week, against the user's most frequent items.

```console
$ python -m benchmarks.replenishment data/demo
```

At the start of each of the last four weeks every user gets the list of `replenishment_due`, of at most `--limit` items,
and as many of the own most frequent items. Lists for everyone have the `--limit` most frequent items of each user. The
models are fitted once, on what came before these weeks. Precision is the share of listed items that the user bought
within the horizon; intervals are of 1,000 bootstrap samples of users.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.data.catalog import read_catalog
from recsys.data.dataset import DAY_S, Dataset, load_dataset
from recsys.data.history import HistoryConfig, build_history
from recsys.models.moments.replenishment import ReplenishmentConfig, ReplenishmentModel, fit_replenishment
from recsys.models.temporal.repeat import PurchaseStats, RepeatConfig, RepeatModel, fit_repeat, purchase_stats
from recsys.moments.habits import is_due

N_WEEKS: Final = 4
N_SAMPLES: Final = 1000


@dataclass(frozen=True)
class UserHits:
    """One user at one moment: hits among the listed, the most frequent and the best possible items, of `n` each.

    `n_everyone` is the length of the list that everyone gets, `everyone` its hits.
    """

    user: int
    n: int
    due: int
    frequent: int
    possible: int
    expected: float
    n_everyone: int
    everyone: int


def main() -> None:
    """Print the precisions, their ratio and their intervals as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(measure(load_dataset(options.data), options.limit), indent=1))


def measure(dataset: Dataset, limit: int, config: ReplenishmentConfig | None = None) -> dict[str, Any]:
    """Return precision, ratio and intervals; see the module.

    Args:
        dataset: the shop, with the report window at its end.
        limit: largest number of items of a list.
        config: settings of the list.
    """
    config = config or ReplenishmentConfig()
    week = round(config.horizon_days * DAY_S)
    first = dataset.end + 1 - N_WEEKS * week
    past = dataset.until(first)
    repeat = fit_repeat(past, read_catalog(dataset.catalog), RepeatConfig())
    model = fit_replenishment(build_history(past, HistoryConfig()), repeat, dataset.target_event, first - 1, config)
    hits = list(_hits(dataset, repeat, model, [first - 1 + each * week for each in range(N_WEEKS)], limit))
    return _summary(hits, config)


def _hits(
    dataset: Dataset, repeat: RepeatModel, model: ReplenishmentModel, moments: list[int], limit: int
) -> Iterator[UserHits]:
    history, horizon = build_history(dataset, HistoryConfig()), round(model.config.horizon_days * DAY_S)
    for user in range(len(dataset.users)):
        whole = history.of(user, dataset.end).of_type(dataset.target_event)
        for moment in moments:
            n_known, n_until = whole.timestamp.searchsorted([moment, moment + horizon], side="right").tolist()
            if not n_known:
                continue
            own = purchase_stats(repeat, whole.take(slice(0, n_known)), moment)
            probability = model.probability(repeat, own, moment)
            listed = _listed(repeat, model, own, probability, moment, limit)
            is_bought = np.isin(own.item_idx, whole.item_idx[n_known:n_until])
            frequent = np.lexsort((own.item_idx, -own.last, -own.n_baskets))[:limit]
            n = len(listed)
            yield UserHits(
                user,
                n,
                int(is_bought[listed].sum()),
                int(is_bought[frequent[:n]].sum()),
                min(int(is_bought.sum()), n),
                float(probability[listed].sum()),
                len(frequent),
                int(is_bought[frequent].sum()),
            )


def _listed(
    repeat: RepeatModel,
    model: ReplenishmentModel,
    own: PurchaseStats,
    probability: npt.NDArray[np.float64],
    moment: int,
    limit: int,
) -> npt.NDArray[np.int64]:
    """The items of the list, as `recsys.moments.habits.replenishment_due` chooses them."""
    rows = np.flatnonzero(is_due(repeat, model, own, probability, moment))
    return rows[np.argsort(-probability[rows], kind="stable")][:limit]


def _summary(hits: list[UserHits], config: ReplenishmentConfig) -> dict[str, Any]:
    users, position = np.unique([each.user for each in hits], return_inverse=True)
    columns = np.array(
        [
            (each.n, each.due, each.frequent, each.possible, each.expected, each.n_everyone, each.everyone)
            for each in hits
        ],
        np.float64,
    )
    by_user = np.zeros((len(users), columns.shape[1]))
    np.add.at(by_user, position, columns)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(users), np.full(len(users), 1 / max(len(users), 1)), N_SAMPLES)
    n, due, frequent, possible, expected, n_everyone, everyone = by_user.sum(axis=0)
    samples = weights @ by_user
    return {
        "horizon_days": config.horizon_days,
        "n_users": len(users),
        "n_lists": sum(each.n > 0 for each in hits),
        "n_items": int(n),
        "precision": _with_interval(due / n, samples[:, 1] / samples[:, 0]),
        "precision_of_most_frequent": _with_interval(frequent / n, samples[:, 2] / samples[:, 0]),
        "best_possible_precision": _with_interval(possible / n, samples[:, 3] / samples[:, 0]),
        "ratio": _with_interval(due / frequent, samples[:, 1] / samples[:, 2]),
        "best_possible_ratio": _with_interval(possible / frequent, samples[:, 3] / samples[:, 2]),
        "precision_of_lists_for_everyone": _with_interval(everyone / n_everyone, samples[:, 6] / samples[:, 5]),
        "ratio_to_lists_for_everyone": _with_interval(
            due / n * n_everyone / everyone, samples[:, 1] / samples[:, 0] * samples[:, 5] / samples[:, 6]
        ),
        "mean_probability": round(float(expected / n), 4),
    }


def _with_interval(value: float, samples: npt.NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(samples, [0.025, 0.975])
    return {"value": round(float(value), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


if __name__ == "__main__":
    main()
