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


def bundled(*bundles: str, part: tuple[float, float] = (0.0, 1.0)) -> RunningExperiment:
    variants = {"control": {}} | {f"v{n}": {"bundle": bundle} for n, bundle in enumerate(bundles)}
    return RunningExperiment(definition(variants=variants, part=list(part)), 1.0, NOBODY)


def test_a_variant_with_a_bundle_is_about_all_lists_and_the_same_for_each() -> None:
    found = ListVariants({}, {}, {}, NOBODY, (bundled("b1", "b2"),))
    for user in (f"u{n}" for n in range(60)):
        chosen = [found.choose(name, user) for name in ("for_you", "similar", "rank")]
        assert len({(each.bundle, tuple(each.exposures.items())) for each in chosen if each is not None}) == 1
        assert all(each is not None and each.bundle == found.bundle_of(user) for each in chosen)
        assert {"control": "", "v0": "b1", "v1": "b2"}[chosen[0].exposures["calm"]] == found.bundle_of(user)  # type: ignore[union-attr]
    assert found.choose("for_you", None) is None
    assert found.bundle_of(None) == ""
    assert lists(NOBODY).bundle_of("u1") == ""


def test_experiments_wait_for_their_bundles_and_for_room() -> None:
    first, second, third = bundled("a", "b", part=(0, 0.3)), bundled("c", part=(0.3, 0.6)), bundled("a", part=(0.6, 1))
    found = ListVariants({}, {}, {}, NOBODY, (first, second, third))
    assert found.bundles == {"a", "b", "c"}
    assert found.within(3) is found
    assert found.within(2).bundled == (first, third)
    assert found.within(1).bundled == (second,)
    assert found.within(0).bundled == ()
    assert found.served_by({"a", "b", "c", "d"}) is found
    assert found.served_by({"a", "c"}).bundled == (second, third)
