"""Limits of keys: the bucket and the quota by a made-up clock, and calls over HTTP."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from recsys.core.errors import ConfigError
from serving.problems import LimitError
from serving.runtime.app_context import with_start_time
from serving.runtime.auth import Key, Scope, new_key, read_keys, write_keys
from serving.runtime.call_counts import CallCounts
from serving.runtime.key_limits import DAY_S, Account, KeyLimits, Limits
from serving.runtime.settings import KEY_COUNTS, Settings, load_settings
from serving.runtime.telemetry import Telemetry
from tests.serving.conftest import Client, Server, client_of
from tests.shop import PHONES, USERS_WITH_HISTORY

MIDNIGHT = 20_000.0 * DAY_S
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN, _ = new_key("shop", ["recommend"], NOW)
LIST = f"/v1/items/{PHONES[0]}/recommendations"
SETTINGS = load_settings(models=Path("/dev/null/none"), store="postgresql://nobody@nowhere/none")
"""Counts are in memory: the log is no file."""


class MadeUpClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, at: float = MIDNIGHT) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def limits_of(settings: Settings = SETTINGS, now: Callable[[], float] = time.time) -> KeyLimits:
    return KeyLimits(settings, Telemetry(), now)


def account_of(clock: MadeUpClock, **limits: Any) -> Account:
    account = limits_of(now=clock).account(structs.replace(PLAIN, **limits))
    assert account is not None
    return account


def is_admitted(account: Account) -> bool:
    try:
        account.begin()
    except LimitError:
        return False
    return True


@pytest.mark.parametrize(
    ("own", "of_server", "expected"),
    [
        ({}, {}, Limits(None, 1, None)),
        ({}, {"key_rate": 2.5, "key_quota": 9}, Limits(2.5, 3, 9)),
        ({}, {"key_rate": 2.5, "key_burst": 50}, Limits(2.5, 50, None)),
        ({"rate": 0.0, "quota": 0}, {"key_rate": 2.5, "key_quota": 9}, Limits(None, 1, None)),
        ({"rate": 0.1}, {"key_rate": 2.5, "key_burst": 50}, Limits(0.1, 1, None)),
        ({"rate": 7.0, "burst": 4, "quota": 5}, {"key_quota": 9}, Limits(7.0, 4, 5)),
    ],
)
def test_a_key_without_its_own_limits_has_those_of_the_server(
    own: dict[str, Any], of_server: dict[str, Any], expected: Limits
) -> None:
    settings = SETTINGS.model_copy(update=of_server)
    key = structs.replace(PLAIN, **own)
    assert Limits.of(key, settings) == expected
    assert (limits_of(settings).account(key) is None) == expected.is_none


def test_a_bucket_by_hand() -> None:
    clock = MadeUpClock()
    account = account_of(clock, rate=2.0, burst=3)
    assert [is_admitted(account) for _ in range(4)] == [True, True, True, False]
    clock.at += 0.5
    assert [is_admitted(account) for _ in range(2)] == [True, False]
    clock.at += 1000
    assert [is_admitted(account) for _ in range(4)] == [True, True, True, False]
    account.charge(7)  # a call that has begun is completed: 8 calls are missing then
    with pytest.raises(LimitError) as refused:
        account.begin()
    assert refused.value.retry_after_s == 4
    clock.at += 3.9
    assert not is_admitted(account)
    clock.at += 0.1
    assert is_admitted(account)


def test_a_quota_by_hand() -> None:
    clock = MadeUpClock(MIDNIGHT + 1000.5)
    account = account_of(clock, quota=5)
    assert [is_admitted(account) for _ in range(3)] == [True] * 3
    with pytest.raises(LimitError, match="5 calls per UTC day, of which 2 are left, and this one counts as 4"):
        account.charge(3)
    account.charge(1)
    account.spend(4)  # done already
    assert account.n_today == 8
    with pytest.raises(LimitError, match="of which 0 are left: send this call again after 85400 s") as refused:
        account.begin()
    assert refused.value.retry_after_s == DAY_S - 1000
    clock.at = MIDNIGHT + DAY_S
    assert account.n_today == 0
    assert [is_admitted(account) for _ in range(6)] == [True] * 5 + [False]


def test_headers_state_what_is_left() -> None:
    clock = MadeUpClock(MIDNIGHT + 60)
    account = account_of(clock, rate=2.0, burst=10, quota=100)
    account.begin()
    assert account.headers() == {
        "RateLimit-Policy": '"rate";q=10;w=5, "quota";q=100;w=86400',
        "RateLimit": '"rate";r=9;t=1, "quota";r=99;t=86340',
    }
    account.charge(29)
    assert account.headers()["RateLimit"] == '"rate";r=0;t=11, "quota";r=70;t=86340'
    only_quota = account_of(clock, quota=2)
    only_quota.begin()
    assert only_quota.headers() == {"RateLimit-Policy": '"quota";q=2;w=86400', "RateLimit": '"quota";r=1;t=86340'}


@given(
    rate=st.floats(0.01, 1e6),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 100) | st.just(0.0), min_size=1, max_size=60),
)
def test_no_window_has_more_calls_than_burst_and_rate_allow(rate: float, burst: int, pauses: list[float]) -> None:
    clock = MadeUpClock()
    account = account_of(clock, rate=rate, burst=burst)
    admitted, refused_until = [], -math.inf
    for pause in pauses:
        clock.at += pause
        try:
            account.begin()
        except LimitError as error:
            refused_until = clock.at + error.retry_after_s
            continue
        admitted.append(clock.at)
        refused_until = -math.inf
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - admitted[first]) * (1 + 1e-9) + 1e-6
    if refused_until > -math.inf:  # who waits for Retry-After is admitted
        clock.at = refused_until
        assert is_admitted(account)


@given(
    limits=st.tuples(st.floats(0.01, 100) | st.none(), st.integers(1, 30) | st.none()).filter(any),
    steps=st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from(["begin", "charge", "spend"]), st.integers(0, 99))),
)
def test_what_is_counted_is_never_more_than_admitted(
    limits: tuple[float | None, int | None], steps: list[tuple[float, str, int]]
) -> None:
    """Whatever the clock does, a quota is exceeded by parts that are done only, and headers are well-formed."""
    clock = MadeUpClock()
    rate, quota = limits
    account = account_of(clock, rate=rate, quota=quota)
    for pause, method, n in steps:
        clock.at += pause
        before = account.n_today
        is_refused = False
        try:
            getattr(account, method)(*([] if method == "begin" else [n]))
        except LimitError:
            is_refused = True
        if is_refused:
            assert method != "spend"
            assert account.n_today == before
        else:
            assert account.n_today == before + (1 if method == "begin" else n)
            assert method == "spend" or not n or quota is None or account.n_today <= quota
        assert re.fullmatch(r'("(rate|quota)";r=\d+;t=\d+(, )?)+', account.headers()["RateLimit"])


def test_a_clock_that_was_set_back_blocks_nobody() -> None:
    clock = MadeUpClock()
    account = account_of(clock, rate=1.0)
    assert [is_admitted(account) for _ in range(2)] == [True, False]
    clock.at -= 1e6
    assert not is_admitted(account)
    clock.at += 1
    assert is_admitted(account)


def test_a_body_that_no_day_has_room_for_is_to_be_split() -> None:
    account = account_of(MadeUpClock(), quota=5)
    account.begin()
    with pytest.raises(LimitError, match="this one counts as 6: send it in parts"):
        account.charge(5)


def test_the_first_rate_of_a_key_with_a_quota_finds_a_full_bucket() -> None:
    clock = MadeUpClock()
    limits = limits_of(now=clock)
    key = structs.replace(PLAIN, quota=1000)
    account = limits.account(key)
    assert account is not None
    assert all(is_admitted(account) for _ in range(50))
    limited = limits.account(structs.replace(key, rate=0.1, burst=20))
    assert limited is not None
    assert [is_admitted(limited) for _ in range(21)] == [True] * 20 + [False]


def test_the_wait_for_the_lock_is_no_time_to_refill_twice(tmp_path: Path) -> None:
    """Another process uses all there is while this one waits: what it has counted is not counted again."""
    clock, path = MadeUpClock(), tmp_path / "counts"
    key, limits = structs.replace(PLAIN, rate=1.0, burst=10), Limits(1.0, 10, None)
    admitted: list[bool] = []

    class Waiting(CallCounts):
        def lock(self) -> None:
            clock.at += 5
            while is_admitted(other):
                admitted.append(True)
            super().lock()

    other_counts, counts = CallCounts(path), Waiting(path, is_shared=True)
    other = Account(key, limits, other_counts, clock, Telemetry())
    slow = Account(key, limits, counts, clock, Telemetry())
    for _ in range(10):
        admitted += [True] * is_admitted(slow)
    assert len(admitted) <= 10 + clock.at - MIDNIGHT
    for each in (other_counts, counts):
        each.close()


def test_a_key_that_is_read_again_keeps_what_it_has_used() -> None:
    clock = MadeUpClock()
    limits = limits_of(now=clock)
    key = structs.replace(PLAIN, rate=1.0, burst=5, quota=9)
    account = limits.account(key)
    assert account is not None
    assert limits.account(key) is account
    assert [is_admitted(account) for _ in range(6)] == [True] * 5 + [False]
    again = limits.account(structs.replace(key))
    assert again is not None
    assert again is not account
    assert not is_admitted(again)
    smaller = limits.account(structs.replace(key, burst=2, quota=6))
    assert smaller is not None
    clock.at += 100
    assert [is_admitted(smaller) for _ in range(2)] == [True, False]  # of six, five were used
    other = limits.account(structs.replace(new_key("", ["recommend"], NOW)[0], quota=1))
    assert other is not None
    assert is_admitted(other)
    assert limits.account(structs.replace(key, rate=0.0, quota=0)) is None


def test_counts_outlive_a_restart(tmp_path: Path) -> None:
    settings, key, clock = load_settings(models=tmp_path), structs.replace(PLAIN, quota=3), MadeUpClock()
    for expected in ([True, True], [True, False]):
        limits = limits_of(settings, clock)
        account = limits.account(key)
        assert account is not None
        assert [is_admitted(account) for _ in range(2)] == expected
        limits.close()
    assert limits_of(settings, clock).used(key) == (Limits(None, 1, 3), 3)
    assert [path.name for path in tmp_path.iterdir()] == [KEY_COUNTS]


def test_workers_share_the_counts(tmp_path: Path) -> None:
    settings, clock = load_settings(models=tmp_path, workers=2), MadeUpClock()
    key = structs.replace(PLAIN, rate=1.0, burst=5)
    accounts = [limits_of(settings, clock).account(key) for _ in range(2)]
    assert all(account is not None for account in accounts)
    assert [account is not None and is_admitted(account) for account in accounts * 3] == [True] * 5 + [False]


def test_a_key_that_is_refused_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = MadeUpClock()
    account = account_of(clock, rate=0.001, burst=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(130):
            is_admitted(account)
            clock.at += 1
    assert [record.getMessage() for record in caplog.records] == [
        f"calls of key {PLAIN.key_id} (shop) are refused: it may make 0.001 calls per second with bursts of 1"
    ] * 3


def test_a_file_of_counts_that_is_none_is_an_error_at_the_start(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.json", [structs.replace(PLAIN, quota=1)])
    (tmp_path / KEY_COUNTS).write_bytes(b"something else")
    settings = load_settings(models=tmp_path, keys=tmp_path / "keys.json")
    with pytest.raises(ConfigError, match="does not count calls"):
        with_start_time(settings)
    account = limits_of(settings).account(structs.replace(PLAIN, quota=1))  # a key that is limited later
    assert account is not None
    assert [is_admitted(account) for _ in range(2)] == [True, False]
    write_keys(tmp_path / "keys.json", [PLAIN])
    with_start_time(settings)


def test_a_limit_costs_a_few_microseconds() -> None:
    account = account_of(MadeUpClock(), rate=1e6, quota=10**12)
    times = []
    for _ in range(20):
        started = perf_counter()
        for _ in range(200):
            account.begin()
        times.append((perf_counter() - started) / 200)
    assert min(times) < 10e-6


# Over HTTP


@pytest.fixture
def guarded(shop_models: Path, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that starts an app with one key, `made["secret"]`, with some limits."""
    opened = []

    def start(limits: dict[str, Any], *scopes: Scope, **settings: Any) -> Client:
        key, secret = new_key("shop", scopes or ["admin"], NOW)
        write_keys(tmp_path / "keys.json", [structs.replace(key, **limits)])
        context = client_of(
            shop_models, **{"keys": tmp_path / "keys.json", "key_counts": tmp_path / KEY_COUNTS, **settings}
        )
        client = context.__enter__()
        opened.append(context)
        client._client.headers["X-API-Key"] = secret
        return client

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def remaining(reply: httpx.Response, name: str) -> int:
    found = re.search(rf'"{name}";r=(\d+)', reply.headers["ratelimit"])
    assert found is not None
    return int(found[1])


