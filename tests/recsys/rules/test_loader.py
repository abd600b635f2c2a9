from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys.core.errors import ConfigError
from recsys.core.placements import PLACEMENTS, Boost, Freshness, Page, Pin, Promotion
from recsys.core.windows import Window
from recsys.fitting.engine import Engine
from recsys.rules.loader import parse_placements, read_placements

EVERYTHING: dict[str, Any] = {
    "extends": "for_you",
    "sources": {"als": 1.0, "popular": 0.1},
    "ranker": "",
    "pool": "tail",
    "own": "drop",
    "seen_days": 2,
    "filter": "price < 50",
    "boosts": [{"filter": "brand = '晨光'", "factor": 1.5}],
    "pins": [{"item_id": "i1", "rank": 2}],
    "promotions": [{"filter": "available", "share": 0.2}],
    "diversity": 0.3,
    "max_per_category": 2,
    "tail_share": 0.1,
    "tail_discount": 0.2,
    "hour_power": 1,
    "trend_power": 0,
    "freshness": {"boost": 0.5, "half_life_days": 7},
    "rotation": 0.4,
    "limit": 12,
    "fallback": ["time_of_day", "popular"],
    "titles": {"en": "For you", "zh": "猜你喜欢"},
}


def _refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_placements(document)
    return str(caught.value)


def _refused(**keys: Any) -> str:
    return _refusal({"placements": {"mine": {"extends": "for_you", **keys}}})


def test_every_key_is_read() -> None:
    mine = parse_placements({"placements": {"mine": EVERYTHING}}).placements["mine"]
    assert mine.name == "mine"
    assert mine.anchor == "user"
    assert dict(mine.sources) == {"als": 1.0, "popular": 0.1}
    assert mine.boosts == (Boost("brand = '晨光'", 1.5),)
    assert mine.pins == (Pin("i1", 2),)
    assert mine.promotions == (Promotion("available", 0.2),)
    assert mine.freshness == Freshness(0.5, 7.0)
    assert (mine.limit, mine.rotation, mine.max_per_category, mine.trend_power) == (12, 0.4, 2, 0.0)
    assert mine.evidence == ("hour", "tail")
    assert [dict(each.sources) for each in mine.substitutes] == [
        dict(PLACEMENTS["time_of_day"].sources),
        {"popular_by_hour": 1.0},
    ]
    assert all(each.filter == mine.filter and each.pool == "tail" for each in mine.substitutes)
    assert mine.filters == (
        ("filter", "price < 50"),
        ("boosts[0].filter", "brand = '晨光'"),
        ("promotions[0].filter", "available"),
    )


def test_an_empty_file_leaves_what_is_built_in() -> None:
    assert dict(parse_placements({}).placements) == dict(PLACEMENTS)


def test_a_placement_inherits_and_order_in_the_file_does_not_matter() -> None:
    book = parse_placements(
        {
            "placements": {
                "child": {"extends": "parent", "limit": 5},
                "parent": {"extends": "discover", "limit": 9, "rotation": 0.2, "fallback": "popular"},
            }
        }
    )
    child = book.placements["child"]
    assert (child.limit, child.rotation, child.own, child.ranker) == (5, 0.2, "drop", "new")
    assert [each.name for each in child.substitutes] == ["child"]
    assert list(book.placements) == [*PLACEMENTS, "parent", "child"]


