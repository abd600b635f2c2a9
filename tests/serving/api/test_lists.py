from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from recsys.core.placements import PLACEMENTS
from serving.api.request_models import FEW_SHELVES
from tests.serving.conftest import Client, client_of
from tests.shop import CAMERAS, CARDS, CASES, CHARGERS, ODD_USERS, OPTED_OUT, PHONES, UNAVAILABLE, WEEKLY_ITEM

EXAMPLE = Path(__file__).parents[3] / "docs" / "placements.toml"
PATH = "/v1/recommendations"
FOR_USERS = [name for name, each in PLACEMENTS.items() if each.anchor == "user"]


@pytest.fixture(scope="module")
def shop(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = tmp_path_factory.mktemp("store") / "store.sqlite"
    with client_of(shop_models, placements=EXAMPLE, store=store) as client:
        yield client


def ask(client: Client, path: str = PATH, **body: Any) -> httpx.Response:
    return client.request("POST", path, json=body)


def recommend(client: Client, **body: Any) -> dict[str, Any]:
    response = ask(client, **body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def refused(response: httpx.Response) -> str:
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    return f"{error['field']}: {error['message']}"


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("recommendation_id", "next_page_token")}


@pytest.mark.parametrize("placement", FOR_USERS)
@pytest.mark.parametrize("user_id", [ODD_USERS[0], "u010", "an unknown user", OPTED_OUT])
def test_post_equals_get_for_a_user(shop: Client, placement: str, user_id: str) -> None:
    as_of = "2024-06-20T08:00:00Z"
    query = f"placement={placement}&limit=7&as_of={as_of}"
    got = shop.get(f"/v1/users/{quote(user_id, safe='')}/recommendations?{query}").json()
    posted = recommend(shop, placement=placement, user_id=user_id, limit=7, as_of=as_of)
    assert comparable(posted) == comparable(got)


@pytest.mark.parametrize("placement", ["complementary", "bought_together", "similar"])
def test_post_equals_get_for_an_item(shop: Client, placement: str) -> None:
    as_of = "2024-06-20T08:00:00Z"
    for item_id in (PHONES[0], WEEKLY_ITEM):
        query = f"placement={placement}&limit=5&as_of={as_of}&user_id=u010"
        got = shop.get(f"/v1/items/{quote(item_id, safe='')}/recommendations?{query}").json()
        posted = recommend(shop, placement=placement, item_ids=[item_id], user_id="u010", limit=5, as_of=as_of)
        assert comparable(posted) == comparable(got)


def test_a_cart_gets_complements_of_all_its_items_and_no_substitutes(shop: Client) -> None:
    cart = [PHONES[0], CAMERAS[0], CHARGERS[0], "no such item"]
    answer = recommend(shop, placement="complementary", item_ids=cart, limit=100)
    assert answer["missing_ids"] == ["no such item"]
    assert not set(ids(answer)) & {*PHONES, *CAMERAS, *CHARGERS}
    assert set(ids(answer)) & set(CARDS)
    assert set(ids(answer)) & set(CASES)


def test_items_of_an_unknown_user_count_as_just_viewed(shop: Client) -> None:
    answer = recommend(shop, placement="for_you", session_id="s-new", item_ids=list(CAMERAS))
    assert not answer["fallback_used"]
    assert not set(ids(answer)) & set(CAMERAS)
    assert recommend(shop, placement="for_you", session_id="s-new")["fallback_used"]
    of_phones = recommend(shop, placement="friday_comfort", session_id="s-new", item_ids=list(PHONES))
    of_cameras = recommend(shop, placement="friday_comfort", session_id="s-new", item_ids=list(CAMERAS))
    assert ids(of_phones) != ids(of_cameras)


@pytest.mark.parametrize("placement", [*PLACEMENTS, "home_for_you", "friday_comfort", "pdp_complementary"])
def test_every_list_applies_a_filter(shop: Client, placement: str) -> None:
    seeds = [PHONES[0]] if shop.app.state.app_context.watcher.placements[placement].anchor == "item" else []
    who = {} if seeds else {"user_id": "u010"}
    answer = recommend(
        shop, placement=placement, **who, item_ids=seeds, filter="category = '食品' AND price < 30", limit=50
    )
    table = shop.app.state.app_context.watcher.current.recommender.engine.items_table
    kept = {row["item_id"] for row in table.to_dicts() if "食品" in (row["category"] or []) and row["price"] < 30}
    assert set(ids(answer)) <= kept - {UNAVAILABLE}
    definition = shop.app.state.app_context.watcher.placements[placement]
    if definition.may_be_empty or definition.own == "drop_types":
        return
    assert answer["items"] or placement == "item_sets", "no set of the shop is of food alone"
    if placement not in ("buy_again", "discover", "long_tail", "item_sets"):
        watcher = shop.app.state.app_context.watcher
        rests = watcher.placements[placement].rests
        missing = kept - {UNAVAILABLE} - set(ids(answer))
        assert rests or not missing, "a narrow list is filled from all that may be in it"
        for item_id in missing:
            asked = urlencode({"placement": placement, "user_id": "u010", "item_id": item_id})
            why = shop.get(f"/v1/explain?{asked}").json()
            assert why["stage"] == "removed", why


def test_filters_read_user_and_context(shop: Client) -> None:
    rows = "item_id IN (context.wanted)"
    wanted = [CARDS[0], CARDS[1]]
    text = "has(context.wanted, item_id)"
    answer = recommend(shop, placement="popular", filter=text, context={"wanted": wanted})
    assert sorted(ids(answer)) == sorted(wanted)
    assert ids(recommend(shop, placement="popular", filter=text)) == []
    assert ids(recommend(shop, placement="popular", filter="context.weekday = 9")) == []
    assert "filter" in refused(ask(shop, placement="popular", filter=rows + " x"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("prce < 3", "character 1"),
        ("price < 3 AND (SELECT 1)", "character 16"),
        ("price < 'abc'", "character 9"),
        ("1" * 1999, "character"),
        ("(" * 300, "character"),
    ],
)
def test_a_hostile_filter_is_refused_with_its_position(shop: Client, text: str, where: str) -> None:
    told_of = refused(ask(shop, placement="for_you", user_id="u010", filter=text))
    assert told_of.startswith("filter: ")
    assert where in told_of


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "placement"),
        ({"placement": "none such"}, "placement"),
        ({"placement": "for_you", "limit": 0}, "limit"),
        ({"placement": "for_you", "limit": 101}, "limit"),
        ({"placement": "for_you", "diversity": 1.5}, "diversity"),
        ({"placement": "for_you", "colour": 1}, "colour"),
        ({"placement": "for_you", "user_id": "a\nb"}, "user_id"),
        ({"placement": "for_you", "item_ids": ["ok", "é" * 200]}, "item_ids[1]"),
        ({"placement": "for_you", "item_ids": ["x"] * 101}, "item_ids"),
        ({"placement": "complementary"}, "item_ids"),
        ({"placement": "for_you", "context": {"a": {"b": 1}}}, "context.a"),
        ({"placement": "for_you", "as_of": "2999-01-01T00:00:00Z"}, "as_of"),
        ({"placement": "for_you", "page_token": "rubbish"}, "page_token"),
    ],
)
def test_the_wrong_field_is_named(shop: Client, body: dict[str, Any], field: str) -> None:
    assert refused(ask(shop, **body)).startswith(f"{field}: ")


