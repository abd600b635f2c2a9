"""Tables small enough to check by eye, and the job that ingests them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.jobs import write_shop
from tests.shop import ShopTables, small_config
from training.evaluate import evaluate
from training.evaluation_report import EvaluationReport
from training.ingest.ingest import IngestConfig, InputFiles, ingest
from training.ingest.reports import IngestReport

NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def shop_data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented shop as a folder of tables; not to be written to."""
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


@pytest.fixture(scope="session")
def evaluated(shop_data: Path) -> EvaluationReport:
    """The evaluation of the invented shop, with all that a report can have."""
    return evaluate(shop_data, small_config(), with_curves=True)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def good() -> dict[str, Any]:
    """An event that keeps every rule."""
    return {"item_id": "i", "event": "purchase", "timestamp": "2024-05-01T08:00:00Z", "user_id": "u"}


@pytest.fixture
def events_file(tmp_path: Path) -> Callable[[Sequence[Mapping[str, Any]]], Path]:
    """Write rows as a CSV, so that nothing but text reaches the job."""

    def write(rows: Sequence[Mapping[str, Any]]) -> Path:
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in names}
        path = tmp_path / "events.csv"
        pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_csv(path)
        return path

    return write


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[IngestReport, Path]]:
    """Ingest with a limit that lets everything pass, unless told otherwise."""

    def job(config: IngestConfig | None = None, out: str = "out", **sources: Path) -> tuple[IngestReport, Path]:
        chosen = config or IngestConfig(max_reject_share=1.0)
        return ingest(InputFiles(**sources), chosen, tmp_path / out, NOW), tmp_path / out

    return job
