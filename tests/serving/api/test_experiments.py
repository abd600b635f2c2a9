"""Experiments over HTTP: lists by variant, logged exposures, and the change of a state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start
from tests.recsys.experiments.files import write_experiments
from tests.serving.conftest import Client, client_of

AT = "2026-11-01T00:00:00Z"
TEXT = """
[experiments.short]
variants.control = {}
variants.three = {placements.for_you = {limit = 3}}
variants.two = {placements.for_you = {limit = 2}}
"""
USERS = [f"shopper {n}" for n in range(40)]
LIMITS = {"control": 20, "three": 3, "two": 2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_experiments(tmp_path, TEXT)


@pytest.fixture
def running(shop_models: Path, path: Path, tmp_path: Path) -> Iterator[Client]:
    change_state(path, start("short", AT, 1.0))
    with client_of(shop_models, experiments=path, store=tmp_path / "store.sqlite", impression_sample=0) as client:
        yield client


def for_you(client: Client, **body: Any) -> dict[str, Any]:
    response = client.request("POST", "/v1/recommendations", json={"placement": "for_you"} | body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def variant(answer: dict[str, Any]) -> str:
    name: str = answer["experiments"]["short"]
    return name


def impressions(client: Client) -> list[dict[str, Any]]:
    context = client.app.state.app_context
    asyncio.run(context.impressions.flush())
    return [
        {"id": stored.entry.key, **stored.entry.body}
        for stored in context.store.read_after(0, 1000)
        if stored.entry.entry_type == "impression"
    ]


def put(client: Client, name: str = "short", **body: Any) -> Any:
    return client.request("PUT", f"/v1/experiments/{name}", json=body)


def test_each_variant_gets_its_list_also_from_the_cache(running: Client) -> None:
    for _ in range(2):
        answers = [for_you(running, user_id=user) for user in USERS]
        assert {variant(answer) for answer in answers} == set(LIMITS)
        assert all(len(answer["items"]) == LIMITS[variant(answer)] for answer in answers)
        assert all(answer["placement"] == "for_you" for answer in answers)
    get = running.get("/v1/users/shopper%200/recommendations").json()
    assert variant(get) == variant(answers[0])


def test_every_exposure_is_logged_with_the_id_of_its_list(running: Client) -> None:
    answers = {(answer := for_you(running, user_id=user))["recommendation_id"]: answer for user in USERS[:5]}
    for_you(running, user_id=USERS[6], log=False)
    running.get("/v1/users/u001/recommendations?placement=popular")
    logged = impressions(running)  # of the sample of 0 % there is nothing else
    assert {each["id"]: each["experiments"] for each in logged} == {
        id_: answer["experiments"] for id_, answer in answers.items()
    }


def test_a_visitor_keeps_the_variant_of_the_id_that_it_is_merged_into(running: Client) -> None:
    user = next(
        user for user in USERS if variant(for_you(running, user_id=user)) != variant(for_you(running, visitor_id="v"))
    )
    response = running.request("POST", f"/v1/users/{user}/merge", json={"from": "v"})
    assert response.status_code == 200, response.text
    assert variant(for_you(running, visitor_id="v")) == variant(for_you(running, user_id=user))


def test_nobody_and_who_has_opted_out_or_was_erased_are_in_no_experiment(running: Client) -> None:
    assert "experiments" not in for_you(running)
    running.request("PUT", f"/v1/users/{USERS[0]}", json={"personalization": False})
    assert "experiments" not in for_you(running, user_id=USERS[0])
    assert running.request("DELETE", f"/v1/users/{USERS[1]}").status_code == 200
    assert "experiments" not in for_you(running, user_id=USERS[1]), "erased"


def test_pages_name_the_variant_of_each_list(shop_models: Path, path: Path, tmp_path: Path) -> None:
    change_state(path, start("short", AT, 1.0))
    lists = tmp_path / "placements.toml"
    lists.write_text("[pages.home]\nplacements = ['for_you', 'popular']\n", encoding="utf-8")
    with client_of(shop_models, experiments=path, placements=lists, store=tmp_path / "store.sqlite") as client:
        page = client.request("POST", "/v1/pages/home", json={"user_id": USERS[0]}).json()
    assert [("experiments" in each) for each in page["shelves"]] == [
        each["placement"] == "for_you" for each in page["shelves"]
    ]


def test_later_pages_stay_in_the_experiment(running: Client) -> None:
    user = next(user for user in USERS if variant(for_you(running, user_id=user)) == "three")
    first = for_you(running, user_id=user)
    second = for_you(running, user_id=user, page_token=first["next_page_token"])
    assert variant(second) == "three"
    assert len(second["items"]) == 3
    assert not {each["item_id"] for each in first["items"]} & {each["item_id"] for each in second["items"]}


def test_reported_lists_of_batches_are_exposures(running: Client) -> None:
    answer = for_you(running, user_id=USERS[0], log=False)
    sent = {"recommendation_id": answer["recommendation_id"], "placement": "for_you", "user_id": USERS[0]}
    sent |= {"items": answer["items"], "experiments": answer["experiments"]}
    assert running.request("POST", "/v1/impressions", json={"impressions": [sent]}).status_code == 200
    assert [each["experiments"] for each in impressions(running)] == [answer["experiments"]]


def test_a_put_is_followed_by_the_lists_and_repeats_without_effect(
    shop_models: Path, path: Path, tmp_path: Path
) -> None:
    with client_of(shop_models, experiments=path, store=tmp_path / "store.sqlite") as client:
        watcher = client.app.state.app_context.watcher
        assert "experiments" not in for_you(client, user_id=USERS[0])
        for share in (0.5, 1.0):
            for _ in range(2):
                answer = put(client, status="running", share=share)
                assert answer.status_code == 200, answer.text
            assert answer.json()["share"] == share
        watcher.refresh()
        assert "experiments" in for_you(client, user_id=USERS[0])
        retired = put(client, status="running", retired=["two"], why="few clicks").json()
        assert {each["variant"]: each["share"] for each in retired["variants"]} == {
            "control": 0.5,
            "three": 0.5,
            "two": 0,
        }
        assert put(client, status="promoted", winner="three").json()["winner"] == "three"
        assert put(client, status="promoted", winner="three").status_code == 200
        watcher.refresh()
        assert len(for_you(client)["items"]) == 3
        assert put(client, status="stopped").json()["status"] == "stopped"
        assert put(client, status="stopped").status_code == 200
        listed = client.get("/v1/experiments").json()
    assert [each["command"] for each in listed["history"]] == ["start", "ramp", "retire", "promote", "stop"]
    assert listed["history"][2]["why"] == "few clicks"
    assert [each["status"] for each in listed["experiments"]] == ["stopped"]


@pytest.mark.parametrize(
    ("name", "body", "status", "message"),
    [
        ("shrt", {"status": "running"}, 404, "there is no experiment 'shrt': there are short"),
        ("short", {"status": "promoted"}, 409, "winner is None"),
        ("short", {"status": "running", "winner": "two"}, 409, "winner is 'two'"),
        ("short", {"status": "promoted", "winner": "two"}, 409, "it is draft"),
        ("short", {"status": "running", "share": 2}, 422, "share"),
        ("short", {"status": "running", "retired": ["control"]}, 409, "'control' is no variant"),
        ("short", {"status": "running", "share": 0.5, "retired": ["two", "nope"]}, 409, "'nope' is no variant"),
    ],
)
def test_wrong_changes_are_refused(
    shop_models: Path, path: Path, tmp_path: Path, name: str, body: dict[str, Any], status: int, message: str
) -> None:
    with client_of(shop_models, experiments=path, store=tmp_path / "store.sqlite") as client:
        answer = put(client, name, **body)
    assert answer.status_code == status
    assert message in answer.text
    assert read_experiments(path).states.history == (), "all of a call or nothing"


def test_a_change_that_cannot_be_served_is_refused(shop_models: Path, tmp_path: Path) -> None:
    path = write_experiments(tmp_path, TEXT)
    with client_of(shop_models, experiments=path, store=tmp_path / "store.sqlite") as client:
        write_experiments(tmp_path, TEXT.replace("limit = 2", "limit = 0"))
        answer = put(client, status="running")
        assert answer.status_code == 409
        assert "limit' is 0" in answer.text
        write_experiments(tmp_path, "[experiment]")
        assert client.get("/v1/experiments").status_code == 409
        client.app.state.app_context.watcher.refresh()
        assert "refused" in str(client.app.state.app_context.watcher.last_error)


def test_without_a_file_there_are_none(client: Client) -> None:
    assert client.get("/v1/experiments").json() == {"experiments": [], "history": [], "holdout": 0.0}
    assert put(client, status="running").status_code == 404


def test_only_changes_are_audited_and_reasons_are_lines(running: Client) -> None:
    def audited() -> int:
        return len(running.get("/v1/audit").json()["entries"])

    before = audited()
    assert put(running, status="running").status_code == 200
    assert audited() == before, "nothing has changed"
    assert put(running, status="running", retired=["two"], why="clear loser").status_code == 200
    assert audited() == before + 1
    refused = put(running, status="stopped", why="over\x1b[2J")
    assert refused.status_code == 422
    assert "without control characters" in refused.json()["detail"]


def test_refusals_do_not_name_the_folders_of_the_server(running: Client, path: Path) -> None:
    path.write_text("experiments = 3")
    refused = put(running, status="stopped")
    assert refused.status_code == 409
    assert str(path.parent) not in refused.text
    assert path.name in refused.text
