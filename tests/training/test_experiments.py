"""Jobs of experiments: the log with older tables, and the past as a baseline."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from recsys.core.schema import EVENTS
from recsys.eventlog.sqlite import SqliteStore
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start
from tests.recsys.experiments.files import definition, write_experiments
from tests.recsys.experiments.simulated_month import write_month
from tests.shop import ShopTables
from training.experiments import baseline_from_tables, load_log
from training.ingest.dataset_folder import write_folder

AT = "2026-11-01T00:00:00Z"
TEXT = "[experiments.calm.variants]\ncontrol = {}\nmixed = {placements.for_you = {diversity = 0.3}}\n"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = write_experiments(tmp_path, TEXT)
    change_state(path, start("calm", AT, 1.0))
    write_month(tmp_path / "store.sqlite", path, "calm", [1.0, 1.0], {"control": 0.1, "mixed": 0.1}, 200)
    assert read_experiments(path).running()
    return tmp_path / "store.sqlite"


@pytest.fixture
def shop_data(shop_tables: ShopTables, tmp_path: Path) -> Path:
    missing = [
        pl.lit(None, dtype).alias(name) for name, dtype in EVENTS.items() if name not in shop_tables.events.columns
    ]
    write_folder({"events": shop_tables.events.with_columns(missing)}, {}, "Asia/Shanghai", tmp_path / "shop")
    return tmp_path / "shop"


def test_tables_of_the_shop_join_the_log(store: Path, shop_data: Path) -> None:
    with closing(SqliteStore(store)) as log:
        alone, joined = load_log(log, "calm"), load_log(log, "calm", shop_data)
    assert joined.exposures.equals(alone.exposures)
    assert joined.actions.height > alone.actions.height


def test_the_past_of_the_shop_is_a_baseline(shop_data: Path) -> None:
    found = baseline_from_tables(shop_data, definition(primary="conversion"))
    assert 0 < found.value <= 1
    assert found.shoppers_per_day > 0
    assert found.days == 42