def pages(client: Client, limits: list[int], **body: Any) -> list[dict[str, Any]]:
    found, token = [], None
    for limit in limits:
        given = {"page_token": token} if token else {}
        found.append(recommend(client, limit=limit, **given, **body))
        token = found[-1]["next_page_token"]
        if token is None:
            break
    return found


@pytest.mark.parametrize("placement", ["for_you", "long_tail", "home_for_you", "friday_comfort", "popular"])
def test_pages_are_parts_of_one_long_list(shop: Client, placement: str) -> None:
    body = {"placement": placement, "user_id": "u010", "as_of": "2024-06-20T08:00:00Z"}
    whole = recommend(shop, limit=100, **body)
    parts = pages(shop, [3, 10, 1, 20, *[7] * 20], **body)
    listed = [item for part in parts for item in part["items"]]
    assert [item["item_id"] for item in listed][:100] == ids(whole)
    assert [item["rank"] for item in listed] == list(range(1, len(listed) + 1))
    assert [item["score"] for item in listed[: len(whole["items"])]] == [item["score"] for item in whole["items"]]
    assert all(item["reasons"] for item in listed)
    assert parts[-1]["next_page_token"] is None


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/items/{PHONES[0]}/recommendations?placement=similar",
        f"/v1/items/{PHONES[0]}/recommendations?placement=similar&user_id=u010",
        "/v1/users/u010/recommendations?placement=for_you",
        "/v1/users/nobody/recommendations?placement=popular&filter=price%20%3E%201",
    ],
)
def test_pages_of_get_calls_are_parts_of_one_long_list(shop: Client, path: str) -> None:
    """The token of the first page is short."""
    path = f"{path}&as_of=2024-06-20T08:00:00Z"
    whole = shop.get(f"{path}&limit=40").json()
    first = shop.get(f"{path}&limit=4").json()
    assert len(first["next_page_token"]) < 700
    parts = [first]
    while token := parts[-1]["next_page_token"]:
        parts.append(shop.get(f"{path}&limit={3 + len(parts)}&page_token={token}").json())
    listed = [item for part in parts for item in part["items"]]
    assert [item["item_id"] for item in listed][:40] == ids(whole)
    assert [item["rank"] for item in listed] == list(range(1, len(listed) + 1))
    assert len(set(ids({"items": listed}))) == len(listed)
    assert shop.get(f"{path}&limit=4&page_token=rubbish").status_code == 422
    other = shop.get(f"{path}&channel=app&limit=4&page_token={first['next_page_token']}")
    assert (other.status_code, "another" in other.text) == (422, True)


