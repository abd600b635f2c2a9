"""The parts of a shop in Spark, against the whole shop in this process."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from recsys.data.catalog import read_catalog
from recsys.fitting.engine import EngineConfig
from recsys.fitting.parts import ACTS, WholeShop
from recsys.models.pairs.copurchase import CopurchaseConfig, OrderPairCounts, count_order_pairs
from recsys.models.temporal.popularity import PopularityCounts, count_popularity
from training.spark.parts import SparkParts


@pytest.fixture
def whole(spark_parts: SparkParts) -> WholeShop:
    return WholeShop(spark_parts.dataset)


def test_sums_over_parts_are_those_of_the_whole(
    spark_parts: SparkParts, whole: WholeShop, spark_config: EngineConfig
) -> None:
    assert len(spark_parts.n_users) > 2
    count = partial(count_popularity, config=spark_config.popularity, now=whole.dataset.end)
    mine, theirs = whole.total(count, PopularityCounts), spark_parts.total(count, PopularityCounts)
    for name, value in vars(mine).items():
        np.testing.assert_allclose(getattr(theirs, name), value, rtol=1e-9, err_msg=name)


def test_pairs_of_a_past_moment_are_those_of_the_whole(spark_parts: SparkParts, whole: WholeShop) -> None:
    cutoff = int(np.median(whole.dataset.events.timestamp))
    known = whole.dataset.until(cutoff)
    catalog = read_catalog(known.catalog)
    count = partial(count_order_pairs, catalog=catalog, config=CopurchaseConfig(), now=cutoff)
    mine = WholeShop(known).total(count, OrderPairCounts)
    theirs = spark_parts.until(known, cutoff).total(count, OrderPairCounts)
    assert mine.lines == theirs.lines
    assert mine.pairs.n_all == theirs.pairs.n_all
    assert (mine.pairs.count != theirs.pairs.count).nnz == 0
    assert (mine.follow_ups != theirs.follow_ups).nnz == 0
    np.testing.assert_allclose(theirs.pairs.weight.toarray(), mine.pairs.weight.toarray(), rtol=1e-5)


@pytest.mark.parametrize("latest", [None, 1, 700])
def test_spans_are_those_of_the_whole(spark_parts: SparkParts, whole: WholeShop, latest: int | None) -> None:
    assert spark_parts.span(ACTS, latest) == whole.span(ACTS, latest)
    assert spark_parts.span((), latest) == (0, 0)
