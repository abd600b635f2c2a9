"""What is not offered again: by hand, on planted shops, and against counting one by one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given

from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.models.temporal.repeat import RepeatConfig, RepeatModel, fit_repeat
from recsys.models.temporal.rest import MIN_REGULARITY, NEVER_DAYS, RestConfig
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import DAY_S, at, dataset_of, moment

N_USERS: Final = 120
PHONES, CASES, FILTERS = (tuple(f"{name}{n}" for n in range(4)) for name in ("phone", "case", "filter"))


def _items() -> list[dict[str, Any]]:
    kinds = {"phones": PHONES, "cases": CASES, "filters": FILTERS}
    return [{"item_id": item, "category": ["shop", kind]} for kind, ids in kinds.items() for item in ids]


def _planted(seed: int = 0, gap_days: float = 20.0) -> Dataset:
    """Everybody buys one phone and, later, two cases of different kinds, and a filter every `gap_days` or so."""
    rng, rows = np.random.default_rng(seed), []
    for user in range(N_USERS):
        start = rng.uniform(0, 20)
        mine = [(PHONES[user % 4], start), (CASES[user % 4], start + 15), (CASES[(user + 1) % 4], start + 40)]
        day = start
        while day < 150:
            mine.append((FILTERS[(user + (day > 75)) % 4], day))
            day += gap_days + rng.uniform(-2, 2)
        rows += [{"user_id": f"u{user}", "item_id": item, "timestamp": at(moment(when))} for item, when in mine]
    return dataset_of(rows, _items())


def _fit(dataset: Dataset, config: RestConfig | None = None) -> RepeatModel:
    return fit_repeat(dataset, read_catalog(dataset.catalog), RepeatConfig(rest=config or RestConfig()))


@pytest.mark.parametrize("gap_days", [7.0, 20.0, 45.0])
def test_a_consumable_rests_almost_until_its_users_buy_it_again(gap_days: float) -> None:
    dataset = _planted(gap_days=gap_days)
    rest = _fit(dataset).rest
    days = rest.days[dataset.items.rows(FILTERS)]
    assert (days >= gap_days - 2.1).all()
    assert (days < gap_days).all()


def test_a_durable_rests_for_good_and_so_does_its_type_but_not_what_goes_with_it() -> None:
    dataset = _planted()
    catalog, rest = read_catalog(dataset.catalog), _fit(dataset).rest
    assert (rest.days[dataset.items.rows(PHONES)] == NEVER_DAYS).all()
    durable = {name for name, known in zip(catalog.type_names, rest.is_durable_type, strict=True) if known}
    assert durable == {"shop > phones"}


def test_a_few_owners_prove_nothing() -> None:
    rows = [{"user_id": f"u{n}", "item_id": PHONES[n], "timestamp": at(moment(n))} for n in range(4)]
    rows += [{"user_id": f"u{n}", "item_id": CASES[n], "timestamp": at(moment(90 + n))} for n in range(4)]
    rest = _fit(dataset_of(rows, _items())).rest
    assert (rest.days == 0).all()
    assert not rest.is_durable_type.any()


def test_owners_who_never_came_back_prove_nothing() -> None:
    """Everybody bought one phone and nothing since: that nobody bought another has no meaning."""
    rows = [{"user_id": f"u{n}", "item_id": PHONES[n % 4], "timestamp": at(moment(n / 10))} for n in range(300)]
    rest = _fit(dataset_of(rows, _items())).rest
    assert (rest.days == 0).all()
    assert not rest.is_durable_type.any()


def test_where_nothing_is_ever_bought_twice_everything_rests() -> None:
    rng, rows = np.random.default_rng(1), []
    for user in range(200):
        for day, item in enumerate(rng.permutation(12)[:5]):
            rows.append({"user_id": f"u{user}", "item_id": f"film{item}", "timestamp": at(moment(40.0 * day))})
    assert (_fit(dataset_of(rows)).rest.days == NEVER_DAYS).all()


def test_what_is_bought_at_any_time_does_not_rest() -> None:
    """Without a rhythm, the time since the last purchase says nothing."""
    rng, rows = np.random.default_rng(3), []
    for user in range(60):
        day = rng.uniform(0, 9)
        while day < 200:
            rows.append({"user_id": f"u{user}", "item_id": "soap", "timestamp": at(moment(day))})
            day += rng.exponential(25)
    assert (_fit(dataset_of(rows)).rest.days == 0).all()


def test_what_is_bought_again_after_two_days_hardly_rests() -> None:
    """Milk: in half of all cases after two days, else after nine."""
    rng, rows = np.random.default_rng(2), []
    for user in range(40):
        day = rng.uniform(0, 9)
        while day < 120:
            rows.append({"user_id": f"u{user}", "item_id": "milk", "timestamp": at(moment(day))})
            day += rng.choice([2, 9])
    assert (_fit(dataset_of(rows)).rest.days <= 2.01).all()


@given(shops())
def test_equals_counting_one_by_one(dataset: Dataset) -> None:
    config = RestConfig(shrinkage=1.0, min_rate=0.4)
    catalog = read_catalog(dataset.catalog)
    model = _fit(dataset, config)
    bought: dict[tuple[int, int], list[int]] = defaultdict(list)
    last: dict[int, int] = defaultdict(int)
    for user, item, when in zip(
        dataset.events.user_idx.tolist(), dataset.events.item_idx.tolist(), dataset.events.timestamp, strict=True
    ):
        if user >= 0:
            bought[user, item].append(int(when))
            last[user] = max(last[user], int(when))
    gaps: dict[int, list[float]] = defaultdict(list)
    n, k = np.zeros((2, len(dataset.items)))
    for (user, item), times in bought.items():
        gaps[item] += [gap / DAY_S for gap in np.diff(sorted(times)).tolist() if gap >= DAY_S / 2]
        if last[user] - min(times) >= np.rint(np.maximum(model.interval_days[item], 0.5) * DAY_S):
            n[item] += 1
            k[item] += max(times) - min(times) >= DAY_S / 2
    s, types = config.shrinkage, catalog.item_type
    every = sorted(gap for known in gaps.values() for gap in known)

    def low(values: list[float]) -> float:
        return float(np.log(sorted(values)[int(config.earliest_share * (len(values) - 1))])) if values else 0.0

    def is_once(general: bool, k: float, n: float) -> bool:
        upper, lower = k + 1.28 * np.sqrt(k) + 2.28, k - 1.28 * np.sqrt(k)
        return bool(upper < config.min_rate * n or (general and lower <= config.min_rate * n))

    of_shop = is_once(False, k.sum(), n.sum())
    for item in range(len(dataset.items)):
        alike = np.flatnonzero(types == types[item]).tolist() if types[item] >= 0 else []
        of_type = [gap for other in alike for gap in gaps[other]]
        level = (low(of_type) * len(of_type) + s * low(every)) / (len(of_type) + s) if alike else low(every)
        days = np.exp((low(gaps[item]) * len(gaps[item]) + s * level) / (len(gaps[item]) + s)) if every else 0.0
        days = days if days >= MIN_REGULARITY * model.interval_days[item] else 0.0
        general = is_once(of_shop, k[alike].sum(), n[alike].sum()) if alike else of_shop
        expected = NEVER_DAYS if is_once(general, k[item], n[item]) else days
        assert model.rest.days[item] == pytest.approx(expected, rel=1e-4)


def test_catalogs_without_events_have_no_rest() -> None:
    rest = _fit(dataset_of([], CATALOG)).rest
    assert (rest.days == 0).all()
    assert not rest.is_durable_type.any()