def test_a_token_of_another_request_is_refused(shop: Client) -> None:
    token = recommend(shop, placement="for_you", user_id="u010", limit=3)["next_page_token"]
    flipped = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    assert "altered" in refused(ask(shop, placement="for_you", user_id="u010", page_token=flipped))
    assert "altered" in refused(ask(shop, placement="for_you", user_id="u010", page_token=token[:-9]))
    assert "'for_you', not for 'discover'" in refused(ask(shop, placement="discover", user_id="u010", page_token=token))
    assert "another user" in refused(ask(shop, placement="for_you", user_id="u011", page_token=token))
    assert "another filter" in refused(
        ask(shop, placement="for_you", user_id="u010", filter="price > 1", page_token=token)
    )


def test_explanations_have_scores_by_source_and_features(shop: Client) -> None:
    answer = recommend(shop, placement="for_you", user_id="u010", limit=5, explain=True)
    assert [each["item_id"] for each in answer["explanations"]] == ids(answer)
    for item, each in zip(answer["items"], answer["explanations"], strict=True):
        assert max(each["scores"], key=each["scores"].get) == item["source"]
    is_ranked = shop.app.state.app_context.watcher.current.recommender.engine.rankers.next.is_fitted
    assert all(bool(each["features"]) == is_ranked for each in answer["explanations"])
    assert "explanations" not in recommend(shop, placement="for_you", user_id="u010", limit=5)
    unknown = recommend(shop, placement="for_you", limit=2, explain=True)
    assert all(set(each["scores"]) == {"popular_by_hour"} for each in unknown["explanations"])


def test_a_page_contains_no_item_twice(shop: Client) -> None:
    for body in ({"user_id": "u010"}, {"user_id": ODD_USERS[0], "limit": 4}, {}):
        answer = ask(shop, "/v1/pages/home", **body).json()
        listed = [item["item_id"] for shelf in answer["shelves"] for item in shelf["items"]]
        assert len(listed) == len(set(listed)) > 10
        assert len({shelf["recommendation_id"] for shelf in answer["shelves"]}) == len(answer["shelves"])
    shelf = next(each for each in answer["shelves"] if each["placement"] == "home_for_you")
    assert shelf["titles"] == {"en": "For you", "zh": "猜你喜欢"}


