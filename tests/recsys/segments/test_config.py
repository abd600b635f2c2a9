"""The settings of the segments in a settings file."""

from __future__ import annotations

import tomllib

import pytest

from recsys.core.errors import ConfigError
from training.config import TrainingConfig, parse_config, render_config


def test_limits_are_read_from_a_file() -> None:
    document = {"segments": {"life_cycle": {"lost_days": 365}, "rfm": {"recency_limits": [7, 30, 90]}}}
    found = parse_config(document).engine.segments
    assert found.life_cycle.lost_days == 365
    assert found.rfm.recency_limits == (7.0, 30.0, 90.0)
    assert parse_config(tomllib.loads(render_config(TrainingConfig()))) == TrainingConfig()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"life_cycle": {"lost_days": 0}}, "segments.life_cycle.lost_days"),
        ({"rfm": {"recency_limits": [30, 7]}}, "segments.rfm.recency_limits"),
        ({"value": {"top_share": 1.5}}, "segments.value.top_share"),
        ({"churn": {"n_cutoffs": 1}}, "segments.churn.n_cutoffs"),
    ],
)
def test_values_out_of_range_are_named(table: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_config({"segments": table})
