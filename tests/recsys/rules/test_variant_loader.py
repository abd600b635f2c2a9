"""Lists of experiments: what each variant changes, and what a promoted winner does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.experiments.assignment import OUTSIDE, variant_of
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import promote, start
from recsys.rules.placement_registry import PlacementRegistry
from recsys.rules.variant_loader import read_with_experiments, registry_of
from tests.recsys.experiments.files import EXPERIMENTS, book_of, write_experiments

AT = "2026-11-01T00:00:00Z"
SHOPPERS = [f"u{n}" for n in range(2000)]


def registry(tmp_path: Path, *changes: Any, placements: str = "") -> PlacementRegistry:
    path = write_experiments(tmp_path)
    for change in changes:
        change_state(path, change)
    lists = tmp_path / "placements.toml"
    lists.write_text(placements, encoding="utf-8")
    return read_with_experiments(lists, path)


def test_drafts_change_no_list(tmp_path: Path) -> None:
    found = registry(tmp_path)
    assert found.variants is not None
    assert all(found.variants.choose("for_you", shopper) is None for shopper in SHOPPERS)


def test_a_running_experiment_gives_each_shopper_the_variant_of_the_draw(tmp_path: Path) -> None:
    found = registry(tmp_path, start("calm", AT, 1.0))
    variants = found.variants
    assert variants is not None
    (experiment,) = read_experiments(tmp_path / "experiments.toml").running()
    for shopper in SHOPPERS:
        drawn, chosen = variant_of(experiment, shopper), variants.choose("for_you", shopper)
        if drawn == OUTSIDE:
            assert chosen is None
            continue
        assert chosen is not None
        assert chosen.exposures == {"calm": drawn}
        placement = found.placements["for_you"] if chosen.placement is None else chosen.placement
        diversity, limit = {"control": (0.0, 20), "mixed": (0.3, 20), "short": (0.0, 5)}[drawn]
        assert (placement.name, placement.diversity, placement.limit) == ("for_you", diversity, limit)
    assert variants.choose("discover", SHOPPERS[0]) is None
    assert variants.choose("for_you", None) is None


def test_a_variant_extends_the_list_of_the_shop(tmp_path: Path) -> None:
    text = "[placements.for_you]\nextends = 'for_you'\nseen_days = 3\n"
    variants = registry(tmp_path, placements=text).variants
    assert variants is not None
    assert variants.variants[("calm", "mixed", "for_you")].seen_days == 3


def test_a_winner_is_served_to_all_but_the_holdout(tmp_path: Path) -> None:
    found = registry(tmp_path, start("calm", AT), promote("calm", "mixed", AT), start("tail", AT, 1.0))
    variants = found.variants
    assert variants is not None
    assert found.placements["for_you"].diversity == 0.3
    chosen = [variants.choose("for_you", shopper) for shopper in SHOPPERS]
    held = [each.placement for each in chosen if each is not None and each.exposures == {"holdout": "control"}]
    assert len(held) == pytest.approx(100, abs=40)
    assert all(each is not None and each.diversity == 0 for each in held)
    more = [each.placement for each in chosen if each is not None and each.exposures.get("tail") == "more"]
    assert more
    assert all(each is not None and (each.tail_share, each.diversity) == (0.3, 0.3) for each in more)
    outside = [each for each in chosen if each is not None and each.exposures == {"holdout": "winners"}]
    assert all(each.placement is None for each in outside)


def test_lists_that_extend_a_changed_list_stay(tmp_path: Path) -> None:
    text = "[placements.home]\nextends = 'for_you'\n"
    found = registry(tmp_path, start("calm", AT), promote("calm", "mixed", AT), placements=text)
    assert found.placements["home"].diversity == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"for_yuo": {"limit": 3}}, "changes a list that does not exist: there are"),
        ({"for_you": {"limt": 3}}, "'experiments.calm.variants.b.placements.for_you.limt' (3) is not a known key"),
        ({"for_you": {"limit": 0}}, "'experiments.calm.variants.b.placements.for_you.limit' is 0"),
        ({"for_you": {"extends": "popular"}}, "a variant changes the list it names"),
    ],
)
def test_faults_name_their_key(changes: dict[str, Any], message: str) -> None:
    book = book_of(experiments={"calm": {"variants": {"control": {}, "b": {"placements": changes}}}})
    with pytest.raises(ConfigError) as error:
        registry_of({}, book)
    assert message in str(error.value)


def test_filters_of_variants_are_checked(tmp_path: Path) -> None:
    text = EXPERIMENTS.replace("diversity = 0.3", "filter = 'prce < 3'")
    with pytest.raises(ConfigError, match=r"'experiments.calm.variants.mixed.placements.for_you.filter': .*prce"):
        read_with_experiments(None, write_experiments(tmp_path, text), {"price": pl.Float64()})
