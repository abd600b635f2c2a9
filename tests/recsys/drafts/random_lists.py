"""Random lists and clicks in a live log, as the server writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.core.request import Request
from recsys.eventlog.store import EventStore, LogEntry
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve_request

N_LISTS = 400


def write_random_lists(
    store: EventStore,
    recommender: Recommender,
    liked: set[str],
    n: int = N_LISTS,
    placement: str = "popular",
    **changes: Any,
) -> None:
    """Lists of all users on some days, as the server logs them; half of the liked items that are shown are clicked."""
    rng = np.random.default_rng(4)
    users = [user for user in recommender.engine.users.ids if has_events(recommender, user)]
    entries = []
    for each in range(n):
        user, at = users[each % len(users)], recommender.data_end + each // len(users) * 86_400
        request = Request(placement, at, limit=4, user_id=user)
        found = recommender.recommend_for(request)
        items = [{"item_id": item.item_id, "propensity": item.propensity} for item in found.items]
        body = {"placement": placement, "model_version": recommender.version, "items": items, "user_id": user}
        entries.append(LogEntry("impression", f"r{each}", at, at, body | changes))
        for item in found.items:
            if item.item_id in liked and rng.random() < 0.5:
                click = {"event": "view_item", "item_id": item.item_id, "user_id": user}
                entries.append(LogEntry("event", None, at + 1, at + 1, click | {"recommendation_id": f"r{each}"}))
    store.append(entries)


def has_events(recommender: Recommender, user: str) -> bool:
    request = Request("popular", recommender.data_end, user_id=user)
    return bool(resolve_request(recommender.engine, request)[1].query.user_key)
