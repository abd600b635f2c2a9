"""The whole comparison over the invented shop: real servers, each a process of its own."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from benchmarks.compare.__main__ import PLACEMENTS, ROOT, Group, Report, count_items, parse, run, shown
from benchmarks.compare.checkout import Checkout, Server, bundle_folder, commit_of
from benchmarks.compare.workload import Call, Shop, Workload
from recsys.core.placements import PLACEMENTS as BUILT_IN
from tests.jobs import write_shop
from tests.shop import ShopTables

HERE: Final = Checkout("here", ROOT)
Start = Callable[[Path], Server]


@pytest.fixture(scope="module")
def shop(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop.read(write_shop(shop_tables, tmp_path_factory.mktemp("tables") / "shop"), seed=0)


@pytest.fixture
def start(shop_models: Path, tmp_path: Path) -> Iterator[Start]:
    """Start servers over the shop's bundle, each with a file of placements; they end with the test."""
    started: list[Server] = []

    def start_one(placements: Path) -> Server:
        server = Server(HERE, shop_models, tmp_path / f"logs-{len(started)}", placements)
        started.append(server.__enter__())
        return started[-1]

    yield start_one
    for server in started:
        server.stop()


def options(requests: int, placements: Path = PLACEMENTS) -> argparse.Namespace:
    return parse(["HEAD", "--requests", str(requests), "--placements", str(placements), "--examples", "2"])


def test_the_same_code_over_the_same_bundle_gives_the_same_answers(start: Start, shop: Shop) -> None:
    report = run([start(PLACEMENTS), start(PLACEMENTS)], shop, options(6))
    assert report.is_equal, report.examples
    assert report.only_one_side == {}
    lists = {name for name in report.groups if name not in ("rank", "explain", "changes")}
    assert {"complementary", "for_you", "buy_again", "tuned_for_you", "page home", "page product"} <= lists
    assert all(report.groups[name].requests == 6 for name in lists)
    always_filled = {name for name, placement in BUILT_IN.items() if placement.fallback or placement.anchor == "item"}
    assert all(report.groups[name].items > 0 for name in always_filled)
    assert report.groups["changes"].refused == 0
    assert sum(group.answers - group.requests for group in report.groups.values()) > 0, "no page followed another"


