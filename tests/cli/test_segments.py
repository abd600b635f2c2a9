"""`recsys segments`: the tables, the files and the page."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from recsys.core.schema import SEGMENTS
from tests.cli.conftest import Run
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY


def test_tables_and_json_count_the_same_users(recsys: Run, shop_models: Path) -> None:
    said = recsys("segments", "--models", shop_models)
    assert said.code == 0, said.err
    assert "life cycle" in said.out
    assert "churn (no order within 28 days) is predicted by" in said.out
    found = json.loads(recsys("segments", "--models", shop_models, "--json").out)
    assert sum(stage["n_users"] for stage in found["stages"]) == found["n_users"]
    assert f"{found['n_users']:,} users" in said.out
    assert found["churn"]["serves"]


def test_files_have_a_row_per_user(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    for name in ("s.parquet", "s.csv"):
        assert recsys("segments", "--models", shop_models, "--out", tmp_path / name).code == 0
    whole, flat = pl.read_parquet(tmp_path / "s.parquet"), pl.read_csv(tmp_path / "s.csv")
    assert dict(whole.schema) == {"user_id": pl.String(), **SEGMENTS}
    assert whole["user_id"].to_list() == flat["user_id"].to_list()
    assert set(USERS_WITH_HISTORY) <= set(whole["user_id"])
    assert OPTED_OUT not in set(whole["user_id"])
    joined = whole["interests"].list.join(" | ").replace("", None)
    assert flat["interests"].replace("", None).to_list() == joined.to_list()


def test_the_page_stands_alone(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert recsys("segments", "--models", shop_models, "--report", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_an_earlier_moment_has_fewer_orders(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    counts = []
    for moment in ("2024-04-01T00:00:00Z", "2024-06-01T00:00:00Z"):
        recsys("segments", "--models", shop_models, "--as-of", moment, "--out", tmp_path / "s.parquet")
        counts.append(pl.read_parquet(tmp_path / "s.parquet")["n_orders"].sum())
    assert 0 < counts[0] < counts[1]


def test_wrong_calls(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    said = recsys("segments", "--models", shop_models, "--out", tmp_path / "s.xlsx")
    assert said.code == 2
    assert "expected a file that ends in .parquet or .csv" in said.err
    assert recsys("segments", "--models", tmp_path).code == 2