def test_personal_lists_of_a_page_come_first(shop: Client) -> None:
    answer = ask(shop, "/v1/pages/home", user_id="u010").json()
    names = [shelf["placement"] for shelf in answer["shelves"]]
    assert names[-1] == "popular"
    assert all("explanations" not in shelf for shelf in answer["shelves"])
    explained = ask(shop, "/v1/pages/home", user_id="u010", explain=True).json()
    assert all(len(shelf["explanations"]) == len(shelf["items"]) for shelf in explained["shelves"])
    assert any(each["scores"] for shelf in explained["shelves"] for each in shelf["explanations"])
    product = ask(shop, "/v1/pages/product", user_id="u010").json()
    assert [shelf["placement"] for shelf in product["shelves"]] == ["home_for_you"]
    beside = ask(shop, "/v1/pages/product", user_id="u010", item_ids=[PHONES[0]]).json()
    assert len(beside["shelves"]) == 3
    missing = ask(shop, "/v1/pages/none")
    assert missing.status_code == 404
    assert "home, product" in missing.json()["detail"]


def test_a_given_list_is_ordered_for_the_user(shop: Client) -> None:
    listed = recommend(shop, placement="for_you", user_id="u010", limit=30)
    given = [*reversed(ids(listed)), "unknown 1", ids(listed)[0], UNAVAILABLE]
    answer = ask(shop, "/v1/rank", item_ids=["unknown 0", *given], user_id="u010").json()
    assert answer["missing_ids"] == ["unknown 0", "unknown 1"]
    found = [item["item_id"] for item in answer["items"]]
    assert [item_id for item_id in found if item_id in ids(listed)] == ids(listed)
    assert found[-2:] == ["unknown 0", "unknown 1"]
    assert len(found) == len(set(given)) + 1
    scores = {item["item_id"]: item["score"] for item in answer["items"]}
    assert all(scores[item["item_id"]] == pytest.approx(item["score"], rel=1e-5) for item in listed["items"])
    app_context = shop.app.state.app_context
    asyncio.run(app_context.impressions.flush())
    shown = [
        stored.entry
        for stored in app_context.store.read_after(0, 10_000)
        if stored.entry.key == answer["recommendation_id"]
    ]
    assert [(entry.body["placement"], entry.body["user_id"]) for entry in shown] == [("rank", "u010")]
    assert [item["item_id"] for item in shown[0].body["items"]] == found
    assert ask(shop, "/v1/rank", item_ids=[]).status_code == 422
    assert ask(shop, "/v1/rank", item_ids=[PHONES[0]]).status_code == 200
    answer = ask(shop, "/v1/rank", item_ids=[PHONES[0]] * 5).json()
    assert [item["item_id"] for item in answer["items"]] == [PHONES[0]], "repeated ids count once"


def test_calls_in_a_body_are_counted_by_placement(shop: Client) -> None:
    recommend(shop, placement="home_for_you", user_id="u010")
    assert 'placement="home_for_you",status="200"' in shop.get("/metrics").text


def test_placements_of_the_file_are_served_by_get_with_their_own_limit(shop: Client) -> None:
    assert len(shop.get("/v1/users/u010/recommendations?placement=home_for_you").json()["items"]) == 10
    assert len(shop.get("/v1/items/phone-1/recommendations?placement=pdp_complementary").json()["items"]) <= 6
    assert "home_for_you" in shop.get("/openapi.json").text


def test_get_applies_a_filter_and_does_not_cache_the_list(shop: Client) -> None:
    path = "/v1/items/phone-1/recommendations?placement=bought_together&limit=5"
    before = ids(shop.get(path).json())
    found = ids(shop.get(f"{path}&filter={quote('price < 50')}").json())
    assert found
    assert found != before
    assert ids(shop.get(path).json()) == before
    of_user = shop.get(f"/v1/users/u010/recommendations?filter={quote('brand = ' + chr(39) + '晨光' + chr(39))}").json()
    posted = recommend(shop, placement="for_you", user_id="u010", filter="brand = '晨光'", as_of=of_user["as_of"])
    assert comparable(posted) == comparable(of_user)
    assert refused(shop.get("/v1/users/u010/recommendations?filter=prce%20%3C%203")).startswith("filter: ")


