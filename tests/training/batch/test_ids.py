from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import DataError
from training.batch.ids import read_ids


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "txt"])
def test_users_come_in_any_form_each_once(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"users.{ending}"
    frame = pl.DataFrame({"user_id": ["用户/一", "b", "用户/一", None, ""]})
    if ending == "csv":
        path.write_text("﻿user_id,tier\n用户/一,1\nb,2\n用户/一,3\n", encoding="utf-8")
    elif ending == "txt":
        path.write_text("﻿用户/一\r\nb\r\n\r\n用户/一", encoding="utf-8", newline="")
    elif ending == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
    assert read_ids(path, "user") == ["用户/一", "b"]


def test_numbers_are_ids_too(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    pl.DataFrame({"user_id": [12, 7]}).write_parquet(path)
    assert read_ids(path, "user") == ["12", "7"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("users.txt", b"", "has no user"),
        ("users.txt", b"\xd3\xc3", "cannot be read"),
        ("users.csv", b"", "empty"),
        ("users.csv", b"id\n1\n", "'user_id' is missing"),
        ("users.parquet", b"PAR1", "."),
    ],
)
def test_bad_users_are_one_clear_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_ids(path, "user")


def test_items_have_a_column_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id\n茶/1\nb\n", encoding="utf-8")
    assert read_ids(path, "item") == ["茶/1", "b"]
    with pytest.raises(DataError, match="'user_id' is missing"):
        read_ids(path, "user")