def events(n: int) -> dict[str, Any]:
    return {"events": [{"event": "view_item", "item_id": PHONES[0], "user_id": "u"} for _ in range(n)]}


def test_a_refused_call_says_why_and_until_when(guarded: Callable[..., Client]) -> None:
    client = guarded({"rate": 0.01, "burst": 2})
    first = client.get(LIST)
    assert (first.status_code, first.headers["ratelimit-policy"]) == (200, '"rate";q=2;w=200')
    assert remaining(first, "rate") == 1
    wrong = client.get(f"{LIST}?nonsense=1")
    assert (wrong.status_code, remaining(wrong, "rate")) == (422, 0)
    refused = client.get(LIST)
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 99 <= int(refused.headers["retry-after"]) <= 100
    assert remaining(refused, "rate") == 0
    assert refused.json()["title"] == "Too Many Requests"
    assert "0.01 calls per second with bursts of 2" in refused.json()["detail"]
    assert client.get("/health/ready").status_code == 200
    exposition = client.app.state.app_context.telemetry.exposition().decode()
    assert 'recsys_limited_calls_total{reason="rate"} 1.0' in exposition
    assert 'status="429"' not in exposition


def test_a_key_without_limits_has_no_headers(guarded: Callable[..., Client]) -> None:
    reply = guarded({}).get(LIST)
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("ratelimit")]


