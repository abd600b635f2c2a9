"""The invented shop in Spark, started once: two executors in this machine, and small parts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.fitting.engine import EngineConfig
from tests.shop import TIMEZONE, ShopTables, small_config
from training.source import TrainingData
from training.spark.config import SparkConfig
from training.spark.parts import SparkParts
from training.spark.shop import spark_source

MASTER = "local[2]"
SPARK = SparkConfig(part_events=2500, driver_memory_mb=1024)


@pytest.fixture(scope="session")
def spark_config() -> EngineConfig:
    """Few sweeps, and no rankers: what is compared follows from the counts of the whole shop."""
    config = small_config()
    return replace(
        config,
        als=replace(config.als, n_iterations=2),
        ranker=replace(config.ranker, enabled=False),
        blend=replace(config.blend, enabled=False),
    )


@pytest.fixture(scope="session")
def shop_folder(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the invented shop."""
    folder = tmp_path_factory.mktemp("tables")
    for name in ("events", "items", "users"):
        getattr(shop_tables, name).write_parquet(folder / f"{name}.parquet")
    info = {"schema_version": 1, "timezone": TIMEZONE, "fingerprint": "shop", "rows": {}}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


QUICK = (
    "spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage false",
    "spark.sql.codegen.factoryMode NO_CODEGEN",
    "spark.sql.adaptive.enabled false",
)
"""Settings of Spark for a few small jobs: less is compiled, and jobs have fewer stages."""


@pytest.fixture(scope="session")
def spark_data(shop_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingData]:
    """The same, opened in Spark; PySpark warns that pandas, which no code here uses, is newer than it knows."""
    defaults = tmp_path_factory.mktemp("conf")
    (defaults / "spark-defaults.conf").write_text("\n".join(QUICK), encoding="utf-8")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("SPARK_CONF_DIR", str(defaults))
        with spark_source(MASTER, SPARK)(shop_folder, tmp_path_factory.mktemp("spark")) as data:
            yield data


@pytest.fixture(scope="session")
def spark_parts(spark_data: TrainingData) -> SparkParts:
    """Its parts."""
    assert isinstance(spark_data.parts, SparkParts)
    return spark_data.parts
