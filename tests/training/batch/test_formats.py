from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.request import Reason, Recommendations, RecommendedItem
from training.batch.formats import COLUMNS, FORMATS, format_of, recommendation_id
from training.batch.ids import Subject


class Words:
    def __init__(self, name: str) -> None:
        self.name = name

    def text(self, locale: str) -> str:
        return f"{self.name} ({locale})"


def response(*item_ids: str, reasons: int = 1) -> Recommendations:
    why = tuple(Reason(f"r{n}", Words(f"r{n}")) for n in range(reasons))
    items = tuple(RecommendedItem(id_, 1 / rank, rank, "als", why) for rank, id_ in enumerate(item_ids, 1))
    return Recommendations("for_you", "b1", items, False, (), 0.5, 8, "UTC")


LISTS = [("用户/一", response("茶", "b", reasons=2)), ("empty", response()), ("u3", response("b"))]


@pytest.mark.parametrize("subject", ["user", "item"])
def test_parquet_has_a_row_per_item(tmp_path: Path, subject: Subject) -> None:
    FORMATS["parquet"].write(LISTS, subject, str.upper, tmp_path / "a")
    rows = pl.read_parquet(tmp_path / "a")
    assert rows.schema == pl.Schema(COLUMNS[subject])
    assert rows[:, 0].to_list() == ["用户/一", "用户/一", "u3"]
    assert rows["item_id"].to_list() == ["茶", "b", "b"]
    assert rows["title"].to_list() == ["茶", "B", "B"]
    assert rows["rank"].to_list() == [1, 2, 1]
    assert rows["score"].to_list() == [1.0, 0.5, 1.0]
    assert rows["reasons"].to_list() == [["r0 (en)", "r1 (en)"], ["r0 (en)", "r1 (en)"], ["r0 (en)"]]
    assert rows["reasons_zh"].to_list()[2] == ["r0 (zh)"]
    assert rows["recommendation_id"].to_list() == [recommendation_id(*LISTS[n]) for n in (0, 0, 2)]


def test_ndjson_has_a_line_per_list(tmp_path: Path) -> None:
    FORMATS["ndjson"].write(LISTS, "item", str.upper, tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a").read_text(encoding="utf-8").splitlines()]
    assert [line["seed_id"] for line in lines] == ["用户/一", "empty", "u3"]
    assert [[item["title"] for item in line["items"]] for line in lines] == [["茶", "B"], [], ["B"]]
    assert lines[2]["items"][0]["reasons"] == [{"code": "r0", "text": "r0 (en)", "values": {}, "text_zh": "r0 (zh)"}]
    assert lines[0]["recommendation_id"] == recommendation_id(*LISTS[0])


@pytest.mark.parametrize("name", ["parquet", "ndjson"])
def test_joined_files_are_those_of_all_lists(tmp_path: Path, name: str) -> None:
    form = FORMATS[name]
    parts = [tmp_path / f"{n}.{name}" for n in range(3)]
    for part, lists in zip(parts, (LISTS[:1], LISTS[1:2], LISTS[2:]), strict=True):
        form.write(lists, "user", str.upper, part)
    form.write(LISTS, "user", str.upper, tmp_path / "whole")
    form.join(parts, tmp_path / "joined")
    if name == "ndjson":
        assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    else:
        assert pl.read_parquet(tmp_path / "joined").equals(pl.read_parquet(tmp_path / "whole"))


def test_the_id_of_a_list_is_that_of_its_content() -> None:
    ids = {
        recommendation_id("u", response("a", "b")),
        recommendation_id("v", response("a", "b")),
        recommendation_id("u", response("b", "a")),
    }
    assert len(ids) == 3
    assert recommendation_id("u", response("a", "b")) in ids


def test_formats_are_found_by_name_and_suffix() -> None:
    assert format_of(".PARQUET").suffix == format_of("parquet").suffix == "parquet"
    assert format_of(".jsonl") is format_of("ndjson")
    with pytest.raises(ConfigError, match="'csv' is unknown: choose from parquet, ndjson, jsonl"):
        format_of("csv")
