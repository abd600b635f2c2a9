from __future__ import annotations

from dataclasses import replace

import pytest

from training.doctor.feasibility import TARGET_WORDS, DataFacts, counted, grade_models, plural

RICH = DataFacts(
    target_event="purchase",
    n_targets=20_000,
    target_items=500,
    learners=1_000,
    shared_items=400,
    items=600,
    catalog_items=600,
    described=600,
    categorized=600,
    pair_baskets=2_000,
    by_basket=True,
    repeat_share=0.3,
    repeat_pairs=900,
    finer_than_day=True,
    head_items=60,
)
NO_EVENTS = replace(
    RICH,
    n_targets=0,
    target_items=0,
    learners=0,
    shared_items=0,
    pair_baskets=0,
    repeat_share=0.0,
    repeat_pairs=0,
    head_items=0,
)


def grades(facts: DataFacts) -> dict[str, str]:
    return {name: each.grade for each in grade_models(facts) for name in each.lists}


def test_rich_data_supports_every_list() -> None:
    assert set(grades(RICH).values()) == {"yes"}


def test_items_alone_support_similar_items_only() -> None:
    assert {name for name, grade in grades(NO_EVENTS).items() if grade != "no"} == {"similar", "cold items"}


@pytest.mark.parametrize(
    ("change", "name", "grade"),
    [
        ({"n_targets": 999}, "popular", "thin"),
        ({"n_targets": 1_000}, "popular", "yes"),
        ({"learners": 99}, "for_you", "thin"),
        ({"shared_items": 0}, "for_you", "no"),
        ({"repeat_share": 0.04}, "buy_again", "thin"),
        ({"repeat_share": 0.0, "repeat_pairs": 0}, "buy_again", "no"),
        ({"described": 299}, "cold items", "thin"),
        ({"described": 300}, "cold items", "yes"),
        ({"catalog_items": 0, "described": 0, "categorized": 0}, "similar", "yes"),
        ({"pair_baskets": 499}, "bought_together", "thin"),
        ({"pair_baskets": 0}, "complementary", "no"),
        ({"categorized": 0}, "complementary", "thin"),
        ({"finer_than_day": False}, "time_of_day", "no"),
        ({"n_targets": 9_999}, "time_of_day", "thin"),
        ({"head_items": 560}, "long_tail", "thin"),
        ({"head_items": 600}, "long_tail", "no"),
    ],
)
def test_each_threshold_decides_its_list(change: dict[str, object], name: str, grade: str) -> None:
    assert grades(replace(RICH, **change))[name] == grade  # type: ignore[arg-type]


@pytest.mark.parametrize("facts", [RICH, NO_EVENTS, replace(RICH, by_basket=False), replace(RICH, learners=1)])
@pytest.mark.parametrize("target_event", TARGET_WORDS)
def test_every_reason_is_one_sentence(facts: DataFacts, target_event: str) -> None:
    for each in grade_models(replace(facts, target_event=target_event)):
        assert each.why[0] == each.why[0].upper()
        assert each.why.endswith(".")
        assert ".." not in each.why


def test_counts_agree_with_their_nouns() -> None:
    assert (counted(1, "row"), counted(2_000, "row")) == ("1 row", "2,000 rows")
    assert [plural(word) for word in ("view", "click", "bus", "batch")] == ["views", "clicks", "buses", "batches"]
