"""What the tests of every part share: the invented shop, its models on disk, and a slice of the demo's real data."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from hypothesis import Phase, settings
from threadpoolctl import threadpool_limits
from xdist.remote import Producer

from cli.app import INFORMATIVE
from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.core.errors import ConfigError
from recsys.core.schema import TABLES
from recsys.data.dataset import Dataset, build_dataset
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.ranking.fit import fit_engine
from tests.chinese_shop import small_dataset, small_tables
from tests.distribution import FileScheduling, place_of
from tests.shop import ShopTables, build_shop, small_config
from training import train as train_job
from training.demo_data import TIMEZONE, package_data, raw_tables

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("search", deadline=None, max_examples=500)
# A mutant that fails is killed: its example need not be made small.
phases = (Phase.explicit, Phase.generate)
settings.register_profile("mutation", deadline=None, derandomize=True, max_examples=25, phases=phases, database=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that take longest first."""
    items.sort(key=lambda item: place_of(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Share the tests among processes file by file."""
    return FileScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def threads() -> Iterator[None]:
    """One thread of linear algebra in each process of pytest-xdist: several would wait for those of the others.

    Without pytest-xdist, and in the servers and commands that tests start, there is one per processor, as for users.
    """
    with threadpool_limits(1) if "PYTEST_XDIST_WORKER" in os.environ else nullcontext():
        yield


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Commands set the levels of loggers for their process; a test leaves none behind."""
    yield
    for name in INFORMATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


N_HOUSEHOLDS = 250
HELD_OUT = timedelta(weeks=4)
MIN_LINES = 20


@pytest.fixture(scope="session")
def shop_tables() -> ShopTables:
    """The frames of the invented shop."""
    return build_shop()


@pytest.fixture(scope="session")
def shop_dataset(shop_tables: ShopTables) -> Dataset:
    """The invented shop."""
    return shop_tables.dataset()


@pytest.fixture(scope="session")
def shop_engine(shop_dataset: Dataset) -> Engine:
    """All models of the invented shop."""
    return fit_engine(shop_dataset, small_config())


SHARED_MODELS: Final[list[Path]] = []
"""Folders of bundles that tests of several files use."""


@pytest.fixture(scope="module", autouse=True)
def _without_live_log() -> Iterator[None]:
    """The tests of a file leave no live log beside the shared bundles: those of the next file would follow it."""
    yield
    for models in SHARED_MODELS:
        for path in models.glob("*.sqlite*"):
            path.unlink()


@pytest.fixture(scope="session")
def shop_models(shop_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one bundle of the invented shop, the current one; not to be written to."""
    models = tmp_path_factory.mktemp("models")
    created_at = datetime(2024, 7, 2, 12, tzinfo=UTC)
    manifest = write_bundle(shop_engine, models, Provenance(created_at, "shop", {}, ("invented",)))
    activate(models, manifest.version)
    SHARED_MODELS.append(models)
    return models


@pytest.fixture
def fitted(shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings take the fitted models of the same shop and settings: for tests of what the job does around the fit."""
    monkeypatch.setattr(train_job, "fit_engine", lambda *_, **__: shop_engine)


@pytest.fixture(scope="session")
def chinese_tables() -> dict[str, pl.DataFrame]:
    """The frames of the generated Chinese shop; see `tests.chinese_shop`."""
    return small_tables()


@pytest.fixture(scope="session")
def chinese_engine() -> Engine:
    """All models but the rankers of the generated Chinese shop."""
    return fit_models(small_dataset(), small_config())


@pytest.fixture(scope="session")
def demo_slice(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A year of some households of the demo's real data.

    Of the items, those that they bought a few times before the last four weeks: what the held-out weeks hold has no say
    in the choice.
    """
    try:
        package = package_data()
    except ConfigError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("demo")
    people = pl.read_parquet(package / "demographics.parquet").sort("household_id")
    people = people.gather_every(3).head(N_HOUSEHOLDS)
    lines = pl.scan_parquet(package / "transactions.parquet").join(
        people.lazy().select("household_id"), on="household_id", how="semi"
    )
    earlier = pl.col("transaction_timestamp") < pl.col("transaction_timestamp").max() - HELD_OUT
    often = lines.filter(earlier).group_by("product_id").len().filter(pl.col("len") >= MIN_LINES)
    few = {"transactions": lines.join(often, on="product_id", how="semi").collect(), "demographics": people}
    few["products"] = pl.read_parquet(package / "products.parquet").join(
        few["transactions"], on="product_id", how="semi"
    )
    for name, frame in few.items():
        frame.write_parquet(folder / f"{name}.parquet")
    tables = raw_tables(folder)
    events, items, users = (_whole(tables[name], TABLES[name]) for name in ("events", "items", "users"))
    return build_dataset(events, items, users, timezone=TIMEZONE)


def _whole(frame: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """The frame with every column of its schema, as ingest would write it."""
    return frame.with_columns(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in columns.items()
    )
