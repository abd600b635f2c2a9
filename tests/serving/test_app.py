from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.core.request import Recommendations, RecommendedItem
from recsys.data.dataset import Dataset
from recsys.pipeline.recommender import Recommender
from serving.responses import ResponseMeta, encode
from tests.serving.conftest import Client, client_of
from tests.shop import CARDS, ODD_USERS, PHONES, WEEKLY_ITEM

ITEM_LISTS = ("complementary", "bought_together", "similar")
USER_LISTS = ("for_you", "discover", "long_tail", "time_of_day", "buy_again", "popular")


def of_item(item_id: str, query: str = "") -> str:
    return f"/v1/items/{quote(item_id, safe='')}/recommendations{query}"


def of_user(user_id: str, query: str = "") -> str:
    return f"/v1/users/{quote(user_id, safe='')}/recommendations{query}"


def wire_form(items: list[RecommendedItem]) -> Any:
    return msgspec.json.decode(encode(items))


def problem(client: Client, path: str, status: int, method: str = "GET") -> dict[str, Any]:
    response = client.request(method, path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    reply: dict[str, Any] = response.json()
    assert list(reply) == ["type", "title", "status", "detail", "errors"]
    assert reply["status"] == status
    return reply


def fields(reply: dict[str, Any]) -> list[str]:
    return [error["field"] for error in reply["errors"]]


@pytest.mark.parametrize("placement", ITEM_LISTS)
def test_item_lists_equal_the_librarys(client: Client, shop_models: Path, placement: str) -> None:
    answer = client.get(of_item(PHONES[0], f"?placement={placement}&limit=7")).json()
    library = Recommender.open(shop_models).related([PHONES[0]], placement=placement, limit=7)[0]
    assert answer["items"] == wire_form(library)
    assert answer["placement"] == placement


@pytest.mark.parametrize("placement", USER_LISTS)
def test_user_lists_equal_the_librarys(client: Client, shop_models: Path, placement: str) -> None:
    when = "2024-06-20T08:00:00+08:00"
    answer = client.get(of_user("u012", f"?placement={placement}&as_of={quote(when)}")).json()
    library = Recommender.open(shop_models)
    (listed,) = library.recommend(["u012"], placement, as_of=datetime.fromisoformat(when))
    assert answer["items"] == wire_form(listed[:20])
    assert (answer["as_of"], answer["local_hour"]) == ("2024-06-20T00:00:00Z", 8)


def test_a_response_has_exactly_the_declared_fields(client: Client) -> None:
    answer = client.get(of_user("u012")).json()
    declared = [*ResponseMeta.__struct_fields__, *(field for field in Recommendations.__dataclass_fields__)]
    assert list(answer) == [name for name in declared if name not in ("experiments", "sets")]


def test_defaults(client: Client) -> None:
    assert client.get(of_item(PHONES[0])).json()["placement"] == "complementary"
    assert client.get(of_user("u012")).json()["placement"] == "for_you"


def test_every_response_has_its_own_id_cached_or_not(client: Client) -> None:
    ids = {client.get(of_item(PHONES[0])).json()["recommendation_id"] for _ in range(5)}
    assert len(ids) == 5


def test_a_cached_response_equals_a_fresh_one(shop_models: Path) -> None:
    with client_of(shop_models, cache_mb=0) as fresh, client_of(shop_models) as cached:
        for _ in range(2):
            answers = [client.get(of_item(PHONES[0], "?limit=5")).json() for client in (fresh, cached)]
            assert answers[0]["items"] == answers[1]["items"]
            assert len(answers[0]["items"]) <= 5


def test_a_user_on_an_item_list_is_not_served_from_the_cache(client: Client, shop_models: Path) -> None:
    item = CARDS[0]
    client.get(of_item(item, "?placement=bought_together"))
    answer = client.get(of_item(item, "?placement=bought_together&user_id=u010")).json()
    library = Recommender.open(shop_models).related([item], "bought_together", user_id="u010")[0]
    assert [each["item_id"] for each in answer["items"]] == [each.item_id for each in library]


def test_ids_of_any_kind(client: Client, shop_dataset: Dataset) -> None:
    for item_id in shop_dataset.items.ids:
        assert client.get(of_item(item_id)).status_code == 200, item_id
    for user_id in ODD_USERS:
        answer = client.get(of_user(user_id)).json()
        assert not answer["fallback_used"], user_id


def test_unknown_user_gets_the_fallback(client: Client) -> None:
    answer = client.get(of_user("谁/🦊")).json()
    assert answer["fallback_used"]
    assert answer["items"]


@pytest.mark.parametrize("item_id", ["nothing", "a/b", "没有", "🦊", "two words"])
def test_unknown_item(client: Client, item_id: str) -> None:
    reply = problem(client, of_item(item_id), 404)
    assert fields(reply) == ["item_id"]
    assert item_id in reply["detail"]


def test_a_raw_slash_is_another_path(client: Client) -> None:
    assert WEEKLY_ITEM.count("/") == 1
    raw, encoded = quote(WEEKLY_ITEM, safe="/"), quote(WEEKLY_ITEM, safe="")
    problem(client, f"/v1/items/{raw}/recommendations", 404)
    assert client.get(f"/v1/items/{encoded}/recommendations").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=abc", "limit"),
        ("limit=5&limit=5", "limit"),
        ("placement=x", "placement"),
        ("placement=for_you", "placement"),
        ("placement=", "placement"),
        ("as_of=yesterday", "as_of"),
        ("as_of=2024-07-01T00:00:00", "as_of"),
        ("as_of=2199-01-01T00:00:00Z", "as_of"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "as_of"),
        ("as_of=9999-12-31T23:59:59-14:00", "as_of"),
        ("user_id=", "user_id"),
        ("user_id=%00", "user_id"),
        ("user_id=%ff", "user_id"),
        ("colour=red", "colour"),
        ("item_id=x", "item_id"),
    ],
)
def test_bad_parameters_are_named(client: Client, query: str, field: str) -> None:
    reply = problem(client, of_item(PHONES[0], f"?{query}"), 422)
    assert fields(reply) == [field]
    assert field in reply["detail"]


