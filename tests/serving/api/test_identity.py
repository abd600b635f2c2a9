from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate, current_version
from recsys.core.errors import StoreError
from recsys.eventlog.identities import Identities
from recsys.fitting.engine import Engine
from tests.serving.api.test_catalog import entries, send
from tests.serving.conftest import Client, client_of


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def merge(client: Client, source: str, target: str) -> int:
    return send(client, "POST", f"/v1/users/{quote(target, safe='')}/merge", {"from": source}).status_code


def unmerge(client: Client, source: str, target: str) -> int:
    return send(client, "DELETE", f"/v1/users/{quote(target, safe='')}/merge?from={quote(source, safe='')}").status_code


def erase(client: Client, user_id: str) -> dict[str, Any]:
    response = send(client, "DELETE", f"/v1/users/{quote(user_id, safe='')}")
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def view(client: Client, **who: str) -> None:
    event = {"item_id": "tea", "event": "view_item", **who}
    assert client.request("POST", "/v1/events", json={"events": [event]}).json()["accepted"] == 1


def test_a_merge_and_its_undoing(shop: Client) -> None:
    answer = send(shop, "POST", "/v1/users/u%2F1/merge", {"from": "访客"})
    assert (answer.status_code, answer.json()) == (200, {"seq": 1, "kind": "merge", "key": "访客"})
    assert unmerge(shop, "访客", "u/1") == 200
    assert unmerge(shop, "访客", "u/1") == 404
    assert [(each.entry_type, each.key, each.body) for each in entries(shop)] == [
        ("merge", "访客", {"into": "u/1"}),
        ("unmerge", "访客", {"into": "u/1"}),
    ]


def test_circles_of_merges_are_refused(shop: Client) -> None:
    assert merge(shop, "u", "u") == 422
    assert [merge(shop, "a", "b"), merge(shop, "b", "c")] == [200, 200]
    assert [merge(shop, "b", "a"), merge(shop, "c", "a"), merge(shop, "c", "b")] == [409] * 3
    assert merge(shop, "a", "c") == 200
    assert unmerge(shop, "a", "b") == 404
    assert unmerge(shop, "b", "c") == 200
    assert merge(shop, "c", "b") == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        *(({"from": wrong}, "from") for wrong in ("", None, "a\n", "茶" * 86)),
        ({"from": "v", "to": "u"}, "to"),
    ],
)
def test_the_wrong_field_is_named(shop: Client, body: dict[str, Any], field: str) -> None:
    response = send(shop, "POST", "/v1/users/u/merge", body)
    assert (response.status_code, [error["field"] for error in response.json()["errors"]]) == (422, [field])
    reply = send(shop, "DELETE", "/v1/users/u/merge").json()
    assert [error["field"] for error in reply["errors"]] == ["from"]


def test_an_erasure_removes_all_ids_of_the_user(shop: Client, shop_models: Path) -> None:
    view(shop, user_id="u")
    view(shop, visitor_id="v")
    view(shop, user_id="app", visitor_id="w")
    view(shop, user_id="other")
    send(shop, "PUT", "/v1/users/u", {"region": "Hubei"})
    assert [merge(shop, "v", "u"), merge(shop, "app", "v"), merge(shop, "u", "whole")] == [200] * 3
    reply = erase(shop, "u")
    assert (reply["user_id"], reply["erased_ids"]) == ("u", ["u", "app", "v"])
    assert reply["removed"] == {"event": 3, "user_put": 1}
    assert reply["purged"] is True
    assert reply["at"] == shop.get("/health/ready").json()["now"] or reply["at"] > "2024-07-01"
    left = entries(shop)
    assert [each.entry_type for each in left] == ["event", "merge", "merge", "merge", "erasure", "erasure", "erasure"]
    assert abs(left[-1].at - shop.app.state.app_context.clock.now()) < 5
    assert reply["seq"] == shop.app.state.app_context.store.last_seq()
    assert f"bundle {current_version(shop_models)}" in [each["what"] for each in reply["remains"]]


def test_an_erasure_removes_linked_sessions_and_old_copies(shop: Client) -> None:
    view(shop, session_id="s")
    view(shop, user_id="u", session_id="s")
    view(shop, session_id="t")
    answer = send(shop, "DELETE", "/v1/users/u?compact=true").json()
    assert (answer["removed"], answer["linked"], answer["compacted"]) == ({"event": 2}, 1, True)
    assert not [each for each in answer["remains"] if "unused parts" in each["what"]]
    reply = erase(shop, "u")
    assert reply["compacted"] is None
    assert [each for each in reply["remains"] if "compact=true" in each["until"]]
    assert [each for each in reply["remains"] if "never seen with" in each["what"]]
    assert send(shop, "DELETE", "/v1/users/u?compact=perhaps").status_code == 422