def test_sets_are_served_with_prices_and_under_a_bound(shop: Client) -> None:
    """For nobody, for an item and for a user; the items of the sets are impressions like others."""
    best = recommend(shop, placement="item_sets", limit=2)
    assert best["next_page_token"] is None
    assert len(best["sets"]) == 2
    listed = [item["item_id"] for each in best["sets"] for item in each["items"]]
    assert ids(best) == listed
    first = best["sets"][0]
    seed, bound = first["items"][0]["item_id"], first["total_price"]
    path = f"/v1/items/{quote(seed, safe='')}/recommendations?placement=item_sets&max_total_price="
    assert [each["total_price"] for each in shop.get(f"{path}{bound}").json()["sets"]][:1] == [bound]
    assert bound not in [each["total_price"] for each in shop.get(f"{path}{bound - 0.01}").json()["sets"]]
    of_user = shop.get("/v1/users/u010/recommendations?placement=item_sets").json()
    assert of_user["sets"]
    assert "sets" not in recommend(shop, placement="popular")
    refused = shop.get("/v1/users/u010/recommendations?placement=for_you&max_total_price=10")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "max_total_price")


FIELDED = {
    "GET item": lambda shop, fields: shop.get(f"/v1/items/phone-1/recommendations?fields={','.join(fields)}"),
    "GET user": lambda shop, fields: shop.get(f"/v1/users/u010/recommendations?fields={','.join(fields)}"),
    "POST list": lambda shop, fields: ask(shop, placement="for_you", user_id="u010", fields=fields),
    "POST page": lambda shop, fields: ask(shop, "/v1/pages/home", user_id="u010", fields=fields),
    "POST pages": lambda shop, fields: ask(shop, "/v1/pages", shelves=[{"placement": "popular"}], fields=fields),
}


def items_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for shelf in answer.get("shelves", [answer]) for item in shelf["items"]]


@pytest.mark.parametrize("call", FIELDED.values(), ids=FIELDED)
def test_every_list_returns_the_fields_that_a_call_names(shop: Client, call: Any) -> None:
    table = shop.app.state.app_context.watcher.current.recommender.engine.items_table
    titles = dict(table.select("item_id", "title").iter_rows())
    for _ in range(2):  # made, then cached
        items = items_of(call(shop, ["title", "image_link", "title"]).json())
        assert items
        assert [item["fields"] for item in items] == [
            {"title": titles[item["item_id"]], "image_link": None} for item in items
        ]
        other = items_of(call(shop, ["price"]).json())
        assert all(list(item["fields"]) == ["price"] for item in other)


def test_items_have_no_fields_unless_they_are_named(shop: Client) -> None:
    for path in ("/v1/items/phone-1/recommendations", "/v1/users/u010/recommendations"):
        shop.get(f"{path}?fields=title")
        assert all("fields" not in item for item in items_of(shop.get(path).json()))
    assert all("fields" not in item for item in items_of(recommend(shop, placement="popular", fields=[])))


WRONG_FIELDS = [(["cost"], "fields contains 'cost'"), ([""], "fields"), ([*"abcdefghijklmnopq"], "")]


@pytest.mark.parametrize("call", FIELDED.values(), ids=FIELDED)
@pytest.mark.parametrize(("fields", "message"), WRONG_FIELDS)
def test_only_public_columns_are_returned(shop: Client, call: Any, fields: list[str], message: str) -> None:
    answer = call(shop, fields)
    assert answer.status_code == 422
    assert message in answer.text
    assert all(error["field"].startswith("fields") for error in answer.json()["errors"])


def test_a_shop_names_its_own_columns(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "s.sqlite", item_fields="color") as client:
        body = {"attributes": {"color": "青", "cost": 3}}
        assert client.request("PATCH", "/v1/items/phone-1", json=body).status_code == 200
        answer = ask(client, placement="popular", filter="item_id = 'phone-1'", fields=["color", "title"])
        assert [item["fields"]["color"] for item in answer.json()["items"]] == ["青"]
        assert ask(client, placement="popular", fields=["cost"]).status_code == 422


def test_a_change_of_a_returned_field_is_in_the_next_answer(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "s.sqlite") as client:
        path = "/v1/items/phone-1/recommendations?fields=title"
        first = client.get(path).json()["items"][0]
        body = {"title": "<script>alert(1)</script>"}
        client.request("PATCH", f"/v1/items/{quote(first['item_id'], safe='')}", json=body)
        again = {item["item_id"]: item["fields"]["title"] for item in client.get(path).json()["items"]}
        assert again[first["item_id"]] == body["title"]


