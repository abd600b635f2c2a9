"""Both engines give the same bundle: counts are equal, factors agree by their neighbors, and so do the lists."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recsys.bundles.bundle import read_bundle
from recsys.bundles.serialization import flatten
from recsys.core.request import Request
from recsys.fitting.engine import Engine, EngineConfig
from recsys.pipeline.recommend import recommend
from training.source import TrainingData, load_tables
from training.train import TrainReport, train

NOW = datetime(2024, 7, 2, 12, tzinfo=UTC)

ROUNDED = ("als.", "hybrid.vectors", "hybrid.similar", "ease.", "copurchase.", "sequence.")
"""Parts of a bundle with sums of numbers in single precision, whose order differs."""

Bundles = tuple[TrainReport, Engine, TrainReport, Engine]


@pytest.fixture(scope="module")
def bundles(
    shop_folder: Path, spark_data: TrainingData, spark_config: EngineConfig, tmp_path_factory: pytest.TempPathFactory
) -> Bundles:
    """The reports and the bundles of the single-machine engine and of Spark."""
    found: list[TrainReport | Engine] = []
    for name, source in (("one", load_tables), ("spark", lambda *_: nullcontext(spark_data))):
        models = tmp_path_factory.mktemp(name)
        report = train(shop_folder, models, spark_config, now=NOW, source=source)
        found += [report, read_bundle(models / report.version)[0]]
    return tuple(found)  # type: ignore[return-value]


def test_counts_histories_and_tables_are_equal(bundles: Bundles) -> None:
    report, one, of_spark, other = bundles
    assert report.rows == of_spark.rows
    assert report.version == of_spark.version, "the same data and configuration"
    first, second = flatten(one, skip=("index", "offers")), flatten(other, skip=("index", "offers"))
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert array.dtype == second.arrays[name].dtype, name
        assert array.shape == second.arrays[name].shape, name
        if not name.startswith(ROUNDED):
            np.testing.assert_allclose(second.arrays[name], array, rtol=1e-6, err_msg=name)
    assert first.values == second.values
    for name, table in first.tables.items():
        assert table.equals(second.tables[name]), name


def test_lists_of_items_are_equal_but_for_the_last_digits(bundles: Bundles) -> None:
    _, one, _, other = bundles
    for name in ("partners", "bought_together", "complementary"):
        mine, theirs = (getattr(engine.copurchase, name) for engine in (one, other))
        np.testing.assert_allclose(theirs.score[:], mine.score[:], rtol=1e-3, atol=1e-6)
        assert (theirs.item_idx[:] == mine.item_idx[:]).mean() >= 0.99, name
    for mine, theirs in ((one.sequence.around, other.sequence.around), (one.sequence.after, other.sequence.after)):
        np.testing.assert_array_equal(theirs.row_of, mine.row_of)
    np.testing.assert_allclose(np.sort(other.ease.weight), np.sort(one.ease.weight), atol=1e-5)


def test_factors_have_the_same_neighbors(bundles: Bundles) -> None:
    """The share of the ten nearest items of each item, by the factors, that both engines find."""
    _, one, _, other = bundles
    near = [_nearest(engine.als.item_factors[:], 10) for engine in (one, other)]
    found = np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(*near, strict=True)])
    assert found >= 0.99


def test_lists_of_users_are_the_same(bundles: Bundles) -> None:
    _, one, _, other = bundles
    shared = []
    for user_id in one.users.ids[:30]:
        request = Request(placement="for_you", user_id=user_id, limit=10, as_of=int(NOW.timestamp()))
        mine, theirs = ({each.item_id for each in recommend(engine, request).items} for engine in (one, other))
        shared.append(len(mine & theirs) / max(len(mine), 1))
    assert np.mean(shared) >= 0.97


def _nearest(factors: np.ndarray, k: int) -> np.ndarray:
    """The rows of the nearest items of each item with factors, (n, k)."""
    factors = factors[np.abs(factors).sum(axis=1) > 0]
    cosine = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    score = cosine @ cosine.T
    np.fill_diagonal(score, -np.inf)
    return np.argsort(-score, axis=1, kind="stable")[:, :k]
