"""What the rules of a placement keep of a catalog, and where its weights replace learned ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.placements import Placement
from recsys.filters.filter import compile_filter
from recsys.filters.scope import NOW_VALUE

KEPT, UNKNOWN_ITEM, SOLD_OUT, FILTERED = "", "not in the catalog", "not available", "left out by the filter of the list"
"""Why a pin has no effect."""

OWN_WEIGHTS: Final = (
    "{name} has weights of its own ({weights}): the learned weights and their comparison with simpler orders do not "
    "apply"
)


@dataclass(frozen=True)
class RuleEffect:
    """The effect of one rule on the items that may be listed.

    Attributes:
        placement: name of the list.
        key: its key in the file, such as `boosts[0].filter` or `pins[1]`.
        subject: the filter, or the id of the pinned item.
        kept: items that the rule applies to, among those that the filter of the list keeps.
        of: items that may be listed at all.
        needs: values of the user and the request that the filter reads; it was evaluated without them.
        why: why a pin keeps nothing, else "".
    """

    placement: str
    key: str
    subject: str
    kept: int
    of: int
    needs: tuple[str, ...] = ()
    why: str = KEPT

    def sentence(self) -> str:
        """Write the effect.

        >>> RuleEffect("mine", "filter", "price < 0", 0, 290).sentence()
        'mine.filter keeps 0 of 290 items: price < 0'
        """
        if self.key.startswith("pins"):
            effect = f"which is {self.why}: the next item takes its rank" if self.why else "which may be listed"
            return f"{self.placement}.{self.key} pins {self.subject!r}, {effect}"
        unbound = f", without a value of {', '.join(self.needs)}" if self.needs else ""
        return f"{self.placement}.{self.key} keeps {self.kept:,} of {self.of:,} items{unbound}: {self.subject}"


def rule_effects(
    placement: Placement, items: pl.DataFrame, is_listable: npt.NDArray[np.bool_], now: datetime | None = None
) -> list[RuleEffect]:
    """Return what each filter, promotion and pin of a placement keeps; see `each_effect`."""
    return list(each_effect(placement, items, is_listable, now))


def each_effect(
    placement: Placement, items: pl.DataFrame, is_listable: npt.NDArray[np.bool_], now: datetime | None = None
) -> Iterator[RuleEffect]:
    """Count what each filter, promotion and pin of a placement keeps, one after the other.

    Args:
        placement: the list; its filters fit the columns of `items`.
        items: one row per item.
        is_listable: items that may be listed, bool (n_items,).
        now: the moment that `now()` of filters is; NULL if None.
    """
    known: dict[str, datetime] = {} if now is None else {NOW_VALUE: now}
    n_listable = int(is_listable.sum())
    allowed = is_listable
    for key, text in placement.filters:
        compiled = compile_filter(text, items.schema)
        kept = compiled.mask(items, context=known) & allowed
        if key == "filter":
            allowed = kept
        needs = tuple(sorted(compiled.depends_on - known.keys()))
        yield RuleEffect(placement.name, key, text, int(kept.sum()), n_listable, needs)
    row_of = dict(zip(items["item_id"], range(items.height), strict=True)) if placement.pins else {}
    for number, pin in enumerate(placement.pins):
        why = _why_not(row_of.get(pin.item_id), is_listable, allowed)
        yield RuleEffect(placement.name, f"pins[{number}]", pin.item_id, int(why == KEPT), n_listable, (), why)


def _why_not(row: int | None, is_listable: npt.NDArray[np.bool_], allowed: npt.NDArray[np.bool_]) -> str:
    if row is None:
        return UNKNOWN_ITEM
    if not is_listable[row]:
        return SOLD_OUT
    return KEPT if allowed[row] else FILTERED


def own_weights(placements: Iterable[Placement]) -> dict[str, str]:
    """Return a sentence for each list whose weights of the file replace the learned ones, by its name."""
    found = {}
    for placement in placements:
        if placement.has_own_weights:
            weights = ", ".join(f"{source} {weight:g}" for source, weight in placement.sources.items())
            found[placement.name] = OWN_WEIGHTS.format(name=placement.name, weights=weights)
    return found
