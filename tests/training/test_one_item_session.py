"""A session of one viewed item is about that item's department, in a shop of several departments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest

from recsys.core.request import Request
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import EngineConfig
from recsys.live.view import LiveView
from recsys.pipeline.recommend import recommend
from recsys.pipeline.recommender import Recommender
from tests.jobs import NOW, write_rows
from training.ingest.ingest import IngestConfig, InputFiles, ingest
from training.train import train

DEPARTMENTS: Final = {
    "Food": ("Milk", "Bread", "Coffee", "Snacks"),
    "Phones": ("Phone", "Case", "Charger"),
    "Leather": ("Tools", "Hides", "Thread"),
}
USER_SHARE: Final = (0.6, 0.2, 0.2)
ITEMS: Final = {
    department: [f"{department}-{type_}-{n}" for type_ in types for n in range(8)]
    for department, types in DEPARTMENTS.items()
}


def visits() -> list[dict[str, Any]]:
    """Each of 300 users visits the food department every other time, and else their own one."""
    rng, names, rows = np.random.default_rng(0), list(DEPARTMENTS), []
    for user in range(300):
        own = names[rng.choice(len(names), p=USER_SHARE)]
        for visit in range(int(rng.poisson(5)) + 1):
            at = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=float(rng.uniform(0, 110)))
            shelf = ITEMS["Food" if rng.random() < 0.5 else own]
            share = 1 / (np.arange(len(shelf)) % 8 + 1.5)
            for item_id in rng.choice(shelf, int(rng.poisson(2)) + 1, p=share / share.sum(), replace=False).tolist():
                event = {"user_id": f"u{user}", "session_id": f"s{user}-{visit}", "item_id": item_id}
                rows.append(event | {"event": "view_item", "timestamp": at})
                if rng.random() < 0.4:
                    bought = {"event": "purchase", "timestamp": at + timedelta(minutes=9)}
                    rows.append(event | bought | {"basket_id": f"o{user}-{visit}"})
    return rows


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tmp_path_factory.mktemp("departments")
    items = [
        {"item_id": id_, "category": " > ".join(id_.split("-")[:2]), "title": id_.replace("-", " ")}
        for ids in ITEMS.values()
        for id_ in ids
    ]
    sources = InputFiles(write_rows(visits(), folder / "events.parquet"), write_rows(items, folder / "items.csv"))
    ingest(sources, IngestConfig(timezone="UTC"), folder / "data", NOW)
    train(folder / "data", folder / "models", EngineConfig(), now=NOW)
    return Recommender.open(folder / "models")


@pytest.mark.parametrize("placement", ["for_you", "discover"])
@pytest.mark.parametrize("department", DEPARTMENTS)
@pytest.mark.parametrize("is_live", [True, False])
def test_the_list_is_about_the_department_of_the_item(
    shop: Recommender, placement: str, department: str, is_live: bool
) -> None:
    now = shop.engine.dataset_info.end
    live = LiveView(shop.engine)
    shares, firsts = [], []
    for n, item_id in enumerate(ITEMS[department][::3]):
        if is_live:
            body = {"session_id": f"x{n}", "event": "view_item", "item_id": item_id}
            live.apply([StoredEntry(n + 1, LogEntry("event", None, now + 5, now + 5, body))])
            request = Request(placement, now + 60, 8, session_id=f"x{n}")
        else:
            request = Request(placement, now + 60, 8, item_ids=(item_id,))
        listed = [item.item_id.split("-")[0] for item in recommend(live.engine, request, "", live).items]
        shares.append(listed.count(department) / len(listed))
        firsts.append(listed[0] == department)
    assert np.mean(shares) > 0.5, "most of the list"
    assert np.mean(firsts) >= 0.75, "and what it begins with"
