from __future__ import annotations

from typing import get_args

from recsys.evaluation.protocols import PROTOCOLS
from training.choices import DEFAULT_GATE_METRIC, GATE_METRIC_NAMES, PROTOCOL_NAMES, GateMetricName
from training.gate import GATE_METRICS, GateConfig


def test_the_names_are_those_of_the_jobs() -> None:
    assert tuple(PROTOCOLS) == PROTOCOL_NAMES
    assert tuple(GATE_METRICS) == GATE_METRIC_NAMES == get_args(GateMetricName)
    assert GateConfig().metric == DEFAULT_GATE_METRIC
