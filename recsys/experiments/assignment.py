"""The variant that each shopper is in: a keyed hash of the shopper's id, the same in every process and at any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from recsys.experiments.definitions import ExperimentDefinition, PermanentHoldout

OUTSIDE: Final = ""
"""Stands for a shopper who is in no variant."""

BITS: Final = 64


@dataclass(frozen=True)
class RunningExperiment:
    """An experiment with the shoppers that it has by now.

    Attributes:
        definition: its variants and its part of a layer.
        share: of the shoppers of its part of the layer, in [0, 1].
        holdout: shoppers who are in no experiment.
        retired: variants whose shoppers are outside by now.
    """

    definition: ExperimentDefinition
    share: float
    holdout: PermanentHoldout
    retired: tuple[str, ...] = ()

    @property
    def bundles(self) -> frozenset[str]:
        """Versions of the bundles that its shoppers' calls are answered by, besides the current one."""
        variants = self.definition.variants
        return frozenset(each.bundle for each in variants if each.bundle and each.name not in self.retired)


def uniform_of(salt: str, unit_id: str) -> float:
    """Return a number in [0, 1) for a shopper: uniform over shoppers, and independent between salts.

    >>> uniform_of("a", "u1") == uniform_of("a", "u1") != uniform_of("b", "u1")
    True
    """
    digest = blake2b(unit_id.encode(errors="surrogatepass"), key=_key(salt), digest_size=BITS // 8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << (BITS - 11))  # 53 bits: a float has no more


def is_held_out(holdout: PermanentHoldout, unit_id: str) -> bool:
    """Return whether a shopper is in the permanent holdout."""
    return holdout.share > 0 and uniform_of(f"holdout {holdout.salt}", unit_id) < holdout.share


def variant_of(experiment: RunningExperiment, unit_id: str) -> str:
    """Return the name of a shopper's variant, `OUTSIDE` for none.

    One draw by the layer's salt decides whether the shopper is in: in the experiment's part `[a, b)` of the layer and
    below `a + share·(b − a)`. Another draw, by the salt and the experiment's name, decides the variant. So a larger
    share only adds shoppers, and moves none between variants.

    Args:
        experiment: with its share.
        unit_id: the shopper: root of the chain of merged ids.
    """
    definition = experiment.definition
    start, end = definition.settings.part
    place = uniform_of(definition.salt, unit_id)
    if not start <= place < start + experiment.share * (end - start) or is_held_out(experiment.holdout, unit_id):
        return OUTSIDE
    drawn = _drawn(definition, unit_id)
    return OUTSIDE if drawn in experiment.retired else drawn


def assign(experiment: RunningExperiment, unit_ids: Iterable[str]) -> list[str]:
    """Return the variant of each of many shoppers; see `variant_of`."""
    return [variant_of(experiment, unit_id) for unit_id in unit_ids]


def planned_shares(definition: ExperimentDefinition, retired: Iterable[str] = ()) -> Mapping[str, float]:
    """Return each variant's share of the experiment's shoppers, in the order of the definition, without the retired."""
    gone = set(retired)
    left = {each.name: each.weight for each in definition.variants if each.name not in gone}
    total = sum(left.values())
    return {name: weight / total for name, weight in left.items()}


def _drawn(definition: ExperimentDefinition, unit_id: str) -> str:
    total = sum(each.weight for each in definition.variants)
    left = uniform_of(f"{definition.salt}\nvariant of {definition.name}", unit_id) * total
    for variant in definition.variants:
        left -= variant.weight
        if left < 0:
            return variant.name
    return definition.variants[-1].name


@lru_cache(maxsize=256)
def _key(salt: str) -> bytes:
    return blake2b(salt.encode(errors="surrogatepass"), digest_size=32).digest()