def test_limits_of_the_server_are_those_of_keys_without_their_own(guarded: Callable[..., Client]) -> None:
    client = guarded({}, key_rate=0.01, key_burst=1)
    assert [client.get(LIST).status_code for _ in range(2)] == [200, 429]


def test_a_call_costs_what_is_in_it(guarded: Callable[..., Client]) -> None:
    client = guarded({"quota": 1000})
    shelf = {"placement": "popular"}
    sent = {
        "recommendation_id": "r",
        "placement": "popular",
        "items": [{"item_id": PHONES[0]}],
    }
    line = json.dumps({"placement": "popular"})
    ndjson = {"Content-Type": "application/x-ndjson"}
    calls: list[tuple[int, str, dict[str, Any]]] = [
        (1, "/v1/recommendations", {"json": shelf}),
        (3, "/v1/pages", {"json": {"shelves": [shelf] * 3}}),
        (1, "/v1/rank", {"json": {"item_ids": list(PHONES)}}),
        (20, "/v1/events", {"json": events(20)}),
        (2, "/v1/collect", {"json": [events(1)["events"][0], {"name": "no event"}]}),
        (4, "/v1/impressions", {"json": {"impressions": [sent] * 4}}),
        (1, "/v1/batch", {"json": shelf}),
        (7, "/v1/batch", {"content": "\n".join([line] * 7), "headers": ndjson}),
    ]
    left = remaining(client.get(LIST), "quota")
    assert left == 999
    for cost, path, given_body in calls:
        reply = client.request("POST", path, **given_body)
        assert reply.status_code == 200, reply.text
        after = remaining(client.get(LIST), "quota")
        assert left - after == cost + 1, path
        left = after


