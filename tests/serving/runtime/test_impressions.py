from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recsys.core.errors import StoreBusyError, StoreError
from recsys.core.request import Recommendations, RecommendedItem, Request
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import EventStore, LogEntry, events_table
from serving.runtime.impressions import (
    MAX_IMPRESSIONS,
    ImpressionPayload,
    Impressions,
    impression_payload,
    user_columns,
)
from serving.runtime.settings import load_settings
from serving.runtime.telemetry import Telemetry
from tests.serving.conftest import Client, Server, client_of
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY

ITEM = "/v1/items/phone-1/recommendations?limit=3"
USER = f"/v1/users/{USERS_WITH_HISTORY[9]}/recommendations?limit=3"


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def flushed(client: Client) -> list[LogEntry]:
    app_context = client.app.state.app_context
    client._runner.run(app_context.impressions.flush())
    return [stored.entry for stored in app_context.store.read_after(0, 100_000)]


def answer(client: Client, path: str) -> dict[str, Any]:
    reply: dict[str, Any] = client.get(path).json()
    return reply


def an_answer(*ranks: int) -> Recommendations:
    items = tuple(RecommendedItem(f"i{rank}", 1 / rank, rank, "popular", ()) for rank in ranks)
    return Recommendations("popular", "v1", items, True, (), 1.0, 8, "UTC")


def test_propensities_are_recorded() -> None:
    drawn = replace(
        an_answer(1, 2), items=(structs.replace(an_answer(1).items[0], propensity=0.25), an_answer(2).items[0])
    )
    assert msgspec.json.decode(impression_payload(drawn).items) == [
        {"item_id": "i1", "score": 1.0, "propensity": 0.25},
        {"item_id": "i2", "score": 0.5},
    ]


def test_a_list_is_recorded_as_returned(shop: Client) -> None:
    reply = answer(shop, USER)
    (entry,) = flushed(shop)
    assert (entry.entry_type, entry.key) == ("impression", reply["recommendation_id"])
    assert entry.body == {
        "placement": "for_you",
        "model_version": reply["model_version"],
        "fallback_used": False,
        "items": [{"item_id": item["item_id"], "score": item["score"]} for item in reply["items"]],
        "user_id": USERS_WITH_HISTORY[9],
    }
    assert abs(entry.at - shop.app.state.app_context.clock.now()) < 5
    assert entry.received_at > entry.at
    table = events_table(shop.app.state.app_context.store)
    assert table["position"].to_list() == [1, 2, 3]
    assert table["item_id"].to_list() == [item["item_id"] for item in reply["items"]]


def test_impressions_of_one_cached_list_are_one_entry(shop: Client) -> None:
    reply = [answer(shop, ITEM) for _ in range(3)]
    assert reply[0]["items"] == reply[2]["items"]
    answer(shop, f"{ITEM}&user_id=u020")
    mine, theirs = sorted(flushed(shop), key=lambda entry: "shown" in entry.body)
    assert mine.body["user_id"] == "u020"
    assert theirs.key is None
    assert [each["recommendation_id"] for each in theirs.body["shown"]] == [each["recommendation_id"] for each in reply]
    assert [each["item_id"] for each in theirs.body["items"]] == [each["item_id"] for each in reply[0]["items"]]
    assert "user_id" not in theirs.body
    assert flushed(shop) == [mine, theirs] or len(flushed(shop)) == 2, "nothing is written twice"


def test_errors_are_not_recorded(shop: Client) -> None:
    assert shop.get("/v1/items/no-such-thing/recommendations").status_code == 404
    assert flushed(shop) == []


def test_users_who_opted_out_are_not_recorded(shop: Client) -> None:
    answer(shop, f"/v1/users/{OPTED_OUT}/recommendations")
    (entry,) = flushed(shop)
    assert entry.body["fallback_used"]
    assert not {"user_id", "visitor_id", "session_id"} & set(entry.body)
    assert events_table(shop.app.state.app_context.store).is_empty(), "nobody is named"
    live = shop.app.state.app_context.watcher.current.recommender.live
    live.identities.merge("their-phone", OPTED_OUT)
    assert user_columns(live, Request("popular", 0, visitor_id="their-phone")) is None
    assert user_columns(live, Request("popular", 0)) is None
    assert user_columns(live, Request("popular", 0, user_id="u", session_id="s")) == {"user_id": "u", "session_id": "s"}


def test_later_pages_keep_their_ranks() -> None:
    assert (
        bytes(impression_payload(an_answer(1, 2)).items)
        == b'[{"item_id":"i1","score":1.0},{"item_id":"i2","score":0.5}]'
    )
    assert bytes(impression_payload(an_answer(4)).items) == b'[{"item_id":"i4","score":0.25,"position":4}]'


