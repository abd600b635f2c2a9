from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError, DataError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.assignment import variant_of
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import ramp, start
from recsys.planner.plan_file import read_plan_file
from recsys.planner.planner import PLAN_COLUMNS
from tests.recsys.experiments.files import write_experiments
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY, copied_models
from training.batch import BatchPlan
from training.planning import PlanRequest, write_plan

SETTINGS = 'lists = ["buy_again", "for_you"]\nholdout = 0.5\n[calibration]\nusers = 20\nweeks = 1\n'
BATCH = BatchPlan(n_processes=1, shard_size=20)


class InterruptionError(Exception):
    """An interruption of a job."""


@pytest.fixture
def request_(shop_models: Path, tmp_path: Path) -> PlanRequest:
    models = tmp_path / "models"
    copied_models(shop_models, models)
    plan = tmp_path / "plan.toml"
    plan.write_text(SETTINGS)
    return PlanRequest(models, plan)


def read(out: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(out.glob("messages-*.parquet"))])


@contextmanager
def stopping(what: str, n_done: int) -> Iterator:
    def stop(done: int, total: int) -> None:
        if what == "shoppers" and done >= n_done:
            raise InterruptionError

    yield stop


def test_a_plan_in_shards(request_: PlanRequest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = write_plan(request_, out, BATCH)
    rows = read(out)
    assert rows.schema == pl.Schema(PLAN_COLUMNS)
    assert (report.messages, report.shards, report.kept_shards) == (len(rows), 4, 0)
    assert report.held_out == rows.filter("is_holdout")["user_id"].n_unique() > 5
    assert report.without_message == report.shoppers - rows["user_id"].n_unique()
    assert report.unrecorded_consent == ("push",)
    assert (report.consent[0].rule, report.consent[0].without_value) == ("opt_out", report.shoppers)
    assert report.lists == ("buy_again", "for_you")
    assert json.loads((out / "run.json").read_text())["is_complete"]
    assert read_plan_file(out / "plan.json").lists == ("buy_again", "for_you")
    assert OPTED_OUT not in set(rows["user_id"])


def test_an_interrupted_plan_has_neither_doubles_nor_gaps(request_: PlanRequest, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    write_plan(request_, whole, BATCH)
    with pytest.raises(InterruptionError):
        write_plan(request_, out, BATCH, lambda what: stopping(what, 40))
    assert len(list(out.glob("messages-*"))) == 2
    learned = (out / "plan.json").stat().st_mtime_ns
    report = write_plan(request_, out, BATCH)
    assert report.kept_shards == 2
    assert (out / "plan.json").stat().st_mtime_ns == learned
    assert read(out).equals(read(whole))


def test_two_processes_write_the_same(request_: PlanRequest, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_plan(request_, one, BATCH)
    write_plan(request_, two, BatchPlan(n_processes=2, shard_size=20))
    assert read(one).equals(read(two))


def test_ndjson_has_times_as_texts(request_: PlanRequest, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text("\n".join([*USERS_WITH_HISTORY[:2], OPTED_OUT]))
    out = tmp_path / "out"
    request = PlanRequest(request_.models, request_.plan, users)
    report = write_plan(request, out, BatchPlan(1, 10, "ndjson"))
    assert (report.shoppers, report.refused) == (3, 1)
    lines = [json.loads(line) for line in (out / "messages-000000.ndjson").read_text().splitlines()]
    assert {line["user_id"] for line in lines} == set(USERS_WITH_HISTORY[:2])
    assert lines[0].keys() == PLAN_COLUMNS.keys()
    assert lines[0]["send_at"].endswith(":00:00Z")


def test_messages_of_the_log_count(request_: PlanRequest, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text(USERS_WITH_HISTORY[0])
    request = PlanRequest(request_.models, request_.plan, users)
    write_plan(request, tmp_path / "before", BATCH)
    first = read(tmp_path / "before").row(0, named=True)
    body = {"user_id": first["user_id"], "event": "message_sent", "item_ids": first["item_ids"]}
    report = json.loads((tmp_path / "before" / "run.json").read_text())
    at = report["as_of"] - 3 * 86_400
    with closing(SqliteStore(request_.models / "store.sqlite")) as store:
        store.append([LogEntry("event", "m", at, at, body)])
    write_plan(request, tmp_path / "after", BATCH)
    assert not set(read(tmp_path / "after")["item_ids"].explode()) & set(first["item_ids"])


EXPERIMENT = """
[experiments.more.variants]
control = {}
five = {plan = {caps = {messages_per_week = 5, messages_per_list = 5}, lists = "buy_again"}}
"""


def test_each_shopper_is_planned_by_the_own_variant(request_: PlanRequest, tmp_path: Path) -> None:
    path = write_experiments(tmp_path, EXPERIMENT)
    change_state(path, start("more", "2026-11-01T00:00:00Z", 0.7))
    request = replace(request_, experiments=path)
    report = write_plan(request, tmp_path / "out", BATCH)
    rows = read(tmp_path / "out")
    running = read_experiments(path).as_running("more")
    assert rows["variant"].fill_null("").to_list() == [variant_of(running, user) for user in rows["user_id"]]
    assert set(rows["experiment"]) == {"more", None}
    sent = rows.filter(~pl.col("is_holdout"))
    assert report.variants == {
        "more": {name: sent.filter(pl.col("variant") == name)["user_id"].n_unique() for name in ("control", "five")}
    }
    write_plan(request_, tmp_path / "base", BATCH)
    changed = tmp_path / "five.toml"
    changed.write_text(
        SETTINGS.replace('["buy_again", "for_you"]', '"buy_again"')
        + "[caps]\nmessages_per_week = 5\nmessages_per_list = 5\n"
    )
    write_plan(replace(request_, plan=changed), tmp_path / "five", BATCH)
    planned_alone = {"": read(tmp_path / "base"), "five": read(tmp_path / "five")}
    for name, alone in ((None, ""), ("control", ""), ("five", "five")):
        mine = rows.filter(pl.col("variant").eq_missing(name))
        expected = planned_alone[alone].filter(pl.col("user_id").is_in(mine["user_id"].implode()))
        assert len(mine)
        assert mine.drop("experiment", "variant").equals(expected.drop("experiment", "variant"))


def test_an_interrupted_plan_of_variants_goes_on_with_what_it_has_learned(
    request_: PlanRequest, tmp_path: Path
) -> None:
    path = write_experiments(tmp_path, EXPERIMENT)
    change_state(path, start("more", "2026-11-01T00:00:00Z", 0.7))
    request, out = replace(request_, experiments=path), tmp_path / "out"
    with pytest.raises(InterruptionError):
        write_plan(request, out, BATCH, lambda what: stopping(what, 40))
    assert write_plan(request, out, BATCH).kept_shards == 2
    write_plan(request, tmp_path / "whole", BatchPlan(n_processes=2, shard_size=20))
    assert read(out).equals(read(tmp_path / "whole"))
    change_state(path, ramp("more", "2026-11-02T00:00:00Z", 0.9))
    assert write_plan(request, out, BATCH).kept_shards == 0, "other shoppers are in it"


def test_wrong_calls_are_refused(request_: PlanRequest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        write_plan(request_, tmp_path / "plan.parquet", BATCH)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").touch()
    with pytest.raises(ConfigError, match=r"precious\.txt"):
        write_plan(request_, other, BATCH)


def test_where_all_opted_out_this_is_said(
    request_: PlanRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.planning.job.plannable_users", lambda engine, live: [])
    with pytest.raises(DataError, match=r"all \d+ users of the bundle opted out of personalization or were erased"):
        write_plan(request_, tmp_path / "out", BATCH)
