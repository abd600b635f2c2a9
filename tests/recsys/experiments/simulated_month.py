"""A live log of one month with an experiment, for the tests of the command and the example of the docs."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.assignment import OUTSIDE, RunningExperiment, variant_of
from recsys.experiments.state import read_experiments

START = datetime(2026, 11, 1, 8, tzinfo=UTC)


def write_month(
    store: Path, experiments: Path, name: str, shares: list[float], ctr: dict[str, float], shoppers_per_day: int
) -> None:
    """Shoppers come, see a list of ten items, and click by variant; a third bought before, and a tenth buys.

    Args:
        store: the live log to write.
        experiments: file of experiments, with its state.
        name: of the experiment.
        shares: share of the shoppers on each day.
        ctr: probability of a click on an item, by variant.
        shoppers_per_day: new shoppers per day.
    """
    rng = np.random.default_rng(11)
    running = read_experiments(experiments).as_running(name)
    entries: list[LogEntry] = []
    for day, share in enumerate(shares):
        experiment = RunningExperiment(running.definition, share, running.holdout)
        for n in range(shoppers_per_day):
            unit = f"s{day}-{n}"
            variant = variant_of(experiment, unit)
            if variant == OUTSIDE:
                continue
            at = (START + timedelta(days=day, seconds=86_400 * 0.6 * n / shoppers_per_day)).timestamp()
            habit = rng.gamma(1.0)
            if rng.random() < habit / 3:
                entries.append(_bought(unit, f"o{unit}", at - 86_400 * 9, 20 * habit))
            entries.append(_shown(unit, f"r{unit}", at, {name: variant}))
            clicks = rng.binomial(1, np.full(10, ctr[variant]))
            entries += [_clicked(unit, f"r{unit}", at + 9 * item, f"i{item}") for item in np.flatnonzero(clicks)]
            if rng.random() < habit / 10:
                entries.append(_bought(unit, f"p{unit}", at + 600, 20 * habit))
    with closing(SqliteStore(store)) as log:
        for start in range(0, len(entries), 5000):
            log.append(entries[start : start + 5000])


def _shown(unit: str, id_: str, at: float, exposures: dict[str, str]) -> LogEntry:
    items = [{"item_id": f"i{item}", "score": 1.0} for item in range(10)]
    body = {"placement": "for_you", "user_id": unit, "items": items, "experiments": exposures}
    return LogEntry("impression", id_, at, at, body)


def _clicked(unit: str, id_: str, at: float, item: str) -> LogEntry:
    body = {"event": "view_item", "item_id": item, "user_id": unit, "recommendation_id": id_}
    return LogEntry("event", None, at, at, body)


def _bought(unit: str, basket: str, at: float, price: float) -> LogEntry:
    body = {"event": "purchase", "item_id": "i0", "user_id": unit, "basket_id": basket, "price": round(price, 2)}
    return LogEntry("event", None, at, at, body)
