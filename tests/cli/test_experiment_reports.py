"""`recsys experiments`: analysis, rules and power, on the log of some days."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.outcomes import read_experiment_log, shopper_table
from recsys.experiments.state import read_experiments
from recsys.pipeline.recommender import Recommender
from tests.cli.conftest import Run
from tests.recsys.drafts.random_lists import write_random_lists
from tests.recsys.drafts.test_counterfactual import popular
from tests.recsys.experiments.files import write_experiments
from tests.recsys.experiments.simulated_month import write_month

TEXT = """
[experiments.calm]
promote_winner = true
min_shoppers = 100
[experiments.calm.variants]
control = {}
mixed = {placements.for_you = {diversity = 0.3}}
"""


@pytest.fixture
def file(recsys: Run, tmp_path: Path) -> Path:
    path = write_experiments(tmp_path, TEXT)
    assert recsys("experiments", "start", path, "calm", "--share", 1).code == 0
    return path


@pytest.fixture
def store(file: Path, tmp_path: Path) -> Path:
    write_month(tmp_path / "store.sqlite", file, "calm", [0.5, 1.0, 1.0], {"control": 0.1, "mixed": 0.17}, 300)
    return tmp_path / "store.sqlite"


def test_an_analysis_ends_with_a_verdict(recsys: Run, file: Path, store: Path) -> None:
    said = recsys("experiments", "analyze", file, "calm", "--store", store, "--daily")
    assert said.code == 0, said.err
    assert "Ship mixed: CTR is" in said.out
    assert "上线mixed" in said.out
    found = json.loads(recsys("experiments", "analyze", file, "calm", "--store", store, "--daily", "--json").out)
    assert found["verdict"]["decision"] == "ship"
    assert [row["day"] for row in found["daily"]] == [1, 2, 3]
    assert {each["metric"] for each in found["analysis"]["effects"]} >= {"ctr", "conversion"}


def test_shoppers_of_a_variant_that_the_file_lacks_are_counted(recsys: Run, file: Path, store: Path) -> None:
    sent = {"event": "message_sent", "user_id": "u", "item_ids": ["a"], "experiment": "calm", "variant": "mixd"}
    with closing(SqliteStore(store)) as log:
        log.append([LogEntry("event", None, 1.79e9, 1.79e9, sent)])
    said = recsys("experiments", "analyze", file, "calm", "--store", store)
    assert said.code == 0, said.err
    assert "1 shoppers do not count: their variant 'mixd' is not in the file of experiments" in said.err


def test_a_look_back(recsys: Run, file: Path, store: Path) -> None:
    words = ("experiments", "analyze", file, "calm", "--store", store)
    early = json.loads(recsys(*words, "--until", "2026-11-01T10:00:00Z", "--json").out)
    assert early["verdict"]["decision"] == "go_on"


def test_the_rules_promote_a_winner_and_undo_takes_it_back(recsys: Run, file: Path, store: Path) -> None:
    said = recsys("experiments", "apply", file, "calm", "--store", store)
    assert said.code == 0, said.err
    assert "calm: promote: Ship mixed" in said.err
    assert read_experiments(file).state("calm").winner == "mixed"
    again = recsys("experiments", "apply", file, "calm", "--store", store)
    assert "'calm' is promoted: the rules apply to a running experiment" in again.err
    assert recsys("experiments", "undo", file).code == 0
    assert read_experiments(file).running()


def test_power_from_the_log_and_from_given_figures(recsys: Run, file: Path, store: Path) -> None:
    found = json.loads(recsys("experiments", "power", file, "calm", "--store", store, "--json").out)
    assert found["baseline"]["shoppers_per_day"] == pytest.approx(300, rel=0.3)
    said = recsys("experiments", "power", file, "calm", "--shoppers-per-day", 3000, "--rate", 0.1, "--effect", 0.5)
    assert said.code == 0, said.err
    assert "a lift of +50.0% is to be found with 80%" in said.out
    assert "With no share" not in said.out
    said = recsys("experiments", "power", file, "calm", "--shoppers-per-day", 3, "--rate", 0.1)
    assert "With no share of shoppers is a lift of" in said.out
    assert "内都无法发现" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the past is not known"),
        (("--shoppers-per-day", 10), "either --rate or --variation"),
        (("--shoppers-per-day", 10, "--rate", 1.5), "--rate is 1.5"),
        (("--shoppers-per-day", -1, "--rate", 0.5), "--shoppers-per-day is -1"),
        (("--shoppers-per-day", 10, "--variation", 0), "--variation is 0"),
    ],
)
def test_wrong_plans(recsys: Run, file: Path, words: tuple[object, ...], message: str) -> None:
    said = recsys("experiments", "power", file, "calm", *words)
    assert said.code == 2
    assert message in said.err


def test_a_log_without_the_experiment_is_named(recsys: Run, file: Path, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "empty.sqlite").close()
    said = recsys("experiments", "analyze", file, "calm", "--store", tmp_path / "empty.sqlite")
    assert said.code == 2
    assert "has no list of experiment 'calm'" in said.err


LISTS = "[placements.popular]\nextends = 'popular'\nrotation = 0.6\nlimit = 4\n"
CHANGED = "[experiments.calm.variants]\ncontrol = {}\nplain = {placements.popular = {rotation = 0.4}}\n"


def test_a_variant_is_valued_before_it_serves(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    file, lists, store = write_experiments(tmp_path, CHANGED), tmp_path / "placements.toml", tmp_path / "store.sqlite"
    lists.write_text(LISTS, encoding="utf-8")
    recommender = Recommender.open(shop_models, lists)
    with closing(SqliteStore(store)) as log:
        write_random_lists(log, recommender, set(popular(recommender, 2)), 150)
    words = ("experiments", "counterfactual", file, "calm", "plain", "--models", shop_models, "--store", store)
    said = recsys(*words, "--placements", lists)
    assert said.code == 0, said.err
    assert "doubly_robust" in said.out
    assert "The changed popular would get" in said.out
    (found,) = json.loads(recsys(*words, "--placements", lists, "--json").out)
    assert found["counts"] == {"used": 150}
    refused = recsys(*words)
    assert refused.code == 0
    assert "No estimate: lists of popular are not drawn at random" in refused.out
    unknown = recsys("experiments", "counterfactual", file, "calm", "plan", "--models", shop_models, "--store", store)
    assert "'calm' has no variant 'plan' that changes a list: there are calm plain" in unknown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lift", "mixd=0.1"), "--lift is 'mixd=0.1': expected control=0.15 or mixed=0.15"),
        (("--lift", "mixed"), "--lift is 'mixed': expected control=0.15 or mixed=0.15"),
        (("--lift", "mixed=many"), "--lift is 'mixed=many'"),
        (("--lift", "mixed=99"), "for click probabilities up to 1"),
        (("--lift", "mixed=nan"), "for click probabilities up to 1"),
        (("--ctr", "nan"), "Invalid value for '--ctr'"),
    ],
)
def test_a_simulation_names_what_is_wrong(
    recsys: Run, file: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    said = recsys("experiments", "simulate", file, "calm", "--store", tmp_path / "s.sqlite", *words)
    assert said.code == 2
    assert message in said.err
    assert not (tmp_path / "s.sqlite").exists()


@pytest.mark.parametrize(("primary", "moved"), [("revenue_per_shopper", "orders"), ("average_order", "revenue")])
def test_a_lift_is_one_of_the_primary_metric(recsys: Run, tmp_path: Path, primary: str, moved: str) -> None:
    path = write_experiments(tmp_path, TEXT.replace("min_shoppers", f"primary = '{primary}'\nmin_shoppers"))
    recsys("experiments", "start", path, "calm", "--share", 1)
    store = tmp_path / "s.sqlite"
    words = ("--days", 1, "--shoppers-per-day", 3000, "--lift", "mixed=1", "--ctr", 1)
    said = recsys("experiments", "simulate", path, "calm", "--store", store, *words)
    assert said.code == 0, said.err
    with closing(SqliteStore(store)) as log:
        table = shopper_table(read_experiment_log(log, "calm"))
    sums = {
        str(name): part.select("clicks", "impressions", "orders", "revenue").sum().to_dicts()[0]
        for (name,), part in table.group_by("variant")
    }
    ratio = (sums["mixed"][moved] / len(table.filter(variant="mixed"))) / (
        sums["control"][moved] / len(table.filter(variant="control"))
    )
    assert 1.5 < ratio < 2.6
    assert all(each["clicks"] == each["impressions"] for each in sums.values())


def test_a_draft_has_no_shoppers_to_simulate(recsys: Run, tmp_path: Path) -> None:
    draft = write_experiments(tmp_path, TEXT)
    said = recsys("experiments", "simulate", draft, "calm", "--store", tmp_path / "s.sqlite")
    assert (said.code, "start it with `recsys experiments start" in said.err) == (2, True)


def test_no_log_can_say_what_another_bundle_would_earn(recsys: Run, tmp_path: Path, shop_models: Path) -> None:
    file = write_experiments(tmp_path, '[experiments.new.variants]\ncontrol = {}\nb = {bundle = "v2"}\n')
    store = tmp_path / "store.sqlite"
    SqliteStore(store).close()
    said = recsys("experiments", "counterfactual", file, "new", "b", "--store", store, "--models", shop_models)
    assert (said.code, "only the experiment itself can measure it" in said.err) == (2, True)
