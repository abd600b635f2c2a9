"""Names and defaults of the jobs' options, importable without the models."""

from __future__ import annotations

from typing import Final, Literal, get_args

GateMetricName = Literal["next_basket.recall@10", "next_basket.ndcg@10", "discovery.ndcg@20", "complements.hit_rate@10"]
GATE_METRIC_NAMES: Final[tuple[GateMetricName, ...]] = get_args(GateMetricName)
DEFAULT_GATE_METRIC: Final[GateMetricName] = "next_basket.recall@10"

PROTOCOL_NAMES: Final = (
    "next_basket",
    "rolling",
    "discovery",
    "complements",
    "time_of_day",
    "cold_items",
    "cold_users",
    "sessions",
    "item_sets",
)
"""Keys of `recsys.evaluation.protocols.PROTOCOLS`."""

DEFAULT_HOLDOUT_DAYS: Final = 28
DEFAULT_KEEP: Final = 5
