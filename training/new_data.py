"""The gate for new data, against the current bundle: how much of it there is, and what was learned from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from recsys.bundles.bundle import Manifest
from recsys.core.errors import DataError
from recsys.core.metrics import Interval
from training.gate import GateConfig, GateResult, skipped

NORMAL_95: Final = 1.96
LISTS: Final = {
    "next": "for_you",
    "new": "discover",
    "tail": "long_tail",
    "alike": "similar",
    "viewed": "viewed_together",
    "together": "bought_together",
    "pairs": "bought_together",
}
"""The list that each search for weights and each ranker is for."""

N_HELD_OUT: Final = 2
"""One of so many past requests of a ranker is held out."""


def refuse_collapse(rows: Mapping[str, int], current: Manifest, gate: GateConfig) -> None:
    """Refuse data that lost more than `GateConfig.max_shrink` of the events, users or items of the current bundle.

    Args:
        rows: number of events, users and items.
        current: of the current bundle.
        gate: the limits.

    Raises:
        DataError: naming what fell, and from what to what.
    """
    before: Mapping[str, int] = current.metrics.get("rows", {})
    fallen = [
        f"{name} fell from {before[name]:,} to {count:,} (-{1 - count / before[name]:.1%})"
        for name, count in rows.items()
        if before.get(name) and count < (1 - gate.max_shrink) * before[name]
    ]
    if fallen:
        raise DataError(
            f"{', '.join(fallen)}: more than the {gate.max_shrink:.0%} that gate.max_shrink allows against the current "
            f"bundle {current.version}, which goes on serving. Export the data again, or train with --accept-shrink"
        )


def judge_data(found: Mapping[str, Any], current: Manifest, gate: GateConfig, *, activate_worse: bool) -> GateResult:
    """Compare what lists reach on held-out requests of the new data with what they reached on those of the current one.

    Training measures both anyway: each on the latest past requests of its own data, by lists that have not seen them. A
    shop changes from day to day, so only a fall by more than `GateConfig.max_metric_fall` counts, and only one that is
    larger than chance: its 95 % interval is below zero. The variance of a metric of mean `m` in [0, 1] over `n`
    requests is at most `m(1 − m) / n`.

    Args:
        found: metrics of the training on the new data, as in the manifest.
        current: of the current bundle.
        gate: the limits.
        activate_worse: whether a worse bundle is activated anyway.

    Returns:
        The list that fell most; `skipped` where no list was measured by one metric on both.
    """
    before, now = measured_lists(current.metrics), measured_lists(found)
    names = [name for name in now if name in before]
    if not names:
        return skipped(f"no list was measured on held-out requests both for {current.version} and now")
    name = min(names, key=lambda each: now[each][0] / max(before[each][0], 1e-9))
    (was, n_before), (is_now, n_now) = before[name], now[name]
    errors = [_variance(was, n_before), _variance(is_now, n_now)]
    difference = _interval(is_now - was, sum(errors))
    is_worse = is_now < (1 - gate.max_metric_fall) * was and difference.high < 0
    figures = {
        "metric": name,
        "n_queries": n_now,
        "new": asdict(_interval(is_now, errors[1])),
        "current": asdict(_interval(was, errors[0])),
        "difference": asdict(difference),
        "data_of": current.version,
    }
    return GateResult("passed" if not is_worse else "overridden" if activate_worse else "refused", "", figures)


def measured_lists(metrics: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Return what lists reached on held-out requests, and the number of these, by name of the list and the metric.

    Args:
        metrics: of a training, as in the manifest: the searches for weights and the rankers.
    """
    found: dict[str, tuple[float, int]] = {}
    for name, search in metrics.get("blends", {}).items():
        found[f"{LISTS[name]} {search['metric']}"] = (search["orders"][search["order"]], search["n_held_out"])
    for name, ranker in metrics.get("rankers", {}).items():
        value = max(ranker["ndcg@10"], ranker["ndcg@10_of_blend"])
        if value:  # 0 where too few requests were there to hold any out
            found[f"{LISTS[name]} ndcg@10 of the ranker"] = (value, ranker["n_requests"] // N_HELD_OUT)
    return {name: (value, n_requests) for name, (value, n_requests) in found.items() if n_requests}


def _variance(mean: float, n_requests: int) -> float:
    return max(mean * (1 - mean), 0.0) / max(n_requests, 1)


def _interval(value: float, variance: float) -> Interval:
    half = NORMAL_95 * math.sqrt(variance)
    return Interval(value, value - half, value + half)
