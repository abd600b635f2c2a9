"""The exposure ledger over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys.eventlog.store import LogEntry
from tests.serving.conftest import Client, client_of


def ledger(client: Client, query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/exposure{query}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_shares_of_what_was_shown_viewed_and_purchased(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        context = client.app.state.app_context
        engine = context.watcher.snapshot().recommender.current
        empty = ledger(client)
        assert (empty["lists"], empty["brands"], empty["is_complete"]) == ([], [], True)
        assert [each["name"] for each in empty["groups"]] == ["head", "tail", "new"]
        assert {each["shown_share"] for each in empty["groups"]} == {None}
        head, tail = (
            next(id_ for row, id_ in enumerate(engine.items.ids) if bool(engine.is_tail[row]) is is_tail)
            for is_tail in (False, True)
        )
        at = context.now()
        lists = {"a": ("home", [tail, head]), "b": ("home", [tail]), "c": ("cart", [tail, "no such item"])}
        entries = [
            LogEntry(
                "impression", key, at, at, {"placement": name, "user_id": "u", "items": [{"item_id": i} for i in ids]}
            )
            for key, (name, ids) in lists.items()
        ]
        event = {"event": "view_item", "item_id": tail, "user_id": "u", "recommendation_id": "a"}
        bought = event | {"event": "purchase", "item_id": head}
        context.store.append([*entries, *(LogEntry("event", None, at, at, body) for body in (event, bought))])
        found = ledger(client, "?days=1")
    groups = {each["name"]: each for each in found["groups"]}
    assert (groups["head"]["impressions"], groups["tail"]["impressions"]) == (1, 3)
    assert (groups["head"]["shown_share"], groups["tail"]["shown_share"]) == (0.2, 0.6), "one item is unknown"
    assert (groups["tail"]["clicked_share"], groups["tail"]["bought_share"], groups["head"]["bought_share"]) == (
        1,
        0,
        1,
    )
    assert groups["head"]["n_items"] + groups["tail"]["n_items"] == found["n_items"]
    assert groups["head"]["catalog_share"] + groups["tail"]["catalog_share"] == 1
    assert [(each["placement"], each["impressions"]) for each in found["lists"]] == [("home", 3), ("cart", 2)]
    assert sum(each["impressions"] for each in found["brands"]) <= 4


def test_days_are_bounded(client: Client) -> None:
    for wrong in ("days=0", "days=36", "placement=home"):
        assert client.get(f"/v1/exposure?{wrong}").status_code == 422


def test_items_that_came_after_the_bundle_are_in_the_tail_and_new(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        now = client.get("/v1/exposure").json()["now"]
        before = {each["name"]: each["n_items"] for each in ledger(client)["groups"]}
        body = {"title": "just in", "price": 1.0, "created_at": now, "available": True}
        assert client.request("PUT", "/v1/items/just-in", json=body).status_code == 200
        assert client.get("/v1/users/u010/recommendations").status_code == 200
        context = client.app.state.app_context
        shown = {"placement": "home", "user_id": "u", "items": [{"item_id": "just-in"}]}
        context.store.append([LogEntry("impression", "r", context.now(), context.now(), shown)])
        found = {each["name"]: each for each in ledger(client)["groups"]}
    assert {name: found[name]["n_items"] - n for name, n in before.items()} == {"head": 0, "tail": 1, "new": 1}
    assert {name: found[name]["impressions"] for name in found} == {"head": 0, "tail": 1, "new": 1}
