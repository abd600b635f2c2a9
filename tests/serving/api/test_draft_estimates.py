"""The estimate of a draft's clicks from random lists of the live log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.api import draft_estimates
from tests.recsys.drafts.random_lists import N_LISTS, write_random_lists
from tests.serving.api.drafts import begin, desk, post
from tests.serving.conftest import Client
from tests.serving.console.conftest import Browser

TEXT = """
[placements.random]
extends = "popular"
rotation = 0.6
limit = 4

[placements.fixed]
extends = "popular"
"""
ESTIMATORS = ["logged", "ips", "self_normalized", "slate", "doubly_robust"]


@pytest.fixture(scope="module")
def client(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with desk(shop_models, tmp_path_factory.mktemp("estimates"), TEXT) as client:
        context = client.app.state.app_context
        recommender = context.watcher.snapshot().recommender
        write_random_lists(context.store, recommender, {best(client, 3), best(client, 5)}, placement="random")
        yield client


def best(client: Client, rank: int) -> str:
    body = {"placement": "fixed", "limit": 5, "log": False, "as_of": None}
    items = post(client, "/v1/recommendations", **{key: value for key, value in body.items() if value}).json()["items"]
    found: str = items[rank - 1]["item_id"]
    return found


def test_a_draft_with_the_liked_items_first_is_valued_higher(client: Client) -> None:
    pins = [{"item_id": best(client, 3), "rank": 1}, {"item_id": best(client, 5), "rank": 2}]
    path, _ = begin(client, placements={"random": {"extends": "popular", "limit": 4, "pins": pins}})
    reply = post(client, f"{path}/estimate", placement="random", seconds=60)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert [each["estimator"] for each in found["estimates"]] == ESTIMATORS
    assert (found["lists"]["used"], found["is_complete"]) == (N_LISTS, True)
    logged, *_, doubly_robust = found["estimates"]
    assert doubly_robust["low"] > logged["high"]
    assert "more clicks than" in found["text"]
    assert "高于" in found["text_zh"]


def test_a_sample_and_the_time_bound_the_work(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = begin(client, placements={"random": {"extends": "popular", "limit": 4}})
    some = post(client, f"{path}/estimate", placement="random", max_lists=150, seconds=60).json()
    assert sum(some["lists"].values()) == 150

    def slow(*given: Any) -> None:
        time.sleep(1.1)
        given[-1]("log", 0.5)

    monkeypatch.setattr(draft_estimates, "read_random_lists", slow)
    hurried = post(client, f"{path}/estimate", placement="random", seconds=1)
    assert (hurried.status_code, "allow more `seconds`" in hurried.text) == (503, True)


def test_a_list_without_rotation_has_no_estimate_but_a_way_to_get_one(client: Client) -> None:
    path, _ = begin(client, placements={"fixed": {"extends": "popular", "limit": 4}})
    found = post(client, f"{path}/estimate", placement="fixed").json()
    assert found["estimates"] == []
    assert "give it a rotation" in found["text"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"placement": "other"}, "placement"),
        ({"placement": "fixed", "n": 1}, "n"),
        ({"placement": "item_sets"}, "placement"),
        ({"placement": "random", "max_lists": 99}, "max_lists"),
        ({"placement": "random", "seconds": 0.5}, "seconds"),
    ],
)
def test_what_cannot_be_estimated_is_named(client: Client, body: dict[str, object], field: str) -> None:
    path, _ = begin(client)
    reply = post(client, f"{path}/estimate", **body)
    assert reply.status_code == 422
    assert field in {error["field"] for error in reply.json()["errors"]}


def test_the_page_shows_the_estimate_in_both_languages(client: Client) -> None:
    path, _ = begin(client, placements={"random": {"extends": "popular", "limit": 4}})
    page, browser = f"/drafts/{path.rpartition('/')[2]}/estimate?list=random", Browser(client)
    assert "draft, doubly robust" in browser.get(page, **{"Accept-Language": "en"}).text
    assert "草稿，双重稳健" in browser.get(page, **{"Accept-Language": "zh"}).text
