"""The choice of a list's variant for one shopper."""

from __future__ import annotations

from recsys.core.placements import PLACEMENTS
from recsys.experiments.assignment import RunningExperiment
from recsys.experiments.definitions import CONTROL, WINNERS, PermanentHoldout
from recsys.rules.list_variants import ListVariants
from tests.recsys.experiments.files import definition

EVERYBODY, NOBODY = PermanentHoldout(1.0), PermanentHoldout(0.0)


def lists(holdout: PermanentHoldout, share: float = 1.0, *, is_promoted: bool = False) -> ListVariants:
    running = RunningExperiment(definition(), share, holdout)
    originals = {"for_you": PLACEMENTS["for_you"]} if is_promoted else {}
    changed = {("calm", "mixed", "for_you"): PLACEMENTS["discover"]}
    return ListVariants({"for_you": (running,)}, changed, originals, holdout)


def test_control_and_variant_are_both_logged() -> None:
    chosen = [lists(NOBODY).choose("for_you", f"u{n}") for n in range(100)]
    found = {(each.exposures["calm"], each.placement and each.placement.name) for each in chosen if each is not None}
    assert found == {("control", None), ("mixed", "discover")}


def test_the_holdout_gets_the_original_and_is_logged_where_a_winner_is_served() -> None:
    held = lists(EVERYBODY, is_promoted=True).choose("for_you", "u1")
    assert held is not None
    assert (held.placement, held.exposures) == (PLACEMENTS["for_you"], {"holdout": CONTROL})
    assert lists(EVERYBODY).choose("for_you", "u1") is None


def test_outside_of_experiments_only_the_holdout_is_logged() -> None:
    assert lists(NOBODY, 0.0, is_promoted=True).choose("for_you", "u1") is None
    some = lists(PermanentHoldout(0.01), 0.0, is_promoted=True)
    chosen = [some.choose("for_you", f"u{n}") for n in range(100)]
    assert sum(each is not None and each.exposures == {"holdout": WINNERS} for each in chosen) > 90
