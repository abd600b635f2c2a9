from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import BundleError, ConfigError, DataError, RecsysError, RequestError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.pipeline.recommender import Recommender
from tests.shop import ODD_USERS
from training import batch as module
from training.batch import COLUMNS, BatchRequest, batch_recommend, read_user_ids

USERS = [*ODD_USERS, "u010", "nobody knows me"]


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.txt"
    path.write_text("\n".join(USERS) + "\n", encoding="utf-8")
    return path


def test_parquet_has_the_lists_that_recommend_gives(shop_models: Path, users_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    report = batch_recommend(shop_models, users_file, out, BatchRequest("for_you", 7))
    rows = pl.read_parquet(out)
    assert rows.schema == pl.Schema(COLUMNS)
    for user_id, expected in zip(USERS, Recommender.open(shop_models).recommend(USERS, limit=7), strict=True):
        own = rows.filter(user_id=user_id)
        assert own["item_id"].to_list() == [item.item_id for item in expected]
        assert own["rank"].to_list() == list(range(1, len(expected) + 1))
        assert own["reasons"].to_list() == [[reason.text for reason in item.reasons] for item in expected]
    assert (report.users, report.items, report.fallbacks) == (len(USERS), rows.height, 1)


def test_ndjson_has_a_line_a_user_in_their_order(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    out, shares = tmp_path / "lists.ndjson", []
    batch_recommend(
        shop_models, users_file, out, BatchRequest("long_tail", 5), lambda stage, share=0.0: shares.append(share)
    )
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["user_id"] for line in lines] == USERS
    assert [line["fallback_used"] for line in lines] == [False] * (len(USERS) - 1) + [True]
    assert all(item["reasons"][0]["text"] for line in lines for item in line["items"])
    assert shares == sorted(shares)
    assert len(shares) == 5


def test_chunks_of_parquet_are_one_file(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_recommend(shop_models, users_file, tmp_path / "one.parquet", BatchRequest())
    monkeypatch.setattr(module, "CHUNK", 2)
    batch_recommend(shop_models, users_file, tmp_path / "many.parquet", BatchRequest())
    assert pl.read_parquet(tmp_path / "one.parquet").equals(pl.read_parquet(tmp_path / "many.parquet"))


def test_nobody_has_a_list_and_the_file_is_still_whole(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Recommender.recommend_for
    monkeypatch.setattr(Recommender, "recommend_for", lambda self, request: replace(answer(self, request), items=()))
    report = batch_recommend(shop_models, users_file, tmp_path / "lists.parquet", BatchRequest())
    assert (report.items, report.empty) == (0, len(USERS))
    assert pl.read_parquet(tmp_path / "lists.parquet").schema == pl.Schema(COLUMNS)


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
    assert read_user_ids(path) == ["用户/一", "b"]


def test_numbers_are_ids_too(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    pl.DataFrame({"user_id": [12, 7]}).write_parquet(path)
    assert read_user_ids(path) == ["12", "7"]


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
        read_user_ids(path)


@pytest.mark.parametrize(
    ("request_", "out", "error", "words"),
    [
        (BatchRequest("complementary"), "o.parquet", RequestError, "a list for an item"),
        (BatchRequest("nonsense"), "o.parquet", RequestError, "not a placement"),
        (BatchRequest(limit=101), "o.ndjson", RequestError, "out of range"),
        (BatchRequest(), "o.csv", ConfigError, "expected one of .parquet"),
        (BatchRequest(), "nowhere/o.parquet", ConfigError, "does not exist"),
    ],
)
def test_a_wrong_call_writes_nothing(
    shop_models: Path,
    users_file: Path,
    tmp_path: Path,
    request_: BatchRequest,
    out: str,
    error: type[RecsysError],
    words: str,
) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(error, match=words):
        batch_recommend(shop_models, users_file, tmp_path / out, request_)
    assert set(tmp_path.rglob("*")) == before


def test_a_job_that_fails_leaves_the_file_that_was_there(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lists.ndjson"
    out.write_text("yesterday's\n")
    monkeypatch.setattr(module, "CHUNK", 2)

    def fail_late(stage: str, share: float = 0.0) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_recommend(shop_models, users_file, out, BatchRequest(), fail_late)
    assert out.read_text() == "yesterday's\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.ndjson", "users.txt"]


def test_no_bundle_is_said(users_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no current bundle"):
        batch_recommend(tmp_path, users_file, tmp_path / "o.parquet", BatchRequest())


def test_an_erased_user_has_no_list_and_a_sold_out_item_is_in_none(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it happens while the job runs."""
    monkeypatch.setattr(module, "CHUNK", 2)
    out, log_path = tmp_path / "lists.ndjson", tmp_path / "store.sqlite"
    request = BatchRequest("for_you", 5)
    batch_recommend(shop_models, users_file, out, request)
    sold_out = json.loads(out.read_text(encoding="utf-8").splitlines()[4])["items"][0]["item_id"]

    with closing(SqliteStore(log_path)) as log:
        log.erase([USERS[0]], 4e9)

        def later(stage: str, share: float = 0.0) -> None:
            if share > 0.5 and log.last_seq() == 1:
                log.append([LogEntry("item_patch", sold_out, 4e9, 4e9, {"available": False})])
                log.erase([USERS[5]], 4e9)

        report = batch_recommend(shop_models, users_file, out, replace(request, live_log=log_path), later)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["user_id"] for line in lines] == [*USERS[1:5], USERS[6]]
    assert (report.users, report.erased) == (len(USERS), 2)
    assert sold_out not in {item["item_id"] for line in lines[3:] for item in line["items"]}


def test_each_list_has_an_id_that_stays_as_long_as_the_list(
    shop_models: Path, users_file: Path, tmp_path: Path
) -> None:
    for name in ("one.ndjson", "two.ndjson", "lists.parquet"):
        batch_recommend(shop_models, users_file, tmp_path / name, BatchRequest("for_you", 5))
    one, two = ((tmp_path / name).read_text(encoding="utf-8") for name in ("one.ndjson", "two.ndjson"))
    assert one == two
    ids = [json.loads(line)["recommendation_id"] for line in one.splitlines()]
    assert len(set(ids)) == len(USERS)
    found = pl.read_parquet(tmp_path / "lists.parquet")["recommendation_id"].unique(maintain_order=True)
    assert found.to_list() == ids
