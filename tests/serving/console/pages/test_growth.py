from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.eventlog.store import LogEntry
from recsys.experiments.state import change_state
from recsys.experiments.transitions import start
from recsys.pipeline.recommender import Recommender
from serving.console.pages.growth import _segments
from tests.recsys.experiments.simulated_month import write_month
from tests.serving.conftest import client_of
from tests.serving.console.conftest import Browser

EXPERIMENTS = """
[experiments.shorter]
primary = "ctr"

[experiments.shorter.variants.control]

[experiments.shorter.variants.five]
placements.for_you.limit = 5
"""


def test_stages_count_all_users_who_have_one(shop_models: Path) -> None:
    recommender = Recommender.open(shop_models)
    found = _segments(recommender, recommender.data_end)
    table = recommender.segments()
    assert sum(each["n"] for each in found) == table["life_cycle"].count()
    assert [each["n"] for each in found] == sorted((each["n"] for each in found), reverse=True)


@pytest.fixture
def with_experiment(own_models: Path, tmp_path: Path) -> Path:
    path = tmp_path / "experiments.toml"
    path.write_text(EXPERIMENTS)
    return path


def test_an_experiment_is_started_and_stopped(own_models: Path, with_experiment: Path) -> None:
    with client_of(own_models, experiments=with_experiment) as client:
        browser = Browser(client)
        assert "draft" in browser.get("/growth").text
        reply = browser.post("/growth/experiments/shorter", {"status": "running", "share": "20", "why": "<b>"})
        assert (reply.status_code, reply.headers["location"]) == (303, "/console/growth")
        text = browser.get("/growth").text
        assert "running" in text
        assert "&lt;b&gt;" in text
        assert browser.post("/growth/experiments/shorter", {"status": "stopped"}).status_code == 303
        assert browser.post("/growth/experiments/shorter", {"status": "running", "share": "x"}).status_code == 422
        assert browser.post("/growth/experiments/none", {"status": "stopped"}).status_code == 404


def test_the_permanent_holdout_has_its_share_and_its_verdict(own_models: Path, with_experiment: Path) -> None:
    with client_of(own_models, experiments=with_experiment) as client:
        browser = Browser(client)
        assert "holdout" not in browser.get("/growth").text
        with_experiment.write_text("[holdout]\nshare = 0.05\n" + EXPERIMENTS)
        text = browser.get("/growth").text
        assert "Permanent holdout" in text
        assert "5%" in text.replace("5.0%", "5%")
        here = "/growth/experiments/holdout/analysis"
        assert f'hx-get="/console{here}"' in text
        assert "holdout" in browser.get(here).text
        assert client.get("/v1/experiments").json()["holdout"] == 0.05


@pytest.fixture
def watched(own_models: Path, with_experiment: Path) -> Iterator[Browser]:
    """A shop in which an experiment has run for some days."""
    store = own_models.parent / "store.sqlite"
    change_state(with_experiment, start("shorter", "2026-11-01T00:00:00Z", 1.0, "<i>why"))
    write_month(store, with_experiment, "shorter", [1.0] * 4, {"control": 0.05, "five": 0.15}, 400)
    with client_of(own_models, experiments=with_experiment, store=store) as client:
        yield Browser(client)


@pytest.mark.parametrize(("language", "verdict"), [("en", "Ship "), ("zh", "上线")])
def test_an_experiment_has_its_verdict_its_course_and_its_table(watched: Browser, language: str, verdict: str) -> None:
    page = watched.get("/growth", **{"Accept-Language": language}).text
    assert 'hx-get="/console/growth/experiments/shorter/analysis"' in page
    assert "<polygon" not in page, "the page does not wait for the log"
    text = watched.get("/growth/experiments/shorter/analysis", **{"Accept-Language": language}).text
    assert verdict in text
    assert text.count("<polygon") == 1
    assert text.count("<tr>") == 1 + 4 + 1 + 4, "metrics, and days"
    assert "&lt;i&gt;why" in page
    assert "<i>" not in page


def test_what_prevents_an_analysis_is_said_in_its_place(watched: Browser) -> None:
    analyses = watched.client.app.state.app_context.experiments
    with analyses._lock:
        reply = watched.get("/growth/experiments/shorter/analysis")
    assert reply.status_code == 200
    assert "another experiment is being analyzed" in reply.text
    unknown = watched.get("/growth/experiments/%3Cscript%3E/analysis")
    assert unknown.status_code == 404
    assert "<script>" not in unknown.text


def test_an_experiment_that_nobody_has_seen_says_so(own_models: Path, with_experiment: Path) -> None:
    change_state(with_experiment, start("shorter", "2026-11-01T00:00:00Z", 1.0))
    with client_of(own_models, experiments=with_experiment) as client:
        text = Browser(client).get("/growth/experiments/shorter/analysis", **{"Accept-Language": "en"}).text
    assert "has no list of this experiment" in text
    assert '<svg class="course' not in text


@pytest.mark.parametrize(("language", "tail"), [("en", "Long tail"), ("zh", "长尾")])
def test_the_exposure_ledger_has_parts_lists_and_brands(own_models: Path, language: str, tail: str) -> None:
    with client_of(own_models, store=own_models.parent / "store.sqlite") as client:
        browser = Browser(client)
        assert 'hx-get="/console/growth/exposure"' in browser.get("/growth").text
        path, given = "/growth/exposure", {"Accept-Language": language}
        assert "<table>" not in browser.get(path, **given).text
        shown = [{"item_id": browser.sample.item_id}]
        body = {"placement": "<i>home", "items": shown, "user_id": "u"}
        at = client.app.state.app_context.now()
        client.app.state.app_context.store.append([LogEntry("impression", "r", at, at, body)])
        text = browser.get(path, **given).text
    assert tail in text
    assert "&lt;i&gt;home" in text
    assert "<i>" not in text
    assert text.count("100%") >= 1
