"""Made-up shoppers of an experiment, to learn its analysis or to try its settings before the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import numpy as np

from recsys.core.errors import ConfigError
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, read_entries
from recsys.experiments.assignment import OUTSIDE, RunningExperiment, variant_of
from recsys.experiments.outcomes import DAY_S

FIRST_DAY: Final = datetime(2026, 11, 1, 8, tzinfo=UTC).timestamp()
OPEN_S: Final = 0.6 * DAY_S
"""Seconds of a day in which shoppers come."""

N_ITEMS: Final = 10
PREFIX: Final = "simulated-"
"""Begins the ids of all made-up shoppers."""

BATCH: Final = 5000


def simulate_days(
    store: EventStore,
    experiment: RunningExperiment,
    n_days: int,
    shoppers_per_day: int,
    ctr: Mapping[str, float],
    spending: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    seed: int = 11,
) -> int:
    """Write the next days of an experiment to a log of made-up shoppers; the same calls write the same.

    New shoppers come every day and see one list of ten items. They click on each with the probability of their variant,
    a third bought in the weeks before, and a tenth buys, by habits with a gamma distribution.

    Args:
        store: the log; empty, or written by this.
        experiment: with its present share.
        n_days: days to add, >= 1.
        shoppers_per_day: new shoppers of all kinds, those outside the experiment too.
        ctr: probability of a click on an item, by variant.
        spending: factors of the probability of an order and of its amount, by variant; 1 for those left out.
        seed: of the draws.

    Returns:
        The number of days in the log now.

    Raises:
        ConfigError: the log has other shoppers than made-up ones.
    """
    first = _days(store)
    for day in range(first, first + n_days):
        entries = list(_day(experiment, day, shoppers_per_day, ctr, spending, np.random.default_rng((seed, day))))
        for start in range(0, len(entries), BATCH):
            store.append(entries[start : start + BATCH])
    return first + n_days


def _days(store: EventStore) -> int:
    """Return the number of days that the log has."""
    latest = FIRST_DAY - 1
    for entries in read_entries(store, READ_BATCH):
        for stored in entries:
            if not str(stored.entry.body.get("user_id")).startswith(PREFIX):
                raise ConfigError("the log is that of a shop: name another file, which does not exist yet")
            latest = max(latest, stored.entry.at)
    return int((latest - FIRST_DAY) // DAY_S) + 1


def _day(
    experiment: RunningExperiment,
    day: int,
    n_shoppers: int,
    ctr: Mapping[str, float],
    spending: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
) -> Iterator[LogEntry]:
    name = experiment.definition.name
    for n in range(n_shoppers):
        shopper = f"{PREFIX}{day}-{n}"
        variant = variant_of(experiment, shopper)
        if variant == OUTSIDE:
            continue
        at, habit = FIRST_DAY + day * DAY_S + OPEN_S * n / n_shoppers, rng.gamma(1.0)
        list_id = f"list-{day}-{n}"
        if rng.random() < habit / 3:
            yield _event("purchase", shopper, at - 9 * DAY_S, basket_id=f"old-{day}-{n}", price=round(20 * habit, 2))
        items = [{"item_id": f"item-{item}", "score": 1.0} for item in range(N_ITEMS)]
        body = {"placement": "for_you", "user_id": shopper, "items": items, "experiments": {name: variant}}
        yield LogEntry("impression", list_id, at, at, body)
        for item in np.flatnonzero(rng.random(N_ITEMS) < ctr[variant]).tolist():
            yield _event("view_item", shopper, at + 9 * item + 1, f"item-{item}", recommendation_id=list_id)
        more_orders, more_spent = spending.get(variant, (1.0, 1.0))
        if rng.random() < habit / 10 * more_orders:
            price = round(20 * habit * more_spent, 2)
            yield _event("purchase", shopper, at + 600, basket_id=f"new-{day}-{n}", price=price)


def _event(event: str, shopper: str, at: float, item_id: str = "item-0", **fields: str | float) -> LogEntry:
    return LogEntry("event", None, at, at, {"event": event, "item_id": item_id, "user_id": shopper, **fields})
