"""Two bundles that are served at once, as variants of an experiment."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys.bundles.bundle import MANIFEST, Provenance, write_bundle
from recsys.bundles.registry import activate, pinned, prune
from recsys.core.request import Request
from recsys.experiments.state import change_state, read_experiments, states_of
from recsys.experiments.transitions import stop
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from tests.recsys.experiments.files import write_experiments
from tests.serving.conftest import Client, Server, client_of
from tests.serving.variants import AT, USERS, TwoBundles, item_ids, text_of, two_bundles
from tests.shop import PHONES

PAGES = "[pages.home]\nplacements = ['for_you', 'popular', 'time_of_day']\n"


@pytest.fixture
def two(shop_models: Path, shop_engine: Engine, tmp_path: Path) -> TwoBundles:
    return two_bundles(shop_models, shop_engine, tmp_path)


@pytest.fixture
def running(two: TwoBundles, tmp_path: Path) -> Iterator[Client]:
    two.run()
    lists = tmp_path / "placements.toml"
    lists.write_text(PAGES, encoding="utf-8")
    with client_of(two.models, experiments=two.file, placements=lists, poll_seconds=0.01) as client:
        yield client


def watcher(client: Client) -> Any:
    return client.app.state.app_context.watcher


def post(client: Client, path: str = "/v1/recommendations", **body: Any) -> dict[str, Any]:
    response = client.request("POST", path, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def for_you(client: Client, user: str, **body: Any) -> dict[str, Any]:
    return post(client, placement="for_you", user_id=user, **body)


def variant(answer: dict[str, Any]) -> str:
    name: str = answer["experiments"]["newer"]
    return name


def user_in(client: Client, name: str) -> str:
    return next(user for user in USERS if variant(for_you(client, user, log=False)) == name)


def impressions(client: Client) -> list[dict[str, Any]]:
    context = client.app.state.app_context
    asyncio.run(context.impressions.flush())
    entries = [stored.entry for stored in context.store.read_after(0, 1000)]
    return [{"id": each.key, **each.body} for each in entries if each.entry_type == "impression"]


def put(client: Client, **body: Any) -> Any:
    return client.request("PUT", "/v1/experiments/newer", json=body)


CALLS: list[tuple[str, Callable[[Client, str], Any]]] = [
    ("for_you", lambda client, user: client.get(f"/v1/users/{user}/recommendations?placement=for_you").json()),
    ("discover", lambda client, user: client.get(f"/v1/users/{user}/recommendations?placement=discover").json()),
    ("popular", lambda client, user: client.get(f"/v1/users/{user}/recommendations?placement=popular").json()),
    ("for_you", lambda client, user: for_you(client, user)),
    (
        "complementary",
        lambda client, user: client.get(f"/v1/items/{PHONES[0]}/recommendations?user_id={user}").json(),
    ),
    ("similar", lambda client, user: post(client, placement="similar", user_id=user, item_ids=[PHONES[0]])),
    (
        "for_you",
        lambda client, user: client.request(
            "POST",
            "/v1/batch",
            content=json.dumps({"placement": "for_you", "user_id": user}),
            headers={"content-type": "application/x-ndjson"},
        ).json()["answer"],
    ),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_each_call_is_answered_by_the_bundle_of_the_variant_also_from_the_cache(
    running: Client, two: TwoBundles, number: int
) -> None:
    placement, call = CALLS[number]
    library = {version: Recommender.of_bundle(two.models / version) for version in (two.current, two.new)}
    as_of = watcher(running).current.recommender.data_end
    versions = set()
    for user in USERS:
        first, second = call(running, user), call(running, user)
        version = {"control": two.current, "new": two.new}[variant(first)]
        assert first["model_version"] == second["model_version"] == version
        assert variant(first) == variant(second)
        seeds = (PHONES[0],) if placement in ("complementary", "similar") else ()
        asked = int(datetime.fromisoformat(first["as_of"]).timestamp())
        assert asked >= as_of
        expected = library[version].recommend_for(Request(placement, asked, len(first["items"]), user, seeds))
        assert item_ids(first) == item_ids(second) == [item.item_id for item in expected.items]
        versions.add(version)
    assert versions == {two.current, two.new}


def test_the_two_bundles_differ(running: Client, two: TwoBundles) -> None:
    lists = {version: Recommender.of_bundle(two.models / version) for version in (two.current, two.new)}
    as_of = lists[two.new].data_end
    found = [[each.recommend_for(Request("for_you", as_of, 20, user)) for user in USERS] for each in lists.values()]
    assert any(a.items != b.items for a, b in zip(*found, strict=True))


def test_pages_orders_and_explanations_are_of_the_same_bundle(running: Client, two: TwoBundles) -> None:
    for name, version in (("control", two.current), ("new", two.new)):
        user = user_in(running, name)
        page = post(running, "/v1/pages/home", user_id=user)
        assert page["model_version"] == version
        assert {variant(each) for each in page["shelves"]} == {name}
        assert {each["model_version"] for each in page["shelves"]} == {version}
        shelves = post(running, "/v1/pages", user_id=user, shelves=[{"placement": "for_you"}, {"placement": "popular"}])
        assert shelves["model_version"] == version
        assert {variant(each) for each in shelves["shelves"]} == {name}
        ranked = post(running, "/v1/rank", user_id=user, item_ids=list(PHONES))
        assert (ranked["model_version"], variant(ranked)) == (version, name)
        assert impressions(running)[-1]["experiments"] == {"newer": name}
        theme = f"/recommendations/products.json?product_id={PHONES[0]}&intent=complementary&user_id={user}"
        assert running.get(theme).status_code == 200
        assert (impressions(running)[-1]["model_version"], impressions(running)[-1]["experiments"]) == (
            version,
            {"newer": name},
        )
        explained = running.get(f"/v1/explain?user_id={user}&item_id={PHONES[0]}").json()
        request = Request("for_you", watcher(running).current.recommender.data_end, user_id=user)
        expected = Recommender.of_bundle(two.models / version).explain(request, PHONES[0])
        assert explained["stage"] == expected.stage


def test_the_log_names_the_bundle_and_the_variant(running: Client, two: TwoBundles) -> None:
    shown = {(answer := for_you(running, user))["recommendation_id"]: answer for user in USERS[:8]}
    logged = {each["id"]: each for each in impressions(running) if each["id"] in shown}
    assert logged.keys() == shown.keys()
    for key, answer in shown.items():
        assert logged[key]["experiments"] == answer["experiments"]
        assert logged[key]["model_version"] == answer["model_version"]


def test_nobody_and_who_has_opted_out_get_the_current_bundle(running: Client, two: TwoBundles) -> None:
    user = user_in(running, "new")
    assert post(running, placement="popular")["model_version"] == two.current
    assert running.request("PATCH", f"/v1/users/{user}", json={"personalization": False}).status_code == 200
    answer = for_you(running, user)
    assert answer["model_version"] == two.current
    assert "experiments" not in answer


def test_events_and_changes_of_the_catalog_reach_both_bundles_at_once(running: Client, two: TwoBundles) -> None:
    for name, version in (("control", two.current), ("new", two.new)):
        user = user_in(running, name)
        before = for_you(running, user)
        gone, seen = item_ids(before)[:2]
        running.request("PATCH", f"/v1/items/{gone}", json={"available": False})
        assert gone not in item_ids(for_you(running, user))
        event = {"event": "purchase", "item_id": seen, "user_id": user}
        assert running.request("POST", "/v1/events", json={"events": [event]}).status_code == 200
        after = post(running, placement="discover", user_id=user)
        assert after["model_version"] == version
        assert seen not in item_ids(after)
        running.request("PATCH", f"/v1/items/{gone}", json={"available": True})
        assert gone in item_ids(for_you(running, user, limit=100))


def test_later_pages_stay_with_the_bundle_of_the_first(two: TwoBundles, tmp_path: Path) -> None:
    with client_of(two.models, experiments=two.file, poll_seconds=0.01) as client:
        before = {user: for_you(client, user, limit=3) for user in USERS[:8]}
        two.run()
        watcher(client).refresh()
        user = user_in(client, "new")
        started = for_you(client, user, limit=3)
        for first, version in ((before[user], two.current), (started, two.new)):
            second = for_you(client, user, limit=3, page_token=first["next_page_token"])
            assert first["model_version"] == second["model_version"] == version
            assert not set(item_ids(first)) & set(item_ids(second))
            assert ("experiments" in second) == (version == two.new)
        third = for_you(client, user, limit=3, page_token=second["next_page_token"])
        assert third["model_version"] == two.new
        change_state(two.file, stop("newer", AT))
        watcher(client).refresh()
        ended = client.request(
            "POST",
            "/v1/recommendations",
            json={"placement": "for_you", "user_id": user, "page_token": third["next_page_token"]},
        )
        assert ended.status_code == 422
        assert f"was issued for bundle {two.new}, and {two.current} is being served" in ended.text


def test_a_put_starts_it_and_a_stop_drops_the_bundle_without_a_collection(
    two: TwoBundles, opened_bundles: dict[bytes, Recommender]
) -> None:
    opened_bundles.clear()  # so that this app reads the bundles
    with client_of(two.models, experiments=two.file, poll_seconds=0.01) as client:
        answer = put(client, status="running", share=1.0)
        assert answer.status_code == 200, answer.text
        assert [each["bundle"] for each in answer.json()["variants"]] == [None, two.new]
        assert pinned(two.models) == (two.new,)
        assert "experiments" not in for_you(client, USERS[0])
        watcher(client).refresh()
        assert user_in(client, "new")
        listed = client.get("/v1/models").json()
        assert (listed["serving"], listed["serving_variants"]) == (two.current, [two.new])
        other = watcher(client).current.others[two.new].recommender
        parts = [weakref.ref(each) for each in (other, other.engine, other.live)]
        del other
        opened_bundles.clear()  # nor do other tests keep them
        gc.collect()
        gc.disable()
        try:
            assert put(client, status="stopped").status_code == 200
            watcher(client).refresh()
            assert "experiments" not in for_you(client, USERS[0])
            assert [part() for part in parts] == [None] * len(parts)
        finally:
            gc.enable()
        assert pinned(two.models) == ()


def test_a_swap_of_the_current_bundle_keeps_that_of_the_variant(
    running: Client, two: TwoBundles, shop_engine: Engine
) -> None:
    user, kept = user_in(running, "new"), watcher(running).current.others[two.new].recommender.engine
    newer = write_bundle(shop_engine, two.models, Provenance(datetime(2024, 7, 4, tzinfo=UTC), "again", {})).version
    activate(two.models, newer)
    watcher(running).refresh()
    assert watcher(running).current.version == newer
    assert watcher(running).current.others.keys() == {two.new}
    assert watcher(running).current.others[two.new].recommender.engine is kept
    assert for_you(running, user)["model_version"] == two.new
    assert for_you(running, user_in(running, "control"))["model_version"] == newer
    activate(two.models, two.new)
    watcher(running).refresh()
    assert watcher(running).current.recommender.engine is kept, "it is open already"
    assert not watcher(running).current.others
    assert {for_you(running, user)["model_version"] for user in USERS} == {two.new}
    activate(two.models, newer)
    watcher(running).refresh()
    assert watcher(running).current.others[two.new].recommender.engine is kept


def test_a_control_may_be_a_bundle_too(two: TwoBundles, shop_engine: Engine) -> None:
    two.run(control=two.current)
    with client_of(two.models, experiments=two.file, poll_seconds=0.01) as client:
        assert watcher(client).current.others.keys() == {two.new}, "the current one is open already"
        newer = write_bundle(shop_engine, two.models, Provenance(datetime(2024, 7, 4, tzinfo=UTC), "a", {})).version
        activate(two.models, newer)
        watcher(client).refresh()
        assert watcher(client).current.others.keys() == {two.current, two.new}
        answers = [for_you(client, user) for user in USERS]
        assert {(variant(each), each["model_version"]) for each in answers} == {
            ("control", two.current),
            ("new", two.new),
        }
        assert post(client, placement="popular")["model_version"] == newer


def truncate(two: TwoBundles) -> None:
    next((two.models / two.new).glob("*.npy")).unlink()


def alter(two: TwoBundles) -> None:
    path = max((two.models / two.new).glob("*.npy"), key=lambda file: file.stat().st_size)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def age(two: TwoBundles) -> None:
    path = two.models / two.new / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 1}))


def rename(two: TwoBundles) -> None:
    (two.models / two.new).rename(two.models / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, "is missing: the bundle is truncated"),
        (alter, "is altered"),
        (age, "has schema version 1"),
        (rename, "does not have: there are"),
    ],
)
def test_a_start_with_a_bundle_that_cannot_be_served_is_refused(
    two: TwoBundles, spoil: Callable[[TwoBundles], None], message: str
) -> None:
    with client_of(two.models, experiments=two.file, poll_seconds=0.01) as client:
        spoil(two)
        answer = put(client, status="running")
        assert answer.status_code == 409
        assert message in answer.text
        assert "experiments.newer.variants.new.bundle" in answer.text
        watcher(client).refresh()
        assert "experiments" not in for_you(client, USERS[0])
        assert states_of(two.file).signature() is None
        assert pinned(two.models) == ()


def test_more_bundles_than_may_be_served_are_refused_and_never_loaded(two: TwoBundles) -> None:
    with client_of(two.models, experiments=two.file, poll_seconds=0.01, max_variant_bundles=0) as client:
        answer = put(client, status="running")
        assert answer.status_code == 409
        assert "would name 1 bundles, expected at most 0" in answer.text
        assert "RECSYS_MAX_VARIANT_BUNDLES" in answer.text
        two.run()
        watcher(client).refresh()
        assert not watcher(client).current.others
        assert "experiments newer are not served" in watcher(client).last_error
        assert "experiments" not in for_you(client, USERS[0])


def test_an_experiment_waits_for_a_bundle_that_cannot_be_opened_and_everything_else_is_served(
    two: TwoBundles, tmp_path: Path
) -> None:
    manifest = two.models / two.new / MANIFEST
    whole = manifest.read_text()
    age(two)
    two.run()
    lists = tmp_path / "placements.toml"
    lists.write_text("[placements.for_you]\nlimit = 4\n", encoding="utf-8")
    with client_of(two.models, experiments=two.file, placements=lists, poll_seconds=0.01) as client:
        assert "its experiment waits for it" in watcher(client).last_error
        answer = for_you(client, USERS[0])
        assert (answer["model_version"], len(answer["items"])) == (two.current, 4)
        assert "experiments" not in answer
        lists.write_text("[placements.for_you]\nlimit = 5\n", encoding="utf-8")
        watcher(client).refresh()
        assert len(for_you(client, USERS[0])["items"]) == 5
        manifest.write_text(whole)
        watcher(client)._loader.forget()
        watcher(client).refresh()
        assert watcher(client).last_error is None
        assert for_you(client, user_in(client, "new"))["model_version"] == two.new


def test_lists_that_do_not_fit_the_catalog_of_a_variant_are_refused(two: TwoBundles, tmp_path: Path) -> None:
    two.run()
    lists = tmp_path / "placements.toml"
    with client_of(two.models, experiments=two.file, placements=write_lists(lists, 4), poll_seconds=0.01) as client:
        other = watcher(client).current.others[two.new].recommender.current
        assert "price" in other.items_table.schema
        write_lists(lists, 5, 'filter = "prce < 3"')
        watcher(client).refresh()
        assert "did you mean 'price'?" in watcher(client).last_error
        assert len(for_you(client, USERS[0])["items"]) == 4


def write_lists(path: Path, limit: int, more: str = "") -> Path:
    path.write_text(f"[placements.for_you]\nlimit = {limit}\n{more}\n", encoding="utf-8")
    return path


def test_clean_up_keeps_the_bundle_of_a_running_experiment(running: Client, two: TwoBundles) -> None:
    newer = [two.new]
    for day in range(5, 9):
        made = Provenance(datetime(2024, 7, day, tzinfo=UTC), "again", {})
        newer.append(write_bundle(watcher(running).current.recommender.engine, two.models, made).version)
    activate(two.models, newer[3])
    activate(two.models, newer[4])
    assert two.new not in prune(two.models, 1)
    assert for_you(running, user_in(running, "new"))["model_version"] == two.new
    assert put(running, status="stopped").status_code == 200
    watcher(running).refresh()
    assert prune(two.models, 1) == (two.new,)


def test_every_worker_serves_it_and_serves_it_again_after_a_kill(start: Callable[..., Server], two: TwoBundles) -> None:
    store = two.models.parent / "store.sqlite"
    server = start(two.models, experiments=two.file, store=store, workers=2)
    server.wait()
    body = {"status": "running", "share": 1.0}
    assert server.request("PUT", "/v1/experiments/newer", json=body).status_code == 200
    for attempt in range(2):
        server.wait("/v1/models", until=lambda reply: reply.json()["serving_variants"] == [two.new])
        by_worker = answers_of_both(server)
        for answers in by_worker.values():
            assert {variant(each): each["model_version"] for each in answers} == {
                "control": two.current,
                "new": two.new,
            }
        if attempt == 0:
            server.kill_all()
            server = start(two.models, experiments=two.file, store=store, workers=2)
            server.wait()


def answers_of_both(server: Server) -> dict[str, list[dict[str, Any]]]:
    """Lists of both workers for all users, by the prefix of their ids."""
    found: dict[str, list[dict[str, Any]]] = {}
    for user in USERS * 20:
        answer = server.get(f"/v1/users/{user}/recommendations").json()
        if "experiments" in answer:
            found.setdefault(answer["recommendation_id"].split("-")[0], []).append(answer)
        if len(found) == 2 and all(len({variant(each) for each in answers}) == 2 for answers in found.values()):
            return found
    raise AssertionError({key: len(each) for key, each in found.items()})


def test_lists_are_whole_while_bundles_are_swapped_under_load(
    start: Callable[..., Server], two: TwoBundles, shop_engine: Engine
) -> None:
    newer = write_bundle(shop_engine, two.models, Provenance(datetime(2024, 7, 4, tzinfo=UTC), "again", {})).version
    two.run()
    server = start(two.models, experiments=two.file, store=two.models.parent / "store.sqlite")
    server.wait("/v1/models", until=lambda reply: reply.json()["serving_variants"] == [two.new])
    found: list[tuple[str, str, str, tuple[str, ...]]] = []
    stopped = threading.Event()

    def ask() -> None:
        for user in itertools.cycle(USERS):
            if stopped.is_set():
                return
            answer = (
                server.get(f"/v1/users/{user}/recommendations?as_of=2024-07-01T08:00:00Z").raise_for_status().json()
            )
            found.append((user, variant(answer), answer["model_version"], tuple(item_ids(answer))))

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for version in (newer, two.current, newer):
            n_before = len(found)
            activate(two.models, version)
            deadline = time.monotonic() + 60
            while version not in {each[2] for each in found[n_before:]} and time.monotonic() < deadline:
                time.sleep(0.02)
        stopped.set()
    for each in asking:
        each.result()
    assert {(name, version) for _, name, version, _ in found} <= {
        ("control", two.current),
        ("control", newer),
        ("new", two.new),
    }
    assert {version for _, _, version, _ in found} == {two.current, newer, two.new}
    lists: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for user, _, version, items in found:
        lists.setdefault((user, version), set()).add(items)
    assert all(len(each) == 1 for each in lists.values())


def test_a_bundle_is_promoted_by_its_activation(running: Client, two: TwoBundles) -> None:
    refused = put(running, status="promoted", winner="new")
    assert refused.status_code == 409
    assert f"recsys models activate {two.new}" in refused.text
    assert read_experiments(two.file).state("newer").status == "running"
    assert running.request("POST", f"/v1/models/{two.new}/activate").status_code == 200
    assert put(running, status="stopped").status_code == 200
    watcher(running).refresh()
    assert for_you(running, USERS[0])["model_version"] == two.new


def test_an_experiment_of_bundles_shares_no_list_with_another_layer(two: TwoBundles) -> None:
    write_experiments(
        two.file.parent,
        text_of(two.new) + "[experiments.calm.variants]\ncontrol = {}\nb = {placements.popular = {limit = 3}}\n",
    )
    with client_of(two.models, experiments=two.file, poll_seconds=0.01) as client:
        assert put(client, status="running").status_code == 200
        refused = client.request("PUT", "/v1/experiments/calm", json={"status": "running"})
        assert refused.status_code == 409
        assert "it changes all lists, as does the running 'newer' of another layer" in refused.text
