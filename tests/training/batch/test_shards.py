from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.core.errors import DataError
from recsys.pipeline.recommender import Recommender
from training.batch.run import ShardCounts
from training.batch.shards import BatchRequest, Shard, ShardWriter


@pytest.fixture
def writer(shop_models: Path) -> ShardWriter:
    recommender = Recommender.open(shop_models)
    return ShardWriter(recommender, BatchRequest(limit=3), recommender.latest)


def test_a_shard_is_one_file(writer: ShardWriter, tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    counts = writer.write(Shard(4, ("u010", "nobody", "u011"), path))
    assert counts == ShardCounts(4, items=9, fallbacks=1, empty=0, erased=0)
    assert [json.loads(line)["user_id"] for line in path.read_text().splitlines()] == ["u010", "nobody", "u011"]


def test_items_have_lists_and_unknown_ones_the_fallback(writer: ShardWriter, tmp_path: Path) -> None:
    of_items = replace(writer, request=BatchRequest("similar", 3, subject="item"))
    counts = of_items.write(Shard(0, ("phone-1", "no such item"), tmp_path / "a.parquet"))
    assert (counts.items, counts.fallbacks) == (6, 1)
    assert not of_items.is_erased("phone-1")


def test_an_error_names_the_user_and_leaves_no_file(writer: ShardWriter, tmp_path: Path) -> None:
    broken = replace(writer, request=BatchRequest("no such list"))
    with pytest.raises(DataError, match=r"no list can be made for user 'u010' .*'no such list' is not a placement"):
        broken.write(Shard(0, ("u010",), tmp_path / "a.ndjson"))
    assert list(tmp_path.iterdir()) == []