def test_another_order_of_one_list_and_a_list_of_one_side_are_found(start: Start, shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    changed = "[placements.popular]\nrotation = 1.0\n\n[placements.own]\nextends = 'similar'\n"
    other.write_text(PLACEMENTS.read_text(encoding="utf-8") + changed, encoding="utf-8")
    report = run([start(PLACEMENTS), start(other)], shop, options(6))
    assert not report.is_equal
    assert report.only_one_side == {"here": ["own"]}
    assert report.groups["popular"].different > 0
    assert report.groups["complementary"].different == 0
    assert len(report.examples) == 2
    assert report.examples[0]["differences"]


def test_the_same_seed_gives_the_same_calls(shop: Shop) -> None:
    first, second, other = (
        Workload(shop, ["similar"], ["for_you", "popular"], seed).calls(50, ["home"]) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_calls_are_of_every_kind_and_state_their_moment(shop: Shop) -> None:
    calls = Workload(shop, ["similar"], ["for_you"], 0).calls(200, ["home"])
    assert {call.kind for call in calls} > {"GET", "POST", "GET, pages", "POST, pages", "rank", "page"}
    asked = [call.params | (call.body or {}) for call in calls]
    assert all("as_of" in each for each in asked), "the clocks of two servers differ"
    fields = {"filter", "context", "visitor_id", "session_id", "item_ids", "explain", "diversity", "region", "seed_id"}
    assert fields <= {name for each in asked for name in each}


def test_changes_are_of_every_kind(shop: Shop) -> None:
    changes = list(Workload(shop, ["similar"], ["for_you"], 0).changes())
    assert {call.method for call in changes} == {"POST", "PUT", "PATCH", "DELETE"}
    (new,) = (call.body or {} for call in changes if call.kind == "new item")
    assert set(new["title"].split()) & set(shop.words), "nothing is similar to it, so that waiting for that is in vain"
    patched = {name for call in changes if call.kind == "item" for name in call.body or {}}
    assert {"available", "price", "offers"} <= patched


def test_a_token_goes_where_the_call_has_its_fields() -> None:
    get = Call("popular", "GET", "GET", "/", {"limit": 3})
    post = replace(get, method="POST", params={}, body={"limit": 3})
    assert get.with_token(None) == ({"limit": 3}, None)
    assert get.with_token("t") == ({"limit": 3, "page_token": "t"}, None)
    assert post.with_token("t") == ({}, {"limit": 3, "page_token": "t"})


def test_items_are_counted_in_lists_and_in_pages_of_lists() -> None:
    assert count_items({"items": [1, 2]}) == 2
    assert count_items({"shelves": [{"items": [1, 2]}, {"items": [3]}]}) == 3
    assert count_items({"detail": "none"}) == 0


def test_answers_are_shown_in_full_but_for_tokens() -> None:
    body = {"next_page_token": "t" * 4000, "items": [{"item_id": "i" * 256}]}
    assert shown({"status": 200, "body": body}) == {"status": 200, "body": body | {"next_page_token": "t" * 12 + "…"}}
    assert shown({"next_page_token": None}) == {"next_page_token": None}


def test_a_report_is_equal_only_if_every_group_was_answered() -> None:
    equal = {"popular": Group(requests=2, answers=3, refused=1)}
    assert Report(equal).is_equal
    assert not Report().is_equal
    assert not Report(equal, only_one_side={"a": ["own"]}).is_equal
    assert not Report(equal | {"rank": Group(requests=2, answers=2, different=1)}).is_equal
    refused = Report(equal | {"rank": Group(requests=2, answers=2, refused=2)})
    assert refused.unanswered == ["rank"]
    assert not refused.is_equal


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "recsys").mkdir(parents=True)
    (folder / "recsys" / "one.py").write_text("one = 1\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-qm", "one"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def test_a_commit_is_checked_out_in_a_temporary_folder_that_is_removed(repository: Path) -> None:
    (repository / "recsys" / "one.py").write_text("one = 2\n")
    with commit_of(repository, "HEAD") as (commit, folder):
        assert len(commit) == 40
        assert (folder / "recsys" / "one.py").read_text() == "one = 1\n"
    assert not folder.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1


def test_an_unknown_commit_is_refused(repository: Path) -> None:
    with pytest.raises(SystemExit, match="'nothing' is not a commit"), commit_of(repository, "nothing"):
        pass


def test_the_fingerprint_is_of_the_code_that_trains_and_serves(repository: Path) -> None:
    side = Checkout("side", repository)
    first = side.fingerprint()
    (repository / "tests").mkdir()
    (repository / "tests" / "test_one.py").write_text("")
    (repository / "README.md").write_text("one")
    assert side.fingerprint() == first
    (repository / "recsys" / "two.py").write_text("")
    second = side.fingerprint()
    assert second != first
    (repository / "recsys" / "one.py").write_text("one = 2\n")
    assert side.fingerprint() not in (first, second)


def test_a_checkout_without_the_entry_point_is_refused(repository: Path) -> None:
    with pytest.raises(SystemExit, match="expected a module below"):
        Checkout("side", repository).check_imports()
    HERE.check_imports()


def test_bundles_of_other_code_are_removed_unless_they_are_kept(tmp_path: Path) -> None:
    for name in ("candidate-a", "candidate-b", "reference-a"):
        (tmp_path / name).mkdir()
    assert bundle_folder(tmp_path, "reference", "b", keep_others=True) == tmp_path / "reference-b"
    assert bundle_folder(tmp_path, "candidate", "b", keep_others=False) == tmp_path / "candidate-b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidate-b", "reference-a"]


def test_a_server_that_does_not_start_reports_its_output(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[placements.popular]\nlimitt = 3\n")
    with pytest.raises(SystemExit, match="limitt"), Server(HERE, tmp_path, tmp_path / "logs", broken):
        pass