def test_item_lists_are_refused_for_users(client: Client) -> None:
    reply = problem(client, of_user("u012", "?placement=similar"), 422)
    assert "for_you" in reply["detail"]


@pytest.mark.parametrize("id_", ["%00", "a%0ab", "x" * 4096, "%ff%fe", ""])
@pytest.mark.parametrize(("kind", "field"), [("items", "item_id"), ("users", "user_id")])
def test_bad_ids_are_named(client: Client, id_: str, kind: str, field: str) -> None:
    assert fields(problem(client, f"/v1/{kind}/{id_}/recommendations", 422)) == [field]


def test_a_very_long_call_is_refused_with_a_short_response(client: Client) -> None:
    assert "24576" in problem(client, of_item("x", "?" + "a&" * 18000), 414)["detail"]
    assert len(problem(client, of_item("x", "?" + "a&" * 4000 + "limit=1&" * 1000), 422)["errors"]) == 20


def test_unknown_path_and_method(client: Client) -> None:
    assert "/nowhere" in problem(client, "/nowhere", 404)["detail"]
    problem(client, "/docs", 404)
    problem(client, of_item("x") + "/", 404)
    response = client.request("POST", of_item("x"))
    assert response.headers["allow"] == "GET"
    problem(client, of_item("x"), 405, "POST")


def test_an_unexpected_error_is_returned_without_its_details(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Recommender, "recommend_for", fail)
    reply = problem(client, of_user("a user whose list is in no cache"), 500)
    assert "secret" not in str(reply)
    assert "ZeroDivisionError: secret" in caplog.text


def test_health(client: Client, shop_models: Path) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    reply = client.get("/health/ready").json()
    assert reply["model_version"] == Recommender.open(shop_models).version
    assert reply["now"].startswith("2024-07-01")
    assert (reply["clock"], reply["last_error"]) == ("data", None)
    assert len(reply["examples"]) == 3
    assert all(client.get(path).status_code == 200 for path in reply["examples"])


def test_no_bundle(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        assert client.get("/health/live").status_code == 200
        problem(client, "/health/ready", 503)
        assert "no bundle" in problem(client, of_item("x"), 503)["detail"]
        assert int(client.get(of_item("x")).headers["retry-after"]) >= 1
        problem(client, of_item("x", "?limit=0"), 422)


def test_two_apps_share_nothing(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models) as one, client_of(tmp_path) as other:
        assert one.get(of_item(PHONES[0])).status_code == 200
        assert other.get(of_item(PHONES[0])).status_code == 503
        assert 'placement="complementary"' not in other.get("/metrics").text


def test_metrics_count_by_list_and_status(shop_models: Path) -> None:
    with client_of(shop_models) as client:
        client.get(of_item(PHONES[0]))
        client.get(of_item("nothing"))
        client.get(of_item(PHONES[0], "?placement=%s" % ("x" * 50)))
        text = client.get("/metrics").text
    assert 'recsys_request_seconds_count{placement="complementary",status="200"} 1.0' in text
    assert 'recsys_request_seconds_count{placement="complementary",status="404"} 1.0' in text
    assert 'recsys_request_seconds_count{placement="",status="422"} 1.0' in text
    assert 'recsys_bundles_total{result="served"} 1.0' in text


def test_the_clock(shop_models: Path) -> None:
    with client_of(shop_models, clock="wall") as client:
        assert client.get(of_user("u012")).json()["as_of"] > "2025"
        assert client.get(of_user("u012", "?as_of=2025-01-01T00:00:00Z")).status_code == 200
    with client_of(shop_models, clock="data") as client:
        problem(client, of_user("u012", "?as_of=2025-01-01T00:00:00Z"), 422)


@pytest.mark.parametrize("leave", ["erase", "opt out"])
def test_examples_never_name_a_user_who_has_left(shop_models: Path, tmp_path: Path, leave: str) -> None:
    """As many users leave as the examples name one after the other."""
    with client_of(shop_models, store=tmp_path / "log") as client:
        left = set()
        for _ in range(4):
            examples = client.get("/health/ready").json()["examples"]
            user_id = next(unquote(path.split("/")[3]) for path in examples if path.startswith("/v1/users/"))
            assert user_id not in left
            assert all(client.get(path).status_code == 200 for path in examples)
            path = f"/v1/users/{quote(user_id, safe='')}"
            if leave == "erase":
                assert client.request("DELETE", path).status_code == 200
            else:
                assert client.request("PATCH", path, json={"personalization": False}).status_code == 200
            left.add(user_id)


class Counted:
    """Middleware that counts calls."""

    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._paths.append(scope["path"])
        await self._app(scope, receive, send)


def test_own_calls_skip_the_frameworks_middleware_but_not_the_users(own_models: Path) -> None:
    paths: list[str] = []
    with client_of(own_models) as client:
        before = client.get(of_item(PHONES[0])).json()
        app = client.app
        app.add_middleware(Counted, paths=paths)
        after = client.get(of_item(PHONES[0])).json()
        assert after["items"] == before["items"]
        assert client.get("/nothing").status_code == 404
        assert client.request("PUT", of_item(PHONES[0])).status_code == 405
    assert paths == [unquote(of_item(PHONES[0])), "/nothing", unquote(of_item(PHONES[0]))]
