"""Calls with new events."""

from __future__ import annotations

import json
import random

from benchmarks.event_calls import event_calls


def test_every_event_is_new_and_of_a_known_item() -> None:
    calls = event_calls(["a", "b"], random.Random(0), 3, 4)
    events = [event for call in calls for event in json.loads(call.partition(b"\r\n\r\n")[2])["events"]]
    assert len({event["event_id"] for event in events}) == 12
    assert {event["item_id"] for event in events} <= {"a", "b"}
