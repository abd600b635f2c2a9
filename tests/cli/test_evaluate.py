from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Run
from tests.jobs import write_shop
from tests.shop import ShopTables

SMALL = "[als]\nn_factors = 8\n[content]\nn_dimensions = 8\n"


@pytest.fixture(scope="module")
def data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


def test_a_table_a_question_and_the_files(recsys: Run, data: Path, tmp_path: Path) -> None:
    names = ("shop.toml", "figures.json", "lists.parquet", "report.html")
    settings, figures, lists, page = (tmp_path / name for name in names)
    settings.write_text(SMALL)
    words = ("--window", "tune", "--protocols", "rolling, complements", "--config", settings)
    said = recsys("evaluate", "--data", data, *words, "--json", figures, "--lists", lists, "--html", page)
    assert said.code == 0, said.err
    for told in ("rolling: for_you", "complements: complementary", "recall@10", "acc_hit_rate@10", "tune window: 2024"):
        assert told in said.out
    starred = [line for line in said.out.splitlines() if " * " in line]
    assert len(starred) == 3
    assert "rolling: for_you" in said.err
    assert set(json.loads(figures.read_text())) == {"rolling", "complements"}
    assert set(pl.read_parquet(lists)["protocol"].unique()) == {"rolling", "complements"}
    assert (tmp_path / "figures.about.json").is_file()
    assert (tmp_path / "lists.relevant.parquet").is_file()
    assert "bought_together" in page.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--protocols", "nonsense"), "is not a protocol"),
        (("--window", "future"), "expected one of report, tune"),
        (("--holdout-days", "400"), "holdout-days"),
        (("--json", "no/such/folder/f.json"), "its folder does not exist"),
        (("--html", "no/such/folder/f.html"), "its folder does not exist"),
    ],
)
def test_wrong_calls_leave_with_two(words: tuple[str, str], told: str, recsys: Run, data: Path) -> None:
    said = recsys("evaluate", "--data", data, *words)
    assert (said.code, told in said.err) == (2, True), said.err


def test_tables_that_are_not_there_are_a_wrong_call(recsys: Run, tmp_path: Path) -> None:
    assert recsys("evaluate", "--data", tmp_path).code == 2
