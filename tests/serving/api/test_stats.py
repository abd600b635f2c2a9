"""The figures of a console's first page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.serving.conftest import client_of


def test_lists_and_what_became_of_them(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        empty = client.get("/v1/stats").json()
        assert (empty["days"], empty["is_complete"], empty["clock"], empty["last_error"]) == ([], True, "data", None)
        assert empty["timezone"] == "Asia/Shanghai"
        assert empty["data_until"] <= empty["now"]
        shown = client.get("/v1/users/u010/recommendations?placement=popular&limit=4").json()
        client.get("/v1/users/u010/recommendations?placement=popular&limit=4&log=false")
        asyncio.run(client.app.state.app_context.impressions.flush())
        sent = {
            "recommendation_id": shown["recommendation_id"],
            "user_id": "u010",
            "item_id": shown["items"][0]["item_id"],
        }
        events = [
            sent | {"event": "view_item"},
            sent | {"event": "purchase", "price": 5.0, "quantity": 2, "currency": "CNY"},
        ]
        assert client.request("POST", "/v1/events", json={"events": events}).json()["refused"] == 0
        (day,) = client.get("/v1/stats?days=2").json()["days"]
        assert day.pop("day") in (empty["now"][:10], shown["as_of"][:10])
        assert day == {
            "placement": "popular",
            "lists": 1,
            "impressions": 4,
            "clicks": 1,
            "carts": 0,
            "purchases": 1,
            "ctr": 0.25,
            "revenue": {"CNY": 10.0},
        }
        for wrong in ("days=0", "days=36", "from=2024"):
            assert client.get(f"/v1/stats?{wrong}").status_code == 422
