from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import BundleError, ConfigError, DataError, RecsysError, RequestError
from recsys.core.request import Request
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.pipeline.recommender import Recommender
from tests.shop import ODD_USERS, PHONES
from training.batch import BatchPlan, BatchRequest, batch_recommend
from training.batch.formats import COLUMNS
from training.batch.ids import Subject
from training.batch.run import RUN

USERS = [*ODD_USERS, "u010", "nobody knows me"]
SMALL = BatchPlan(n_processes=1, shard_size=2)


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.txt"
    path.write_text("\n".join(USERS) + "\n", encoding="utf-8")
    return path


def lines_of(*paths: Path) -> list[dict]:
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


class InterruptionError(Exception):
    """An interruption of a job."""


def after(n_lists: int):
    def stop(done: int, total: int) -> None:
        if done >= n_lists:
            raise InterruptionError

    return stop


def test_parquet_has_the_lists_that_recommend_gives(shop_models: Path, users_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    report = batch_recommend(shop_models, users_file, out, BatchRequest("for_you", 7))
    rows = pl.read_parquet(out)
    assert rows.schema == pl.Schema(COLUMNS["user"])
    single = Recommender.open(shop_models)
    for user_id, expected in zip(USERS, single.recommend(USERS, limit=7), strict=True):
        own = rows.filter(user_id=user_id)
        assert own["item_id"].to_list() == [item.item_id for item in expected]
        assert own["title"].to_list() == [single.title(item.item_id) for item in expected]
        assert own["rank"].to_list() == list(range(1, len(expected) + 1))
        assert own["reasons"].to_list() == [[reason.text for reason in item.reasons] for item in expected]
        assert own["reasons_zh"].to_list() == [[reason.text_zh for reason in item.reasons] for item in expected]
    assert (report.users, report.items, report.fallbacks) == (len(USERS), rows.height, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.parquet", "users.txt"]


@pytest.mark.parametrize(
    ("placement", "subject", "n_processes"),
    [
        *((name, "user", 1) for name in ("for_you", "discover", "long_tail", "time_of_day", "buy_again", "popular")),
        *((name, "item", 1) for name in ("similar", "complementary", "bought_together", "viewed_together")),
        ("for_you", "user", 2),
        ("similar", "item", 2),
    ],
)
def test_lists_equal_those_of_single_requests(
    shop_models: Path, tmp_path: Path, placement: str, subject: Subject, n_processes: int
) -> None:
    single = Recommender.open(shop_models)
    engine = single.engine
    known = engine.users.ids if subject == "user" else engine.items.ids
    ids = [*known[:40], "nobody knows me"]
    (tmp_path / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
    out = tmp_path / "lists.ndjson"
    plan = BatchPlan(n_processes, shard_size=15)
    batch_recommend(shop_models, tmp_path / "ids.txt", out, BatchRequest(placement, 8, subject=subject), plan)
    lines = lines_of(out)
    assert [line["user_id" if subject == "user" else "seed_id"] for line in lines] == ids
    for id_, line in zip(ids, lines, strict=True):
        user_id, item_ids = (id_, ()) if subject == "user" else (None, (id_,))
        expected = single.recommend_for(Request(placement, single.latest, 8, user_id, item_ids))
        assert [item["item_id"] for item in line["items"]] == [item.item_id for item in expected.items]
        scores = [item.score for item in expected.items]
        assert [item["score"] for item in line["items"]] == pytest.approx(scores, rel=1e-6)
        assert [item["source"] for item in line["items"]] == [item.source for item in expected.items]
        assert line["fallback_used"] == expected.fallback_used


def test_ndjson_has_a_line_a_user_in_their_order(shop_models: Path, users_file: Path, tmp_path: Path) -> None:
    out, counts = tmp_path / "lists.ndjson", []
    batch_recommend(
        shop_models, users_file, out, BatchRequest("long_tail", 5), SMALL, lambda *count: counts.append(count)
    )
    lines = lines_of(out)
    assert [line["user_id"] for line in lines] == USERS
    assert [line["fallback_used"] for line in lines] == [False] * (len(USERS) - 1) + [True]
    assert all(item["reasons"][0]["text_zh"] and item["title"] for line in lines for item in line["items"])
    assert counts == [(0, 7), (2, 7), (4, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("ending", ["parquet", "ndjson"])
def test_the_file_does_not_depend_on_shards_and_processes(
    shop_models: Path, users_file: Path, tmp_path: Path, ending: str
) -> None:
    plans = {"one": BatchPlan(1), "many": SMALL, "two": BatchPlan(2, shard_size=3)}
    outs = [tmp_path / f"{name}.{ending}" for name in plans]
    for out, plan in zip(outs, plans.values(), strict=True):
        batch_recommend(shop_models, users_file, out, BatchRequest(), plan)
    if ending == "ndjson":
        assert len({out.read_bytes() for out in outs}) == 1
    else:
        assert all(pl.read_parquet(outs[0]).equals(pl.read_parquet(out)) for out in outs)


@pytest.mark.parametrize("file_format", ["parquet", "ndjson", None])
def test_a_folder_has_the_shards(shop_models: Path, users_file: Path, tmp_path: Path, file_format: str | None) -> None:
    out = tmp_path / "lists"
    report = batch_recommend(shop_models, users_file, out, BatchRequest(), replace(SMALL, file_format=file_format))
    suffix = file_format or "parquet"
    shards = sorted(out.glob(f"*.{suffix}"))
    assert len(shards) == report.shards == 4
    found = (
        [line["user_id"] for line in lines_of(*shards)]
        if suffix == "ndjson"
        else pl.read_parquet(out / "*.parquet")["user_id"].unique(maintain_order=True).to_list()
    )
    assert found == USERS
    assert json.loads((out / RUN).read_text())["is_complete"]


@pytest.mark.parametrize("name", ["lists.ndjson", "lists.parquet", "folder"])
def test_an_interrupted_job_continues_where_it_stopped(
    shop_models: Path, users_file: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "whole").mkdir()
    whole, out = tmp_path / "whole" / name, tmp_path / name
    batch_recommend(shop_models, users_file, whole, BatchRequest(), SMALL)
    with pytest.raises(InterruptionError):
        batch_recommend(shop_models, users_file, out, BatchRequest(), SMALL, after(4))
    counts: list[tuple[int, int]] = []
    report = batch_recommend(shop_models, users_file, out, BatchRequest(), SMALL, lambda *count: counts.append(count))
    assert (report.kept_shards, report.shards) == (2, 4)
    assert counts == [(4, 7), (6, 7), (7, 7)]
    assert (report.users, report.items) == (7, sum(len(line) for line in _items(out)))
    assert _items(out) == _items(whole)
    again = batch_recommend(shop_models, users_file, out, BatchRequest(), SMALL)
    assert again.kept_shards == 0, "a finished run is not continued"


def _items(out: Path) -> list[list[str]]:
    paths = sorted(out.glob("lists-*")) if out.is_dir() else [out]
    if paths[0].suffix == ".ndjson":
        return [[item["item_id"] for item in line["items"]] for line in lines_of(*paths)]
    rows = pl.concat([pl.read_parquet(path) for path in paths])
    return rows.group_by("user_id", maintain_order=True).agg("item_id")["item_id"].to_list()


@pytest.mark.parametrize(
    ("request_", "plan"),
    [
        (BatchRequest("discover"), SMALL),
        (BatchRequest(limit=3), SMALL),
        (BatchRequest(context={"region": "上海"}), SMALL),
        (BatchRequest(), replace(SMALL, shard_size=3)),
        (BatchRequest(), replace(SMALL, resumes=False)),
    ],
)
def test_shards_of_another_run_are_not_kept(
    shop_models: Path, users_file: Path, tmp_path: Path, request_: BatchRequest, plan: BatchPlan
) -> None:
    out = tmp_path / "lists.ndjson"
    with pytest.raises(InterruptionError):
        batch_recommend(shop_models, users_file, out, BatchRequest(), SMALL, after(4))
    assert batch_recommend(shop_models, users_file, out, request_, plan).kept_shards == 0
    assert [line["user_id"] for line in lines_of(out)] == USERS


def test_an_interrupted_job_continues_at_its_moment_and_without_users_who_were_erased(
    shop_models: Path, users_file: Path, tmp_path: Path
) -> None:
    out, log_path = tmp_path / "lists.ndjson", tmp_path / "store.sqlite"
    with closing(SqliteStore(log_path)) as log:
        request = BatchRequest(live_log=log_path)
        with pytest.raises(InterruptionError):
            batch_recommend(shop_models, users_file, out, request, SMALL, after(4))
        first = Recommender.open(shop_models, live_log=log_path).latest
        event = {"event": "purchase", "user_id": USERS[3], "item_id": PHONES[0]}
        log.append([LogEntry("event", None, first + 60, first + 60, event)])
        log.erase([USERS[1]], 4e9)
        report = batch_recommend(shop_models, users_file, out, request, SMALL)
    assert (report.as_of, report.kept_shards, report.erased) == (first, 1, 1)
    assert [line["user_id"] for line in lines_of(out)] == [USERS[0], *USERS[2:]]


def test_nobody_has_a_list_and_the_file_is_still_whole(
    shop_models: Path, users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Recommender.recommend_batch
    monkeypatch.setattr(
        Recommender, "recommend_batch", lambda *words: (replace(found, items=()) for found in answer(*words))
    )
    report = batch_recommend(shop_models, users_file, tmp_path / "lists.parquet", BatchRequest())
    assert (report.items, report.empty) == (0, len(USERS))
    assert pl.read_parquet(tmp_path / "lists.parquet").schema == pl.Schema(COLUMNS["user"])


@pytest.mark.parametrize(
    ("request_", "out", "plan", "error", "words"),
    [
        (BatchRequest("complementary"), "o.parquet", BatchPlan(), RequestError, "a list for an item"),
        (BatchRequest(subject="item"), "o.parquet", BatchPlan(), RequestError, "not a list for an item"),
        (BatchRequest("nonsense"), "o.parquet", BatchPlan(), RequestError, "not a placement"),
        (BatchRequest(limit=101), "o.ndjson", BatchPlan(), RequestError, "out of range"),
        (BatchRequest(), "o.csv", BatchPlan(), ConfigError, "choose from parquet"),
        (BatchRequest(), "nowhere/o.parquet", BatchPlan(), ConfigError, "does not exist"),
        (BatchRequest(), "o.ndjson", BatchPlan(file_format="parquet"), ConfigError, "--format"),
        (BatchRequest(), "o", BatchPlan(file_format="csv"), ConfigError, "'csv' is unknown"),
        (BatchRequest(), "o.ndjson", BatchPlan(n_processes=0), ConfigError, "--workers"),
        (BatchRequest(), "o.ndjson", BatchPlan(shard_size=0), ConfigError, "--shard-size"),
    ],
)
def test_a_wrong_call_writes_nothing(
    shop_models: Path,
    users_file: Path,
    tmp_path: Path,
    request_: BatchRequest,
    out: str,
    plan: BatchPlan,
    error: type[RecsysError],
    words: str,
) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(error, match=words):
        batch_recommend(shop_models, users_file, tmp_path / out, request_, plan)
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_with_other_files_stays_as_it_is(shop_models: Path, users_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"other files, such as 'letter\.txt'"):
        batch_recommend(shop_models, users_file, out, BatchRequest())
    assert [path.name for path in out.iterdir()] == ["letter.txt"]


def test_a_job_that_fails_leaves_the_file_that_was_there(shop_models: Path, users_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.ndjson"
    out.write_text("yesterday's\n")
    with pytest.raises(InterruptionError):
        batch_recommend(shop_models, users_file, out, BatchRequest(), SMALL, after(6))
    assert out.read_text() == "yesterday's\n"


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_error_names_the_user(shop_models: Path, users_file: Path, tmp_path: Path, n_processes: int) -> None:
    """A filter of the placement reads a value of the context that does not fit its column; any shard may fail first."""
    placements = tmp_path / "placements.toml"
    placements.write_text('[placements.for_you]\nfilter = "price < context.most"\n', encoding="utf-8")
    request = BatchRequest(placements=placements, context={"most": "dear"})
    with pytest.raises(DataError, match=r"no list can be made for user '.*context") as caught:
        batch_recommend(
            shop_models,
            users_file,
            tmp_path / "o.ndjson",
            request,
            BatchPlan(n_processes, shard_size=len(USERS) // n_processes),
        )
    assert any(repr(user_id) in str(caught.value) for user_id in USERS)


def test_no_bundle_is_said(users_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no current bundle"):
        batch_recommend(tmp_path, users_file, tmp_path / "o.parquet", BatchRequest())


def test_an_erased_user_has_no_list_and_a_sold_out_item_is_in_none(
    shop_models: Path, users_file: Path, tmp_path: Path
) -> None:
    """Also if it happens while the job runs."""
    out, log_path = tmp_path / "lists.ndjson", tmp_path / "store.sqlite"
    request = BatchRequest("for_you", 5)
    batch_recommend(shop_models, users_file, out, request, SMALL)
    sold_out = lines_of(out)[4]["items"][0]["item_id"]

    with closing(SqliteStore(log_path)) as log:
        log.erase([USERS[0]], 4e9)

        def later(done: int, total: int) -> None:
            if done >= 4 and log.last_seq() == 1:
                log.append([LogEntry("item_patch", sold_out, 4e9, 4e9, {"available": False})])
                log.erase([USERS[5]], 4e9)

        report = batch_recommend(shop_models, users_file, out, replace(request, live_log=log_path), SMALL, later)
    lines = lines_of(out)
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
