from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recsys.experiments.assignment import variant_of
from recsys.experiments.outcomes import read_experiment_log
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start
from recsys.pipeline.recommender import Recommender
from recsys.planner.config import parse_plan
from recsys.planner.past_weeks import fit_plan
from recsys.planner.plan_file import LearnedPlan, write_plan_file
from recsys.planner.planner import PLAN_COLUMNS, Planner
from serving.api.batch import NDJSON
from tests.recsys.experiments.files import write_experiments
from tests.serving.conftest import Client, client_of
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY

LISTS = ("buy_again", "for_you")
USER = USERS_WITH_HISTORY[0]
AS_OF = "2024-06-28T08:00:00Z"


@pytest.fixture(scope="module")
def plan(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[LearnedPlan, Path]:
    config = parse_plan({"calibration": {"users": 10, "weeks": 1}})
    learned = LearnedPlan(config, LISTS, fit_plan(Recommender.of_bundle(shop_models), config, LISTS))
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    write_plan_file(path, learned)
    return learned, path


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path, plan: tuple[LearnedPlan, Path]) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite", plan=plan[1]) as client:
        yield client


def ask(client: Client, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    content = "\n".join(json.dumps({"placement": "push_plan", "as_of": AS_OF} | line) for line in lines)
    response = client.request("POST", "/v1/batch", content=content.encode(), headers={"Content-Type": NDJSON})
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_messages_are_those_of_the_job(shop: Client, shop_models: Path, plan: tuple[LearnedPlan, Path]) -> None:
    first, other = ask(shop, {"id": 1, "user_id": USER}, {"id": 2, "user_id": "stranger"})
    assert (first["line"], first["id"], other["messages"]) == (1, 1, [])
    learned, _ = plan
    now = int(datetime.fromisoformat(AS_OF).timestamp())
    planner = Planner(Recommender.of_bundle(shop_models), learned.config, LISTS, learned.model, now)
    expected = planner.plan([USER]).to_dicts()
    assert len(expected) > 1
    for message, row in zip(first["messages"], expected, strict=True):
        assert message.keys() == PLAN_COLUMNS.keys()
        times = {name: datetime.fromisoformat(message[name]) for name in ("send_at", "expires_at")}
        assert message | times == row


def test_sent_messages_count(shop: Client) -> None:
    (before,) = ask(shop, {"user_id": USER})
    sent = before["messages"][0]
    event = {"event": "message_sent", "user_id": USER, "item_ids": sent["item_ids"]}
    event["timestamp"] = "2024-06-25T08:00:00Z"
    assert shop.request("POST", "/v1/events", json={"events": [event]}).json()["accepted"] == 1
    (after,) = ask(shop, {"user_id": USER})
    listed = {item for message in after["messages"] for item in message["item_ids"]}
    assert not listed & set(sent["item_ids"])


def test_the_plan_is_that_of_the_variant_and_a_sent_message_is_an_exposure(
    shop_models: Path, tmp_path: Path, plan: tuple[LearnedPlan, Path]
) -> None:
    text = "[experiments.one.variants]\ncontrol = {}\none = {plan = {caps = {messages_per_week = 1}}}\n"
    file, (learned, plain) = write_experiments(tmp_path, text), plan
    config = replace(learned.config, caps=replace(learned.config.caps, messages_per_week=1))
    alone = LearnedPlan(learned.config, LISTS, learned.model)
    variants = {"one": {"control": alone, "one": LearnedPlan(config, LISTS, learned.model)}}
    path = tmp_path / "plan.json"
    write_plan_file(path, msgspec.structs.replace(learned, variants=variants))
    change_state(file, start("one", AS_OF, 1.0))
    given = {"store": tmp_path / "store.sqlite", "experiments": file}
    with client_of(shop_models, plan=plain, **given) as client:
        (refused,) = ask(client, {"user_id": USER})
        assert "has nothing for variant" in json.dumps(refused["problem"])
    with client_of(shop_models, plan=path, **given) as client:
        found = {user: ask(client, {"user_id": user})[0]["messages"] for user in USERS_WITH_HISTORY[:12]}
        running = read_experiments(file).as_running("one")
        for user, messages in found.items():
            assert {(each["experiment"], each["variant"]) for each in messages} == {("one", variant_of(running, user))}
            assert (len(messages) == 1) == (variant_of(running, user) == "one")
        names = ("user_id", "channel", "placement", "item_ids", "recommendation_id", "experiment", "variant")
        sent = [
            {"event": "message_sent", "timestamp": AS_OF} | {name: each[name] for name in names}
            for messages in found.values()
            for each in messages
        ]
        reply = client.request("POST", "/v1/events", json={"events": sent}).json()
        assert reply["accepted"] == len(sent)
        exposures = read_experiment_log(client.app.state.app_context.store, "one").exposures
        assert set(exposures.select("unit_id", "variant").rows()) == {
            (user, variant_of(running, user)) for user in found
        }


def test_who_opted_out_has_none(shop: Client) -> None:
    assert [each["messages"] for each in ask(shop, {"user_id": OPTED_OUT})] == [[]]


@pytest.mark.parametrize(
    ("line", "field"),
    [({}, "user_id"), ({"user_id": USER, "limit": 3}, "limit"), ({"user_id": USER, "item_ids": ["a"]}, "item_ids")],
)
def test_what_a_plan_does_not_have_is_refused(shop: Client, line: dict[str, Any], field: str) -> None:
    (reply,) = ask(shop, line)
    assert [error["field"] for error in reply["problem"]["errors"]] == [field]


def test_without_a_plan_the_remedy_is_named(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        (reply,) = ask(client, {"user_id": USER})
    assert "RECSYS_PLAN=DIR/plan.json" in json.dumps(reply["problem"])


def test_a_single_line_is_a_body(shop: Client) -> None:
    body = {"placement": "push_plan", "user_id": USER, "as_of": AS_OF}
    response = shop.request("POST", "/v1/batch", json=body)
    assert [each["user_id"] for each in json.loads(response.text)["messages"]][:1] == [USER]


def test_a_plan_of_another_shop_is_refused_with_the_remedy(
    shop_models: Path, tmp_path: Path, plan: tuple[LearnedPlan, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "plan.json"
    write_plan_file(path, msgspec.structs.replace(plan[0], items=("x1", "x2")))
    with client_of(shop_models, store=tmp_path / "store.sqlite", plan=path) as client:
        (reply,) = ask(client, {"user_id": USER})
        assert "the push plan is not for" in caplog.text
    assert "'items' is 'x1, x2, …'" in json.dumps(reply["problem"], ensure_ascii=False)
    assert "recsys push plan" in json.dumps(reply["problem"])


def test_who_may_get_messages_is_logged(
    shop_models: Path, tmp_path: Path, plan: tuple[LearnedPlan, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "serving")
    with client_of(shop_models, store=tmp_path / "store.sqlite", plan=plan[1]) as client:
        ask(client, {"user_id": USER}, {"user_id": USER})
    assert caplog.text.count("push plan: push: to all") == 1