def test_later_pages_have_the_fields_of_the_first(shop: Client) -> None:
    body: dict[str, Any] = {"placement": "popular", "limit": 3, "fields": ["title"]}
    token = recommend(shop, **body)["next_page_token"]
    later = recommend(shop, **body, page_token=token)
    assert later["items"]
    assert all(item["fields"]["title"] for item in later["items"])
    assert "another" in refused(ask(shop, **body | {"fields": ["price"]}, page_token=token))


def test_a_call_describes_the_lists_of_its_page(shop: Client) -> None:
    shelves = [
        {"placement": "similar", "item_ids": [PHONES[0]], "limit": 4},
        {"placement": "complementary", "item_ids": [PHONES[0]], "filter": "price < 100"},
        {"placement": "complementary", "item_ids": ["unknown"], "limit": 2},
        {"placement": "for_you", "limit": 5},
        {"placement": "for_you", "limit": 5},
    ]
    answer = ask(shop, "/v1/pages", shelves=shelves, user_id="u010").json()
    assert set(answer) == {"as_of", "model_version", "shelves"}
    assert [each["placement"] for each in answer["shelves"]] == [each["placement"] for each in shelves]
    assert answer["shelves"][2]["missing_ids"] == ["unknown"]
    listed = [item["item_id"] for item in items_of(answer)]
    assert len(listed) == len(set(listed)) > 10
    assert ids(answer["shelves"][0]) == ids(recommend(shop, **shelves[0], user_id="u010"))
    assert len({each["recommendation_id"] for each in answer["shelves"]}) == 5


def test_every_list_that_cannot_be_served_is_named(shop: Client) -> None:
    shelves = [
        {"placement": "none"},
        {"placement": "popular"},
        {"placement": "complementary"},
        {"placement": "popular", "filter": "price <"},
    ]
    answer = ask(shop, "/v1/pages", shelves=shelves)
    assert answer.status_code == 422
    found = [error["field"] for error in answer.json()["errors"]]
    assert found == ["shelves[0].placement", "shelves[2].item_ids", "shelves[3].filter"]


@pytest.mark.parametrize("shelves", [[], [{"placement": "popular"}] * 21, [{"placement": "popular", "log": False}]])
def test_the_lists_of_a_page_are_bounded(shop: Client, shelves: list[dict[str, Any]]) -> None:
    assert ask(shop, "/v1/pages", shelves=shelves).status_code == 422


SHELF = {"placement": "popular"}


@pytest.mark.parametrize(
    ("path", "body", "is_in_loop"),
    [
        (PATH, {"placement": "popular"}, True),
        (PATH, {"placement": "popular", "filter": "title ILIKE '%a_%'"}, False),
        ("/v1/pages/home", {"user_id": "u010"}, True),
        ("/v1/pages/home", {"user_id": "u010", "filter": "title ILIKE '%a_%'"}, False),
        ("/v1/pages", {"shelves": [SHELF] * FEW_SHELVES}, True),
        ("/v1/pages", {"shelves": [SHELF] * (FEW_SHELVES + 1)}, False),
        ("/v1/pages", {"shelves": [SHELF, SHELF | {"filter": "title ILIKE '%a_%'"}]}, False),
        ("/v1/rank", {"item_ids": [*PHONES]}, True),
        ("/v1/users/u010/recommendations?log=false&limit=87", None, True),
        ("/v1/users/u010/recommendations?log=false&limit=87&filter=price%20%3C%2099", None, False),
    ],
)
def test_the_event_loop_makes_no_list_that_a_caller_can_make_long(
    shop: Client, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any] | None, *, is_in_loop: bool
) -> None:
    lists = shop.app.state.app_context.lists
    shop.get("/health/ready")  # the live log is read
    made, run = list[bool](), lists._run

    def observed(waiting: Any) -> Any:
        made.append(threading.current_thread() is threading.main_thread())
        return run(waiting)

    monkeypatch.setattr(lists, "_mean_s", 0.0)
    monkeypatch.setattr(lists, "_run", observed)
    answer = shop.get(path) if body is None else ask(shop, path, **body)
    assert answer.status_code == 200, answer.text
    assert made == [is_in_loop]
