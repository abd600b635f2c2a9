"""The variant of a list that a user gets: of an experiment, of a promoted winner, or the shop's own for the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsys.core.placements import ListVariant, Placement
from recsys.experiments.assignment import OUTSIDE, RunningExperiment, is_held_out, variant_of
from recsys.experiments.definitions import CONTROL, HOLDOUT, WINNERS, PermanentHoldout

VariantKey = tuple[str, str, str]
"""Experiment, variant and placement."""


@dataclass(frozen=True)
class ListVariants:
    """The lists of all variants that are served now.

    Attributes:
        running: experiments by the placement that they change, in the order of the file.
        variants: definitions of the changed placements.
        originals: by placement that a winner has changed, its definition without the winners.
        holdout: shoppers who get the originals.
    """

    running: Mapping[str, tuple[RunningExperiment, ...]]
    variants: Mapping[VariantKey, Placement]
    originals: Mapping[str, Placement]
    holdout: PermanentHoldout

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
        for experiment in self.running.get(placement, ()):
            variant = variant_of(experiment, unit_id)
            if variant != OUTSIDE:
                exposures[experiment.definition.name] = variant
                return ListVariant(self.variants.get((experiment.definition.name, variant, placement)), exposures)
        return ListVariant(None, exposures) if exposures else None
