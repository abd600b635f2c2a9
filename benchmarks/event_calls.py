"""Calls that send new events over HTTP, for `benchmarks.serving`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from benchmarks.load import post

N_USERS = 200_000


def new_event(item_ids: Sequence[str], randomness: random.Random) -> dict[str, Any]:
    """Return an event with a random id, as a shop's page sends it."""
    return {
        "event_id": str(UUID(int=randomness.getrandbits(128), version=4)),
        "event": "view_item",
        "item_id": randomness.choice(item_ids),
        "user_id": f"user-{randomness.randrange(N_USERS)}",
        "session_id": f"session-{randomness.randrange(10**9)}",
        "timestamp": "2017-05-01T10:00:00.000000+00:00",
        "price": 19.9,
        "currency": "CNY",
    }


def event_calls(item_ids: Sequence[str], randomness: random.Random, n_calls: int, n_events: int) -> list[bytes]:
    """Return raw requests of some events each; no id occurs twice."""
    return [
        post("/v1/events", {"events": [new_event(item_ids, randomness) for _ in range(n_events)]})
        for _ in range(n_calls)
    ]