class CountingTelemetry(Telemetry):
    """Keeps the counts of impressions."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def shown(self, result: str, count: int) -> None:
        self.counts[result] = self.counts.get(result, 0) + count


def logged(
    folder: Path, record_all: Callable[[Impressions], None], store: EventStore | None = None, **settings: Any
) -> tuple[list[LogEntry], dict[str, int]]:
    """Return the entries of the log after some impressions, and the counts."""
    telemetry = CountingTelemetry()
    with closing(SqliteStore(folder / "log.sqlite")) as real:
        impressions = Impressions(load_settings(**settings), telemetry, lambda: store or real, lambda: 5.0)
        record_all(impressions)
        asyncio.run(impressions.flush())
        return [stored.entry for stored in real.read_after(0, 10**6)], {k: v for k, v in telemetry.counts.items() if v}


SHOWN = impression_payload(an_answer(1, 2))


def many(count: int, who: dict[str, str] | None = None) -> Callable[[Impressions], None]:
    def record_all(impressions: Impressions) -> None:
        for number in range(count):
            impressions.record(f"abc-{number:x}", number, SHOWN, who)

    return record_all


def test_the_id_alone_decides_about_the_sample(tmp_path: Path) -> None:
    entries, counts = logged(tmp_path, many(10_000, {"user_id": "u"}), impression_sample=0.2)
    assert counts == {"logged": len(entries)}
    assert len(entries) == pytest.approx(2000, rel=0.05)
    assert all(entry.body["sampled"] == 0.2 for entry in entries)
    again, _ = logged(tmp_path, many(10_000, {"user_id": "u"}), impression_sample=0.2)
    assert again == entries, "the same ids, so the store has them already"
    assert logged(tmp_path, many(100), impression_sample=0.0)[1] == {}


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    entries, counts = logged(tmp_path, many(50), impression_queue=30)
    assert counts == {"logged": 30, "dropped": 20}
    assert [each["at"] for each in entries[0].body["shown"]] == list(range(30))


def test_the_size_of_an_entry_is_limited(tmp_path: Path) -> None:
    entries, counts = logged(tmp_path, many(MAX_IMPRESSIONS + 1))
    assert [len(entry.body.get("shown", ())) for entry in entries] == [MAX_IMPRESSIONS, 0]
    assert counts == {"logged": MAX_IMPRESSIONS + 1}


@pytest.mark.parametrize("error", [StoreError("the disk is full"), StoreBusyError(1, 2, 3)])
def test_a_store_failure_loses_only_impressions(
    tmp_path: Path, error: StoreError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(SqliteStore, "submit" if isinstance(error, StoreBusyError) else "_commit", fail)
    assert logged(tmp_path, many(3)) == ([], {"failed": 3})
    assert "3 impressions are not in the live log" in caplog.text


def test_impressions_of_erased_users_are_not_counted_as_logged(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "log.sqlite")) as store:
        store.erase(["u"], 100.0)
    entries, counts = logged(tmp_path, many(3, {"user_id": "u"}))
    assert (len(entries), counts) == (1, {})


def test_a_cancelled_flush_loses_no_impressions(tmp_path: Path) -> None:
    async def cancel_in_between(impressions: Impressions) -> None:
        task = asyncio.create_task(impressions.flush())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def record_all(impressions: Impressions) -> None:
        many(1000, {"user_id": "u"})(impressions)
        asyncio.run(cancel_in_between(impressions))

    assert len(logged(tmp_path, record_all)[0]) == 1000


def test_a_clean_stop_writes_the_queue(start: Callable[..., Server], own_models: Path) -> None:
    server = start(own_models)
    server.wait()
    ids = {server.get(USER).json()["recommendation_id"] for _ in range(5)}
    assert server.stop()[0] == 0
    with closing(SqliteStore(own_models / "store.sqlite")) as store:
        assert ids <= {stored.entry.key for stored in store.read_after(0, 1000)}


def test_running_servers_write_and_count(start: Callable[..., Server], own_models: Path) -> None:
    server = start(own_models)
    server.wait()
    server.get(ITEM)
    server.wait("/metrics", lambda response: 'recsys_impressions_total{result="logged"} 1.0' in response.text)


def test_the_payload_of_a_list() -> None:
    assert SHOWN[:3] == ("popular", "v1", True)
    assert isinstance(SHOWN, ImpressionPayload)


def test_a_list_that_was_shown_before_an_erasure_and_waits_is_erased(shop: Client) -> None:
    user = USERS_WITH_HISTORY[9]
    for path in (USER, f"{USER}&placement=buy_again", f"/v1/users/{user}/recommendations?limit=1"):
        answer(shop, path)
    assert shop.request("DELETE", f"/v1/users/{user}").status_code == 200
    assert [entry for entry in flushed(shop) if entry.body.get("user_id") == user] == []
    shown = answer(shop, USER)["recommendation_id"]
    assert [entry.key for entry in flushed(shop) if entry.body.get("user_id") == user] == [shown], "a new user's list"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", USER, None),
        ("GET", f"{ITEM}&user_id={USERS_WITH_HISTORY[9]}", None),
        ("POST", "/v1/recommendations", {"placement": "for_you", "user_id": USERS_WITH_HISTORY[9]}),
        ("POST", "/v1/rank", {"item_ids": ["phone-1"], "user_id": USERS_WITH_HISTORY[9]}),
    ],
)
def test_a_list_that_was_made_while_its_user_was_erased_is_not_stored(
    shop: Client, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """It was made from what the erasure has removed meanwhile, though it is shown later."""
    user, app_context = USERS_WITH_HISTORY[9], shop.app.state.app_context
    make_id = app_context.id_generator.next

    def erase_and_make_id() -> str:
        app_context.store.erase([user], time.time() - 1, app_context.now())
        return str(make_id())

    monkeypatch.setattr(app_context.id_generator, "next", erase_and_make_id)
    assert shop.request(method, path, json=body).status_code == 200
    monkeypatch.undo()
    assert [entry for entry in flushed(shop) if entry.entry_type == "impression"] == []
    assert shop.request(method, path, json=body).status_code == 200
    (entry,) = [entry for entry in flushed(shop) if entry.entry_type == "impression"]
    assert entry.body["user_id"] == user
