from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Run
from tests.shop import CARDS, ODD_USERS, PHONES, WEEKLY_ITEM


def test_a_list_is_a_table_with_reasons_under_what_it_is(recsys: Run, shop_models: Path) -> None:
    said = recsys("recommend", "--models", shop_models, "--user", ODD_USERS[0], "--limit", 3)
    head, columns, *rows = said.out.splitlines()
    assert head.startswith("for_you by ")
    assert "Asia/Shanghai" in head
    assert "head share" in head
    assert "fallback" not in head
    assert columns.split() == ["rank", "item", "title", "score", "source", "reasons"]
    assert len(rows) == 3


@pytest.mark.parametrize("user", ODD_USERS)
def test_ids_of_any_kind_are_just_ids(recsys: Run, shop_models: Path, user: str) -> None:
    said = recsys("recommend", "--models", shop_models, "--user", user, "--json")
    assert json.loads(said.out)["fallback_used"] is False


def test_json_is_the_answer_with_titles(recsys: Run, shop_models: Path) -> None:
    words = ("--item", PHONES[0], "--as-of", "2024-06-20T08:00:00+08:00", "--limit", 4, "--json")
    answer = json.loads(recsys("recommend", "--models", shop_models, *words).out)
    assert answer["placement"] == "complementary"
    assert answer["as_of"] == "2024-06-20T00:00:00+00:00"
    assert answer["local_hour"] == 8
    assert all(item["title"] and item["reasons"] for item in answer["items"])


def test_strangers_get_the_fallback_and_it_is_said(recsys: Run, shop_models: Path) -> None:
    said = recsys("recommend", "--models", shop_models, "--user", "nobody", "--placement", "discover")
    assert said.code == 0
    assert "fallback: the sources of the list have nothing for this user" in said.out.splitlines()[0]


def test_the_fallback_of_an_item_speaks_of_the_item(recsys: Run, shop_models: Path) -> None:
    said = recsys("recommend", "--models", shop_models, "--item", CARDS[0])
    assert said.code == 0
    assert "fallback: the sources of the list have nothing for this item" in said.out.splitlines()[0], (
        "cards follow, nothing follows them"
    )


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00Z", "9998-12-31T23:59:59Z"])
def test_the_ends_of_time_are_moments_too(recsys: Run, shop_models: Path, moment: str) -> None:
    said = recsys("recommend", "--models", shop_models, "--user", ODD_USERS[0], "--as-of", moment)
    assert said.code == 0, said.err


def test_nobody_gets_what_is_popular(recsys: Run, shop_models: Path) -> None:
    assert recsys("recommend", "--models", shop_models).out.startswith("popular by ")


def test_a_cart_names_what_it_does_not_know(recsys: Run, shop_models: Path) -> None:
    said = recsys("recommend", "--models", shop_models, "--item", WEEKLY_ITEM, "--item", "no/such")
    assert (said.code, "unknown items: no/such" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--item", "no such item"], "'no such item' is unknown"),
        (["--user", "u", "--placement", "x"], "placement: 'x' is not a placement"),
        (["--user", "u", "--limit", "0"], "limit is 0, out of range"),
        (["--user", "u", "--limit", "101"], "limit is 101, out of range"),
        (["--user", "u", "--as-of", "yesterday"], "--as-of is 'yesterday'"),
        (["--user", "u", "--as-of", "2024-05-01T08:00:00"], "expected an offset"),
        (["--user", "u", "--as-of", "9999-12-31T23:59:59-12:00"], "--as-of is '9999-12-31T23:59:59-12:00'"),
        (["--user", "u", "--as-of", "1900-01-01T00:00:00Z"], "expected a time from 1970 to 9998"),
        (
            ["--user", "u", "--placement", "complementary"],
            "--placement complementary is a list for an item: add --item",
        ),
        (["--placement", "for_you"], "--placement for_you is a list for a user: add --user ID"),
        (["--placement", "for_you", "--item", PHONES[0]], "add --user ID instead of --item"),
        (["--user", ""], "--user is ''"),
        (["--user", "", "--users", "users.txt", "--out", "lists.parquet"], "go together"),
        (["--users", "users.txt"], "go together"),
        (["--out", "lists.parquet", "--user", "u"], "go together"),
        (["--users", "users.txt", "--items", "items.txt", "--out", "lists.parquet"], "go together"),
        (["--user", "u", "--workers", "2"], "--workers, --shard-size, --format and --no-resume are for --users"),
        (["--user", "u", "--no-resume"], "--no-resume are for --users"),
        (["--users", "users.txt", "--out", "lists.parquet", "--workers", "0"], "--workers) is 0"),
        (["--users", "users.txt", "--out", "lists.parquet", "--shard-size", "0"], "--shard-size) is 0"),
    ],
)
def test_a_wrong_call_names_what_is_wrong(recsys: Run, shop_models: Path, words: list[str], told: str) -> None:
    said = recsys("recommend", "--models", shop_models, *words)
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1


def test_lists_for_many_users_go_to_a_file(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    users, out = tmp_path / "users.txt", tmp_path / "lists.parquet"
    users.write_text("u010\nnobody\n")
    words = ("--models", shop_models, "--users", users, "--out", out, "--limit", 5)
    said = recsys("recommend", *words)
    assert (said.code, "10 items for 2 users; 1 got the fallback list" in said.out) == (0, True), said.out
    assert pl.read_parquet(out).height == 10
    report = json.loads(recsys("recommend", *words, "--json").out)
    assert (report["users"], report["fallbacks"]) == (2, 1)


def test_lists_for_many_items_go_to_a_folder(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    items, out = tmp_path / "items.csv", tmp_path / "lists"
    items.write_text(f"item_id\n{PHONES[0]}\n{PHONES[1]}\n", encoding="utf-8")
    words = ("--models", shop_models, "--items", items, "--out", out, "--limit", 3, "--format", "ndjson")
    said = recsys("recommend", *words, "--shard-size", 1, "--workers", 1)
    assert (said.code, "for 2 items" in said.out) == (0, True), said.out
    assert "50% 1 of 2 complementary lists" in said.err
    lines = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("lists-*.ndjson"))]
    assert [line["seed_id"] for line in lines] == [PHONES[0], PHONES[1]]
    assert all(item["title"] for line in lines for item in line["items"])