def test_an_erasure_of_an_unknown_user_is_not_an_error(shop: Client) -> None:
    reply = erase(shop, "谁/🦊")
    assert (reply["erased_ids"], reply["removed"]) == (["谁/🦊"], {})
    assert erase(shop, "谁/🦊")["seq"] == reply["seq"] + 1


def test_the_receipt_of_an_erasure_is_given_even_if_the_disk_fails_after_it(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> bool:
        raise StoreError("the disk is full")

    view(shop, user_id="u")
    store = shop.app.state.app_context.store
    with monkeypatch.context() as patched:
        patched.setattr(store, "purge", full)
        patched.setattr(store, "compact", full)
        answer = send(shop, "DELETE", "/v1/users/u?compact=true")
    assert answer.status_code == 200
    assert (answer.json()["removed"], answer.json()["purged"], answer.json()["compacted"]) == (
        {"event": 1},
        False,
        False,
    )
    assert [each for each in answer.json()["remains"] if each["until"] == "this call is repeated"]
    assert erase(shop, "u")["purged"]


def test_an_erasure_that_fails_is_503_and_removes_nothing(shop: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    view(shop, user_id="u")
    store = shop.app.state.app_context.store
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    merges = Identities()
    for n in range(400):  # the tombstones of many ids do not fit
        merges.merge(f"alias-{n}-{'x' * 200}", "u")
    monkeypatch.setattr(shop.app.state.app_context.merges, "aliases_of", lambda key: tuple(merges.aliases_of(key)))
    answer = send(shop, "DELETE", "/v1/users/u")
    assert (answer.status_code, [each.entry_type for each in entries(shop)]) == (503, ["event"])
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert erase(shop, "u")["removed"] == {"event": 1}


def test_erased_events_stay_refused_when_they_are_sent_again(shop: Client) -> None:
    event = {"item_id": "tea", "event": "view_item", "user_id": "u", "event_id": "e1"}

    def send_event() -> dict[str, Any]:
        reply: dict[str, Any] = shop.request("POST", "/v1/events", json={"events": [event]}).json()
        return reply

    assert send_event()["accepted"] == 1
    erase(shop, "u")
    assert (send_event()["accepted"], [each.entry_type for each in entries(shop)]) == (0, ["erasure"])


@pytest.mark.parametrize(("days", "until"), [(None, "recsys store prune"), (30, "30 days after the event")])
def test_the_receipt_states_the_retention_that_is_set(
    shop_models: Path, tmp_path: Path, days: float | None, until: str
) -> None:
    with client_of(shop_models, store=tmp_path / "store.sqlite", keep_events_days=days) as client:
        remains = erase(client, "u")["remains"]
    assert until in next(each["until"] for each in remains if "never seen" in each["what"])


@pytest.fixture
def joined(shop_engine: Engine, tmp_path: Path) -> Iterator[Client]:
    """A shop whose table `identities` joins ids."""
    merges = {"访客": "u", "v": "访客", "w": "other"}
    info = replace(shop_engine.dataset_info, merged=tuple(merges), merged_into=tuple(merges.values()))
    made = Provenance(datetime(2024, 7, 2, 12, tzinfo=UTC), "shop", {}, ("invented",))
    activate(tmp_path, write_bundle(replace(shop_engine, dataset_info=info), tmp_path, made).version)
    with client_of(tmp_path) as client:
        yield client


def test_an_erasure_removes_the_ids_that_the_table_of_identities_joins(joined: Client) -> None:
    for who in ({"user_id": "u"}, {"visitor_id": "访客"}, {"user_id": "v"}, {"visitor_id": "w"}):
        view(joined, **who)
    assert merge(joined, "app", "v") == 200
    reply = erase(joined, "u")
    assert (reply["erased_ids"], reply["removed"]) == (["u", "app", "v", "访客"], {"event": 3})
    old = {"item_id": "tea", "event": "view_item", "visitor_id": "v", "timestamp": "2024-06-01T00:00:00Z"}
    answer = joined.request("POST", "/v1/events", json={"events": [old]}).json()
    assert answer["results"][0]["status"] == "erased"
    assert [each.key for each in entries(joined) if each.entry_type == "event"] == [None], "that of another user"


def test_merges_and_their_undoing_follow_the_table_of_identities(joined: Client) -> None:
    assert [merge(joined, "u", "v"), merge(joined, "u", "访客"), merge(joined, "other", "w")] == [409] * 3
    assert [unmerge(joined, "v", "u"), unmerge(joined, "访客", "other")] == [404] * 2
    assert unmerge(joined, "访客", "u") == 200
    assert unmerge(joined, "访客", "u") == 404
    assert merge(joined, "u", "v") == 200, "the circle is open now"
    assert erase(joined, "访客")["erased_ids"] == ["访客", "u", "v"]
