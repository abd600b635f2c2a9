from __future__ import annotations

from pathlib import Path

import pytest

from recsys.pipeline.recommender import Recommender
from serving.console.pages.growth import _segments
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
