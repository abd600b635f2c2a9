"""Many shops behind one address: each call reaches its shop and no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from serving.runtime.auth import new_key, read_keys, write_keys
from serving.runtime.settings import KEY_COUNTS
from tests.serving.shops.conftest import Installation, add_shop, installation
from tests.shop import USERS_WITH_HISTORY, WEEKLY_ITEM

LISTS = "/v1/recommendations"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, shop_models: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("shops")
    return {"": str(root)} | {
        name: add_shop(root, name, shop_models, f'hosts = ["{name}.example"]') for name in ("tea", "wine")
    }


@pytest.fixture(scope="module")
def shops(keys: dict[str, str]) -> Iterator[Installation]:
    with installation(Path(keys[""])) as shops:
        yield shops


def test_a_shop_answers_at_its_host_and_by_its_key(shops: Installation, keys: dict[str, str]) -> None:
    for name in ("tea", "wine"):
        for host in (f"{name}.example", "installation"):
            reply = shops.call("POST", LISTS, host, keys[name], json={"placement": "popular"})
            assert reply.status_code == 200, reply.text
    assert shops.get("/v1/models", "tea.example", keys["tea"]).status_code == 200


def test_the_key_of_another_shop_is_as_good_as_none(shops: Installation, keys: dict[str, str]) -> None:
    for host, key in (("tea.example", keys["wine"]), ("wine.example", keys["tea"]), ("tea.example", "recsys_x")):
        reply = shops.call("POST", LISTS, host, key, json={"placement": "popular"})
        assert (reply.status_code, "unknown or revoked" in reply.text) == (401, True)


def test_what_one_shop_learns_stays_with_it(shops: Installation, keys: dict[str, str]) -> None:
    event = {"event": "purchase", "item_id": WEEKLY_ITEM, "user_id": "new", "value": None}
    sent = {"events": [{name: value for name, value in event.items() if value}]}
    assert shops.call("POST", "/v1/events", "tea.example", keys["tea"], json=sent).status_code in {200, 202}
    body = {"placement": "for_you", "user_id": "new"}
    at_tea, at_wine = (
        shops.call("POST", LISTS, f"{name}.example", keys[name], json=body).json()["fallback_used"]
        for name in ("tea", "wine")
    )
    assert (at_tea, at_wine) == (False, True)


def test_the_limit_of_one_shop_leaves_the_others_alone(tmp_path: Path, shop_models: Path) -> None:
    secrets = {name: add_shop(tmp_path, name, shop_models, f'hosts = ["{name}.example"]') for name in ("tea", "wine")}
    for name in secrets:
        path = tmp_path / name / "keys.json"
        write_keys(path, [structs.replace(key, quota=3) for key in read_keys(path)])
    with (tmp_path / "wine" / "shop.toml").open("a", encoding="utf-8") as toml:
        toml.write("\n[settings]\nkey_rate = 0.001\nkey_burst = 2\n")
    with installation(tmp_path) as shops:

        def statuses(name: str, n: int) -> list[int]:
            body = {"placement": "popular"}
            calls = [shops.call("POST", LISTS, f"{name}.example", secrets[name], json=body) for _ in range(n)]
            return [call.status_code for call in calls]

        assert statuses("tea", 5) == [200] * 3 + [429] * 2
        assert statuses("wine", 4) == [200] * 2 + [429] * 2  # by the rate that is the shop's own
        assert statuses("tea", 1) == [429]
        metrics = shops.get("/metrics").text
        assert 'recsys_shop_calls_total{shop="tea",status="4xx"} 3.0' in metrics
    assert (tmp_path / "tea" / "models" / KEY_COUNTS).is_file()
    with installation(tmp_path) as shops:  # the quota is that of the day
        assert (
            shops.call("POST", LISTS, "tea.example", secrets["tea"], json={"placement": "popular"}).status_code == 429
        )


def test_page_tokens_of_another_shop_are_refused(shops: Installation, keys: dict[str, str]) -> None:
    body = {"placement": "for_you", "user_id": USERS_WITH_HISTORY[0], "limit": 3}
    token = shops.call("POST", LISTS, "tea.example", keys["tea"], json=body).json()["next_page_token"]
    for name, status in (("tea", 200), ("wine", 422)):
        reply = shops.call("POST", LISTS, f"{name}.example", keys[name], json=body | {"page_token": token})
        assert reply.status_code == status


def test_no_mixture_of_host_key_and_path_reaches_another_shop(shops: Installation, keys: dict[str, str]) -> None:
    randomness = Random(1)
    hosts = [
        "tea.example",
        "TEA.example:1",
        "installation",
        "wine.example.",
        "x@tea.example",
        "tea.example/wine.example",
    ]
    paths = [
        "/v1/models",
        "/v1/audit",
        "/v1/items?q=a",
        "/../wine/v1/models",
        "//wine.example/v1/models",
        "/v1/users?q=",
    ]
    served = set()
    for _ in range(400):
        host, path = randomness.choice(hosts), randomness.choice(paths)
        reply = shops.get(path, host, keys["wine"])
        if reply.status_code == 200:
            served.add(host)
            assert host not in {"tea.example", "TEA.example:1"}
    assert served <= {"installation", "wine.example.", "x@tea.example", "tea.example/wine.example"}


def test_the_installation_answers_for_itself(shops: Installation, keys: dict[str, str]) -> None:
    assert shops.get("/v1/models", "tea.example", keys["tea"]).status_code == 200
    assert shops.get("/health/live").json() == {"status": "live"}
    assert shops.get("/health/ready").status_code == 200
    assert shops.get("/shops").json()["n_shops"] == 2
    metrics = shops.get("/metrics").text
    assert 'recsys_shop_calls_total{shop="tea",status="2xx"}' in metrics
    assert "recsys_shops 2.0" in metrics
    missing = shops.call("POST", LISTS, json={"placement": "popular"})
    assert (missing.status_code, "is for no shop" in missing.text) == (404, True)


def test_calls_of_the_installation_need_its_key_where_there_is_one(tmp_path: Path) -> None:
    key, secret = new_key("operator", ["operate"], datetime(2026, 1, 1, tzinfo=UTC))
    write_keys(tmp_path / "keys.json", [key])
    with installation(tmp_path) as shops:
        assert shops.get("/shops").status_code == 401
        assert shops.get("/shops", key=secret).status_code == 200
        assert shops.get("/health/live").status_code == 200


def test_a_shop_that_cannot_be_opened_harms_no_other(tmp_path: Path, shop_models: Path) -> None:
    good = add_shop(tmp_path, "good", shop_models)
    bad = add_shop(tmp_path, "bad", shop_models)
    wrong = add_shop(tmp_path, "wrong", shop_models, "[settings]\ncache_mb = -1\n")
    (tmp_path / "bad" / "models" / "store.sqlite").write_bytes(b"no database" * 1000)
    with installation(tmp_path) as shops:
        assert shops.get("/v1/models", key=good).status_code == 200
        for _ in range(3):
            refused = shops.get("/v1/models", key=bad)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "store.sqlite" not in refused.text
        assert shops.get("/v1/models", key=wrong).status_code == 404
        assert "cache_mb" in shops.get("/shops").json()["refused"]["wrong"]
        (tmp_path / "wrong" / "shop.toml").write_text("")
        time.sleep(0.02)
        assert shops.get("/v1/models", key=wrong).status_code == 200


def test_a_shop_that_gets_keys_is_open_no_more(tmp_path: Path, shop_models: Path) -> None:
    add_shop(tmp_path, "tea", shop_models, 'hosts = ["tea.example"]', guarded=False)
    with installation(tmp_path) as shops:
        assert shops.get("/v1/models", "tea.example").status_code == 200
        key, secret = new_key("tea", ["admin"], datetime(2026, 1, 1, tzinfo=UTC))
        write_keys(tmp_path / "tea" / "keys.json", [key])
        time.sleep(0.02)
        assert shops.get("/v1/models", "tea.example").status_code == 401
        assert shops.get("/v1/models", "tea.example", secret).status_code == 200