def test_what_is_built_in_can_be_overridden() -> None:
    book = parse_placements({"placements": {"for_you": {"limit": 6}, "mine": {"extends": "for_you"}}})
    assert book.placements["for_you"].limit == book.placements["mine"].limit == 6
    assert book.placements["for_you"].sources == PLACEMENTS["for_you"].sources


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("rotations", 1, "'placements.mine.rotations' (1) is not a known key: do you mean 'placements.mine.rotation'?"),
        ("rotation", 2, "'placements.mine.rotation' is 2, expected a number in [0, 1]"),
        ("rotation", "x", "'placements.mine.rotation' is 'x', expected a number in [0, 1]"),
        ("rotation", True, "is True, expected a number in [0, 1]"),
        ("rotation", float("nan"), "is nan, expected a number in [0, 1]"),
        ("limit", 0, "'placements.mine.limit' is 0, expected a whole number in [1, 100]"),
        ("limit", 1.5, "is 1.5, expected a whole number in [1, 100]"),
        ("max_per_category", -1, "expected a whole number >= 0"),
        ("ranker", "nexte", "expected one of '', 'new', 'next'"),
        ("own", ["keep"], "expected one of 'drop', 'drop_types', 'keep', 'not_yet_due'"),
        ("sources", {}, "expected a table of numbers with at least one entry"),
        (
            "sources",
            {"alz": 1.0},
            "'placements.mine.sources.alz' (1.0) is not a known source: do you mean 'placements.mine.sources.als'?",
        ),
        ("sources", {"als": 0}, "'placements.mine.sources.als' is 0, expected a number > 0"),
        ("sources", {"similar": 1}, "expected sources for a user, not for an item"),
        ("boosts", [{"filter": "a", "factor": 0}], "'placements.mine.boosts[0].factor' is 0, expected a number > 0"),
        ("boosts", [{"filter": "a"}], "'placements.mine.boosts[0]' lacks 'factor'"),
        ("boosts", [3], "'placements.mine.boosts[0]' is 3, expected a table {filter = …, factor = …}"),
        ("boosts", {"filter": "a"}, "is {'filter': 'a'}, expected a list of tables"),
        ("pins", [{"item_id": "", "rank": 1}], "'placements.mine.pins[0].item_id' is '', expected a text"),
        ("pins", [{"item_id": "a", "rank": 1}, {"item_id": "b", "rank": 1}], "is [1, 1], expected each rank once"),
        (
            "pins",
            [{"item_id": "a", "rank": 1}, {"item_id": "a", "rank": 2}],
            "is ['a', 'a'], expected each item_id once",
        ),
        (
            "promotions",
            [{"filter": "a", "share": 0.7}, {"filter": "b", "share": 0.7}],
            "is 1.4, expected shares that add up to at most 1",
        ),
        ("freshness", {"half_life": 3}, "'placements.mine.freshness.half_life' (3) is not a known key"),
        ("freshness", {"half_life_days": 0}, "'placements.mine.freshness.half_life_days' is 0, expected a number > 0"),
        (
            "fallback",
            ["populer"],
            "'placements.mine.fallback[0]' is 'populer', which is not a known other placement or source",
        ),
        ("fallback", ["mine"], "'placements.mine.fallback[0]' is 'mine', which is not a known other placement"),
        ("fallback", ["popular", "popular"], "expected each value once"),
        ("fallback", 3, "expected a list of texts"),
        ("titles", {"zh": 3}, "'placements.mine.titles.zh' is 3, expected a text"),
        ("titles", "For you", "expected a table of texts"),
        (
            "extends",
            "for_yuo",
            "'placements.mine.extends' is 'for_yuo', which is not a known placement: do you mean 'for_you'?",
        ),
        ("extends", 3, "'placements.mine.extends' is 3, which is not a known placement"),
        ("extends", "mine", "expected a placement that does not extend this one in turn"),
        ("filter", 3, "'placements.mine.filter' is 3, expected a text"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value_and_the_remedy(key: str, value: Any, told: str) -> None:
    assert told in _refused(**{key: value})


def test_placements_in_a_ring_and_without_a_parent_are_refused() -> None:
    ring = {"a": {"extends": "b"}, "b": {"extends": "a"}}
    assert "does not extend this one in turn" in _refusal({"placements": ring})
    assert "'placements.mine.extends' is missing" in _refusal({"placements": {"mine": {}}})
    assert "'placements' is 3" in _refusal({"placements": 3})
    assert "'placements.mine' is 3, expected a table" in _refusal({"placements": {"mine": 3}})
    assert "'placement' ({}) is not a known table: do you mean 'placements'?" in _refusal({"placement": {}})


def test_every_fault_is_told_at_once() -> None:
    told = _refused(limit=0, rotation=7, colour="red", fallback=["no"])
    assert all(name in told for name in (".limit", ".rotation", ".colour", ".fallback[0]"))


def test_pages_name_placements_that_there_are() -> None:
    book = parse_placements({"pages": {"home": {"placements": ["for_you", "popular"]}}})
    assert book.pages == {"home": Page("home", ("for_you", "popular"))}
    assert "'pages.home.placements[0]' is 'for_yuo', which is not a known placement" in _refusal(
        {"pages": {"home": {"placements": ["for_yuo"]}}}
    )
    assert "expected a list of texts with 1 to 20 entries" in _refusal({"pages": {"home": {"placements": []}}})
    assert "'pages.home.shelves' ([]) is not a known key" in _refusal(
        {"pages": {"home": {"shelves": [], "placements": ["popular"]}}}
    )


def test_filters_are_held_against_the_catalogue(tmp_path: Path, shop_engine: Engine) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(
        """
        [placements.cheap]
        extends = "for_you"
        filter = "prce < 3"
        boosts = [{filter = "price = 'x'", factor = 2}]
        """,
        encoding="utf-8",
    )
    assert read_placements(path).placements["cheap"].filter == "prce < 3"
    with pytest.raises(ConfigError) as caught:
        read_placements(path, shop_engine.items_table.schema)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert "'placements.cheap.filter': filter, character 1, at 'prce < 3': unknown column 'prce'" in told
    assert "'placements.cheap.boosts[0].filter'" in told


@pytest.mark.parametrize("content", [b"[placements", b"\xff", b"a = " + b"[" * 5000])
def test_what_is_no_file_of_ours_is_one_clear_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "placements.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"placements\.toml"):
        read_placements(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_placements(tmp_path / "none.toml")


def test_own_weights_order_the_list_themselves() -> None:
    text = {"extends": "for_you", "sources": {"als": 1.0, "popular": 0.5}}
    own = parse_placements({"placements": {"mine": text}}).placements["mine"]
    assert (own.blend, own.ranker, own.has_own_weights) == ("", "", True)
    named = parse_placements({"placements": {"mine": text | {"ranker": "next"}}}).placements["mine"]
    assert (named.blend, named.ranker) == ("", "next")
    trend = parse_placements({"placements": {"mine": {"extends": "for_you", "trend_power": 0.1}}}).placements["mine"]
    assert (trend.blend, trend.ranker) == ("", "next")


@pytest.mark.parametrize("start", ["2026-11-01", date(2026, 11, 1), datetime(2026, 11, 1, 0, 0)])  # noqa: DTZ001
def test_a_window_is_read_from_text_and_from_dates_of_toml(start: object) -> None:
    table = {"extends": "for_you", "valid_from": start, "valid_to": "2026-11-12", "weekdays": [5, 6], "hours": [0, 23]}
    mine = parse_placements({"placements": {"mine": table, "child": {"extends": "mine"}}}).placements["mine"]
    days = datetime(2026, 11, 1), datetime(2026, 11, 12)  # noqa: DTZ001
    assert mine.window == Window(*days, (5, 6), (0, 23))
    assert PLACEMENTS["for_you"].window is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"valid_from": "soon"}, "'placements.mine.valid_from' is 'soon', expected a date or time such as"),
        ({"valid_from": 3}, "'placements.mine.valid_from' is 3, expected a text"),
        ({"valid_from": "2026-11-12", "valid_to": "2026-11-12"}, "a moment after valid_from, 2026-11-12"),
        ({"weekdays": [0]}, "'placements.mine.weekdays[0]' is 0, expected a whole number in [1, 7]"),
        ({"weekdays": [7, 7]}, "each value once"),
        ({"hours": [24]}, "'placements.mine.hours[0]' is 24, expected a whole number in [0, 23]"),
    ],
)
def test_a_window_that_cannot_be_is_refused(keys: dict[str, object], expected: str) -> None:
    assert expected in _refused(**keys)
