"""A blend: the weights of the sources in the score of a list, as learned from the shop's own past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import PositiveInt

HALF_WAY_ITEMS: Final = 4.0
"""Further distinct items of a history at which the weights are half those of a long history."""


@dataclass(frozen=True)
class BlendConfig:
    """Settings of the search for the weights of the sources.

    Attributes:
        enabled: whether the weights are learned; without it every list has the weights of its placement.
        n_sweeps: passes over all weights.
        max_questions: past requests that a trial is measured on.
        min_questions: past requests that the search needs; with fewer, the weights of the placements stay.
        confidence: the learned weights replace those of the placement where the interval of the gain on held-out
            requests, at this confidence, is above 0.
    """

    enabled: bool = True
    n_sweeps: PositiveInt = 2
    max_questions: PositiveInt = 1500
    min_questions: Annotated[int, Meta(ge=2)] = 100
    confidence: Annotated[float, Meta(gt=0, lt=1)] = 0.9


@dataclass(frozen=True)
class Comparison:
    """Orders of one kind of list, compared on later requests than those that they were learned from.

    Attributes:
        metric: name of the metric that decided.
        order: the best order, which the list has.
        n_held_out: later requests that the orders were compared on.
        orders: names of the orders.
        values: mean of the metric for each of `orders`.
    """

    metric: str = ""
    order: str = ""
    n_held_out: int = 0
    orders: tuple[str, ...] = ()
    values: tuple[float, ...] = ()

    @property
    def is_made(self) -> bool:
        """Whether anything was compared."""
        return bool(self.orders)

    def sentence(self, lists: str) -> str:
        """Write what orders some lists and why, with the figures; only where something was compared.

        Args:
            lists: names of the lists.
        """
        value = dict(zip(self.orders, self.values, strict=True))
        others = ", ".join(f"{name} {value[name]:.4f}" for name in self.orders if name != self.order)
        return (
            f"{lists}: ordered by {self.order}, which reached {self.metric} {value[self.order]:.4f} on the latest "
            f"{self.n_held_out:,} past requests ({others})."
        )

    def report(self) -> dict[str, object]:
        """Return the comparison, for the manifest."""
        return {
            "order": self.order,
            "metric": self.metric,
            "n_held_out": self.n_held_out,
            "orders": dict(zip(self.orders, self.values, strict=True)),
        }


@dataclass(frozen=True)
class Blend(Comparison):
    """The weights of one kind of list, and how they compare with other orders.

    A history of `n` distinct items has the weights `s·few + (1 − s)·many` with `s = κ / (n − 1 + κ)` and
    `κ = HALF_WAY_ITEMS`.

    Attributes:
        sources: names of the sources.
        few: weight of each source for a history of one item, >= 0.
        many: weight of each source for a long history, >= 0.
        trend_power: the score is multiplied by `trend^power`.
        tail_discount: `β·ln(buyers)` is subtracted from the logarithm of the score.
        uses_ranker: whether the ranker orders the list.
        n_trials: weights that were tried.
        n_questions: past requests that the search learned from.
        gain: mean gain of the learned weights over those of the placement on the held-out requests.
        gain_low: lower end of its interval.
        gain_high: upper end of its interval.
    """

    sources: tuple[str, ...] = ()
    few: tuple[float, ...] = ()
    many: tuple[float, ...] = ()
    trend_power: float = 0.0
    tail_discount: float = 0.0
    uses_ranker: bool = True
    n_trials: int = 0
    n_questions: int = 0
    gain: float = 0.0
    gain_low: float = 0.0
    gain_high: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether a search was made."""
        return bool(self.sources)

    def weights(self, names: tuple[str, ...], n_items: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return the weight of each source for histories of some lengths.

        Args:
            names: sources; one that the blend does not know has the weight 0.
            n_items: (n,), distinct items of each history.

        Returns:
            float64 (n_sources, n).
        """
        return between(*_ends(self.sources, self.few, self.many, names), n_items)

    def knows(self, names: tuple[str, ...]) -> bool:
        """Return whether the search weighed all of some sources."""
        return set(names) <= set(self.sources)

    def to_dict(self) -> dict[str, object]:
        """Return what was tried, what was chosen and what it gained, for the manifest."""
        return {
            **self.report(),
            "weights": {
                name: [round(few, 4), round(many, 4)]
                for name, few, many in zip(self.sources, self.few, self.many, strict=True)
            },
            "trend_power": self.trend_power,
            "tail_discount": self.tail_discount,
            "n_trials": self.n_trials,
            "n_questions": self.n_questions,
            "gain": {"mean": self.gain, "low": self.gain_low, "high": self.gain_high},
        }


@lru_cache(maxsize=256)
def _ends(
    sources: tuple[str, ...], few: tuple[float, ...], many: tuple[float, ...], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The weights of some sources for a history of one item and for a long one; 0 for those that are not known."""
    known = {name: ends for name, *ends in zip(sources, few, many, strict=True)}
    ends = np.array([known.get(name, [0.0, 0.0]) for name in names], np.float64).reshape(len(names), 2)
    ends.flags.writeable = False
    return ends[:, 0], ends[:, 1]


def between(
    few: npt.NDArray[np.float64], many: npt.NDArray[np.float64], n_items: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Interpolate weights between those of one item and those of a long history; see `Blend`.

    >>> between(np.array([1.0]), np.array([0.0]), np.array([1, 5])).tolist()
    [[1.0, 0.5]]
    """
    share = HALF_WAY_ITEMS / (np.maximum(n_items, 1) - 1 + HALF_WAY_ITEMS)
    return many[:, None] + (few - many)[:, None] * share


@dataclass(frozen=True)
class LearnedSettings:
    """Model settings that were tried on past requests; all tuples have one entry per setting.

    Attributes:
        names: table and key of each setting.
        configured: value in the configuration.
        chosen: value that the models were fitted with.
        metrics: name of the metric that decided.
        gains: mean gain of the chosen value over the configured one; 0 where it stays.
        gain_lows: lower ends of the intervals of these gains.
        gain_highs: upper ends.
        n_requests: past requests that they were measured on; 0 where nothing was tried.
    """

    names: tuple[str, ...] = ()
    configured: tuple[float, ...] = ()
    chosen: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ()
    gains: tuple[float, ...] = ()
    gain_lows: tuple[float, ...] = ()
    gain_highs: tuple[float, ...] = ()
    n_requests: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return the report, for the manifest."""
        gains = zip(self.metrics, self.gains, self.gain_lows, self.gain_highs, strict=True)
        values = zip(self.names, self.configured, self.chosen, gains, strict=True)
        return {
            name: {
                "configured": before,
                "chosen": after,
                "metric": metric,
                "gain": {"mean": gain, "low": low, "high": high},
            }
            for name, before, after, (metric, gain, low, high) in values
        }


NO_BLEND: Final = Blend()
NO_COMPARISON: Final = Comparison()


@dataclass(frozen=True)
class Blends:
    """The learned blends, and the settings of the models that were learned beside them.

    Attributes:
        settings: of the models.
        next: of lists of what a user takes next.
        new: of lists of what a user has not had yet.
        tail: of the same outside the head.
        alike: of items that are similar to one.
        viewed: of items that are viewed together with one.
        together: orders of items that are bought together.
    """

    settings: LearnedSettings = LearnedSettings()
    next: Blend = NO_BLEND
    new: Blend = NO_BLEND
    tail: Blend = NO_BLEND
    alike: Blend = NO_BLEND
    viewed: Blend = NO_BLEND
    together: Comparison = NO_COMPARISON

    def sentences(self) -> tuple[str, ...]:
        """Write what orders each list where a search was made."""
        return tuple(found.sentence(lists) for lists, found in self._by_list().items() if found.is_made)

    def to_dict(self) -> Mapping[str, dict[str, object]]:
        """Return the report of each search and comparison that was made."""
        blends = {"next": self.next, "new": self.new, "tail": self.tail, "alike": self.alike, "viewed": self.viewed}
        made = {name: blend.to_dict() for name, blend in blends.items() if blend.is_fitted}
        return made | ({"together": self.together.report()} if self.together.is_made else {})

    def _by_list(self) -> Mapping[str, Comparison]:
        return {
            "for_you and time_of_day": self.next,
            "discover": self.new,
            "long_tail": self.tail,
            "similar": self.alike,
            "viewed_together": self.viewed,
            "bought_together": self.together,
        }
