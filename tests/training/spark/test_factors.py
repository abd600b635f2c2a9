"""ALS with the users in Spark, against the solver in one process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.fitting.engine import EngineConfig
from recsys.fitting.parts import WholeShop
from training.spark.factors import skip
from training.spark.parts import SparkParts


@pytest.mark.parametrize("n", [0, 1, 7, 128])
def test_a_generator_skips_as_many_numbers_as_it_would_draw(n: int) -> None:
    drawn, skipped = np.random.default_rng(5), np.random.default_rng(5)
    drawn.random(n, np.float32)
    skip(skipped, n)
    following = 4 + n % 2
    assert drawn.random(following, np.float32).tolist() == skipped.random(following, np.float32).tolist()


def test_factors_are_those_of_one_process(spark_parts: SparkParts, spark_config: EngineConfig) -> None:
    config = replace(spark_config.als, n_iterations=1)
    whole = WholeShop(spark_parts.dataset)
    rngs = (np.random.default_rng(3), np.random.default_rng(3))
    one, other = (parts.factors(config, rng, None) for parts, rng in zip((whole, spark_parts), rngs, strict=True))
    np.testing.assert_allclose(other.item_factors, one.item_factors, rtol=2e-3, atol=2e-4)