def test_a_body_that_costs_more_than_is_left_is_refused_whole(guarded: Callable[..., Client]) -> None:
    client = guarded({"quota": 10})
    reply = client.request("POST", "/v1/events", json=events(11))
    assert (reply.status_code, remaining(reply, "quota")) == (429, 9)
    assert "10 calls per UTC day, of which 9 are left, and this one counts as 11" in reply.json()["detail"]
    assert client.request("POST", "/v1/events", json=events(9)).json()["accepted"] == 9


def test_a_batch_ends_where_the_quota_ends(guarded: Callable[..., Client]) -> None:
    client = guarded({"quota": 30})
    line = json.dumps({"placement": "for_you", "user_id": USERS_WITH_HISTORY[0]})
    text = "\n".join([line] * 3000)
    reply = client.request("POST", "/v1/batch", content=text, headers={"Content-Type": "application/x-ndjson"})
    results = [json.loads(each) for each in reply.text.splitlines()]
    *lists, last = results
    assert reply.status_code == 200
    assert 30 <= len(lists) < 3000
    assert all("answer" in each for each in lists)
    assert last["problem"]["status"] == 429
    assert client.get(LIST).status_code == 429


def test_a_batch_may_empty_the_bucket_below_zero(guarded: Callable[..., Client]) -> None:
    client = guarded({"rate": 1.0, "burst": 5})
    text = "\n".join([json.dumps({"placement": "popular"})] * 50)
    reply = client.request("POST", "/v1/batch", content=text, headers={"Content-Type": "application/x-ndjson"})
    assert len(reply.text.splitlines()) == 50
    refused = client.get(LIST)
    assert refused.status_code == 429
    assert 35 <= int(refused.headers["retry-after"]) <= 46


