"""The variant of a list that a user gets: of an experiment, of a promoted winner, or the shop's own for the holdout."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from recsys.core.placements import ListVariant, Placement
from recsys.experiments.assignment import OUTSIDE, RunningExperiment, is_held_out, variant_of
from recsys.experiments.definitions import CONTROL, HOLDOUT, WINNERS, PermanentHoldout

VariantKey = tuple[str, str, str]
"""Experiment, variant and placement."""


@dataclass(frozen=True)
class ListVariants:
    """The lists of all variants that are served now.

    Attributes:
        running: experiments by the placement that they change, in the order of the file, without those of `bundled`.
        variants: definitions of the changed placements.
        originals: by placement that a winner has changed, its definition without the winners.
        holdout: shoppers who get the originals.
        bundled: experiments whose variants name bundles, in the order of the file; they are about all lists.
        planned: experiments whose variants change the push plan; see `recsys.planner.plan_variants`.
    """

    running: Mapping[str, tuple[RunningExperiment, ...]]
    variants: Mapping[VariantKey, Placement]
    originals: Mapping[str, Placement]
    holdout: PermanentHoldout
    bundled: tuple[RunningExperiment, ...] = ()
    planned: tuple[RunningExperiment, ...] = ()

    @property
    def bundles(self) -> frozenset[str]:
        """Versions of the bundles that variants name."""
        return frozenset().union(*(each.bundles for each in self.bundled))

    def within(self, n_bundles: int) -> ListVariants:
        """Return the lists without the last experiments whose bundles would be more than a number."""
        kept: tuple[RunningExperiment, ...] = ()
        for each in self.bundled:
            if len(each.bundles.union(*(other.bundles for other in kept))) <= n_bundles:
                kept = (*kept, each)
        return self if kept == self.bundled else replace(self, bundled=kept)

    def served_by(self, versions: Collection[str]) -> ListVariants:
        """Return the lists without the experiments of which a bundle is not among those that are served."""
        kept = tuple(each for each in self.bundled if each.bundles <= set(versions))
        return self if kept == self.bundled else replace(self, bundled=kept)

    def bundle_of(self, unit_id: str | None) -> str:
        """Return the version of the bundle that answers all calls of a user; "" for the current one."""
        if unit_id is None:
            return ""
        found = ((each, variant_of(each, unit_id)) for each in self.bundled)
        return next((_bundle(each, variant) for each, variant in found if variant != OUTSIDE), "")

    def choose(self, placement: str, unit_id: str | None) -> ListVariant | None:
        """Return the variant of a list for a user; None where the user is in no experiment that changes it.

        Args:
            placement: name of the list.
            unit_id: root of the chain of the user's merged ids; None for nobody, or a user who has opted out.
        """
        if unit_id is None:
            return None
        exposures: dict[str, str] = {}
        if placement in self.originals and self.holdout.share:
            if is_held_out(self.holdout, unit_id):
                return ListVariant(self.originals[placement], {HOLDOUT: CONTROL})
            exposures[HOLDOUT] = WINNERS
        for experiment in (*self.bundled, *self.running.get(placement, ())):
            variant = variant_of(experiment, unit_id)
            if variant != OUTSIDE:
                name = experiment.definition.name
                exposures[name] = variant
                changed = self.variants.get((name, variant, placement))
                return ListVariant(changed, exposures, _bundle(experiment, variant))
        return ListVariant(None, exposures) if exposures else None


def _bundle(experiment: RunningExperiment, variant: str) -> str:
    found = experiment.definition.variant(variant)
    return "" if found is None else found.bundle
