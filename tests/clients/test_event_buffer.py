from __future__ import annotations

import threading
from typing import Any

from recsys_client.event_buffer import EventBuffer
from recsys_client.models import EventResult, EventResults, FieldError


def test_events_get_an_id_and_a_time_unless_they_have_them() -> None:
    buffer = EventBuffer(10)
    buffer.add({"item_id": "a"})
    buffer.add({"item_id": "b", "event_id": "own", "timestamp": None})
    first, second = buffer.take(5)
    assert len(first["event_id"]) == 32
    assert first["timestamp"].endswith("+00:00")
    assert (second["event_id"], second["timestamp"]) == ("own", None)


def test_the_order_is_kept_and_the_newest_are_dropped() -> None:
    buffer = EventBuffer(3)
    for name in "abc":
        buffer.add({"item_id": name})
    taken = buffer.take(2)
    buffer.add({"item_id": "d"})
    buffer.put_back(taken)
    assert [event["item_id"] for event in buffer.take(9)] == ["a", "c", "d"]
    assert buffer.counts.dropped == 1


def test_results_are_counted_and_reported() -> None:
    refused: list[Any] = []
    buffer = EventBuffer(3, lambda event, errors: refused.append((event["item_id"], errors[0].field)))
    bad = EventResult(status="rejected", event_id=None, errors=[FieldError(field="price", message="price is -1")])
    good = EventResult(status="accepted", event_id=None, errors=[])
    buffer.settle([{"item_id": "a"}, {"item_id": "b"}], EventResults(accepted=1, refused=1, results=[good, bad]))
    assert refused == [("b", "price")]
    assert (buffer.counts.accepted, buffer.counts.refused) == (1, 1)


def test_many_threads_lose_nothing() -> None:
    buffer = EventBuffer(500)
    threads = [threading.Thread(target=lambda: [buffer.add({}) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(buffer) == 500
    assert buffer.counts.dropped == 300
    assert len({event["event_id"] for event in buffer.take(1000)}) == 500