def test_keys_that_callers_make_up_are_not_remembered(guarded: Callable[..., Client]) -> None:
    client = guarded({"quota": 10})
    client.get(LIST)
    for number in range(50):
        assert client.request("GET", LIST, headers={"X-API-Key": f"recsys_{number}"}).status_code == 401
    assert len(client.app.state.app_context.limits._known) == 1


def test_a_changed_file_of_keys_keeps_what_was_used(guarded: Callable[..., Client], tmp_path: Path) -> None:
    client = guarded({"quota": 3})
    assert [client.get(LIST).status_code for _ in range(2)] == [200, 200]
    path = tmp_path / "keys.json"
    other: Key = new_key("a", ["admin"], NOW)[0]
    write_keys(path, [*read_keys(path), other])
    assert [client.get(LIST).status_code for _ in range(2)] == [200, 429]
    write_keys(path, [structs.replace(key, quota=4) for key in read_keys(path)])
    assert [client.get(LIST).status_code for _ in range(2)] == [200, 429]


def test_the_list_of_keys_has_limits_and_use(guarded: Callable[..., Client]) -> None:
    client = guarded({"rate": 50.0, "quota": 9}, key_burst=7)
    (found,) = client.get("/v1/keys").json()["keys"]
    assert {name: found[name] for name in ("rate", "burst", "quota", "used_today")} == {
        "rate": 50.0,
        "burst": 50,
        "quota": 9,
        "used_today": 1,
    }


def test_the_page_of_another_origin_may_read_the_limits(guarded: Callable[..., Client]) -> None:
    client = guarded({"quota": 9}, allowed_origins="https://shop.example")
    reply = client.request("GET", LIST, headers={"Origin": "https://shop.example"})
    assert "RateLimit" in reply.headers["access-control-expose-headers"].split(", ")


def test_several_workers_have_one_quota_and_a_restart_keeps_it(
    own_models: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    key, secret = new_key("shop", ["recommend"], NOW)
    write_keys(tmp_path / "keys.json", [structs.replace(key, quota=40)])

    def statuses(n: int) -> list[int]:
        server = start(own_models, keys=tmp_path / "keys.json", workers=2)
        server.wait()
        headers = {"X-API-Key": secret, "Connection": "close"}
        found = [server.request("GET", LIST, headers=headers).status_code for _ in range(n)]
        server.stop()
        return found

    assert statuses(30) == [200] * 30
    assert statuses(12) == [200] * 10 + [429] * 2
