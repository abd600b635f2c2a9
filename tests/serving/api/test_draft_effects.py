"""What a draft would do: its check, previews beside what serves, and the difference for many shoppers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.api.drafts import TEXT, begin, desk, post
from tests.serving.conftest import Client
from tests.shop import PHONES

PINNED = {"extends": "for_you", "limit": 5, "pins": [{"item_id": PHONES[0], "rank": 1}]}


@pytest.fixture(scope="module")
def client(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with desk(shop_models, tmp_path_factory.mktemp("effects")) as client:
        yield client


@pytest.fixture(scope="module")
def pinned(client: Client) -> str:
    return begin(client, placements={"home": PINNED, "new": {"extends": "similar", "limit": 4}})[0]


def preview(client: Client, path: str, **body: Any) -> dict[str, Any]:
    reply = post(client, f"{path}/preview", **body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def ids(listed: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in listed["items"]]


def test_a_check_names_changes_hits_and_missing_pins(client: Client) -> None:
    path, _ = begin(
        client,
        placements={
            "home": {
                "extends": "for_you",
                "sources": {"als": 1.0, "popular": 0.5},
                "boosts": [{"filter": "brand = '星辰'", "factor": 2}],
                "pins": [{"item_id": "gone", "rank": 1}],
            },
            "aside": None,
        },
        pages={"start": {"placements": ["home"]}},
    )
    found = client.get(f"{path}/check").json()
    assert (found["is_valid"], found["errors"], found["is_complete"]) == (True, [], True)
    assert found["changes"] == [
        {"name": "home", "is_page": False, "change": "changed"},
        {"name": "aside", "is_page": False, "change": "removed"},
        {"name": "start", "is_page": True, "change": "changed"},
    ]
    boost, pin = found["rules"]
    assert (boost["key"], boost["kept"]) == ("boosts[0].filter", 7)
    assert (pin["subject"], pin["why"]) == ("gone", "not in the catalog")
    assert list(found["own_weights"]) == ["home"]


def test_a_check_names_everything_that_is_wrong(client: Client) -> None:
    path, _ = begin(client, toml='[placements.a]\nextends = "b"\nfilter = "x ="\n[pages.p]\nplacements = ["c"]')
    found = client.get(f"{path}/check").json()
    assert not found["is_valid"]
    assert {"placements.a.extends", "pages.p.placements[0]", "placements.a.filter"} <= {
        error["field"] for error in found["errors"]
    }


def test_a_preview_is_beside_what_serves(client: Client, pinned: str) -> None:
    found = preview(client, pinned, placement="home", user_id="u010")
    assert ids(found["drafted"])[0] == PHONES[0]
    served = client.get("/v1/users/u010/recommendations?placement=home&log=false").json()
    assert ids(found["served"]) == ids(served)
    assert found["drafted"]["items"][0]["reasons"][0]["code"] == "pinned"
    assert set(found["entered"]) == set(ids(found["drafted"])) - set(ids(found["served"]))
    assert set(found["left"]) == set(ids(found["served"])) - set(ids(found["drafted"]))
    assert set(found["titles"]) == {*ids(found["drafted"]), *ids(found["served"])}


def test_a_preview_of_an_item_a_session_and_of_another_moment(client: Client, pinned: str) -> None:
    item = preview(client, pinned, placement="new", item_ids=[PHONES[0]])
    assert (len(ids(item["drafted"])), item["served"]) == (4, None)
    session = preview(client, pinned, placement="home", item_ids=list(PHONES[:2]), session_id="s")
    assert ids(session["drafted"])
    for moment in ("2024-05-01T08:00:00+08:00", "2026-11-11T00:00:00+08:00"):
        assert ids(preview(client, pinned, placement="home", user_id="u010", as_of=moment)["drafted"])
    late = post(client, f"{pinned}/preview", placement="home", as_of="2040-01-01T00:00:00Z")
    assert late.json()["errors"][0]["field"] == "as_of"
    assert post(client, f"{pinned}/preview", placement="none").status_code == 422
    assert post(client, f"{pinned}/preview", placement="new").status_code == 422
    assert post(client, f"{pinned}/preview", placement="home", log=True).status_code == 422


def test_nothing_of_it_counts_as_shown(client: Client, pinned: str) -> None:
    context = client.app.state.app_context
    preview(client, pinned, placement="home", user_id="u010")
    post(client, f"{pinned}/difference", n_shoppers=5)
    asyncio.run(context.impressions.flush())
    assert not [stored for stored in context.store.read_after(0, 1000) if stored.entry.entry_type == "impression"]


def test_the_difference_counts_shoppers_and_places(client: Client, pinned: str) -> None:
    found = post(client, f"{pinned}/difference", n_shoppers=20).json()
    assert (found["n_shoppers"], found["is_complete"]) == (20, True)
    home, new = found["lists"]
    assert (home["placement"], home["n_lists"], home["n_changed"]) == ("home", 20, 20)
    assert home["items"][0] == {"name": PHONES[0], "title": "星辰手机 1", "served": 0, "drafted": 20}
    assert home["served"]["n_shown"] == home["drafted"]["n_shown"] == 100
    assert sum(each["drafted"] - each["served"] for each in home["items"]) == 0
    assert sum(each["drafted"] - each["served"] for each in home["brands"]) == 0
    assert "手机" in home["categories"][0]["name"]
    assert new["served"]["n_shown"] == 0
    assert found == post(client, f"{pinned}/difference", n_shoppers=20).json() | {"as_of": found["as_of"]}


def test_a_draft_without_changes_changes_nothing(client: Client) -> None:
    path, _ = begin(client)
    assert client.get(f"{path}/check").json()["changes"] == []
    assert post(client, f"{path}/difference").json()["lists"] == []
    (home,) = post(client, f"{path}/difference", placements=["home"], n_shoppers=9).json()["lists"]
    assert (home["n_changed"], home["kept_share"], home["items"], home["served"]) == (0, 1.0, [], home["drafted"])


def test_comparisons_are_bounded(client: Client, pinned: str) -> None:
    for wrong in ({"n_shoppers": 1001}, {"seconds": 61}, {"placements": ["home"] * 11}, {"placements": ["none"]}):
        assert post(client, f"{pinned}/difference", **wrong).status_code == 422
    short = post(client, f"{pinned}/difference", seconds=1e-9).json()
    assert (short["is_complete"], short["lists"]) == (False, [])

    async def hold() -> None:
        await client.app.state.app_context.comparing.acquire()

    asyncio.run(hold())
    busy = post(client, f"{pinned}/difference")
    client.app.state.app_context.comparing.release()
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")


def test_invalid_drafts_have_no_preview(client: Client) -> None:
    path, _ = begin(client, toml=TEXT + "[placements.x]\n")
    for call in ("preview", "difference"):
        body = {"placement": "home"} if call == "preview" else {}
        reply = post(client, f"{path}/{call}", **body)
        assert (reply.status_code, reply.json()["errors"][0]["field"]) == (422, "placements.x.extends")


def test_columns_have_their_frequent_values(client: Client) -> None:
    found = client.get("/v1/catalog/columns").json()
    columns = {column["name"]: column for column in found["columns"]}
    assert found["is_complete"]
    assert columns["brand"]["type"] == "text"
    assert columns["brand"]["values"][0]["n_items"] >= columns["brand"]["values"][1]["n_items"]
    assert columns["category"]["type"] == "texts"
    assert columns["price"]["low"] < columns["price"]["high"]
    assert columns["available"]["type"] == "boolean"
