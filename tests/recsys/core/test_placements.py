from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.core.placements import PLACEMENTS, Boost, Pin, Placement, Promotion
from recsys.retrieval.sources import CANDIDATE_SOURCES

PLAIN = Placement("mine", "user", {"als": 1.0})


def test_built_in_lists_are_found_by_their_own_name_and_use_sources_that_exist() -> None:
    for name, placement in PLACEMENTS.items():
        assert placement.name == name
        assert placement.sources.keys() <= CANDIDATE_SOURCES.keys()
        assert placement.fallback in {"", *CANDIDATE_SOURCES}
        assert min(placement.sources.values()) >= 0 < max(placement.sources.values())


def test_built_in_lists_have_no_rules_of_a_shop() -> None:
    assert not any(placement.arranges or placement.has_rules for placement in PLACEMENTS.values())


@pytest.mark.parametrize(
    ("change", "arranges", "has_rules"),
    [
        ({}, False, False),
        ({"pins": (Pin("a", 1),)}, True, True),
        ({"promotions": (Promotion("price < 9", 0.5),)}, True, True),
        ({"diversity": 0.1}, True, False),
        ({"max_per_category": 1}, True, False),
        ({"rotation": 0.1}, True, False),
        ({"filter": "price < 9"}, False, True),
        ({"boosts": (Boost("price < 9", 2.0),)}, False, True),
        ({"tail_share": 0.5, "seen_days": 3.0}, False, False),
    ],
)
def test_what_rearranges_a_list_and_what_reads_the_catalog(
    change: dict[str, object], arranges: bool, has_rules: bool
) -> None:
    placement = replace(PLAIN, **change)  # type: ignore[arg-type]
    assert (placement.arranges, placement.has_rules) == (arranges, has_rules)


def test_every_filter_is_named_by_its_key() -> None:
    placement = replace(
        PLAIN,
        filter="one",
        boosts=(Boost("two", 2.0), Boost("three", 0.5)),
        promotions=(Promotion("four", 0.2),),
    )
    assert placement.filters == (
        ("filter", "one"),
        ("boosts[0].filter", "two"),
        ("boosts[1].filter", "three"),
        ("promotions[0].filter", "four"),
    )
    assert PLAIN.filters == ()
