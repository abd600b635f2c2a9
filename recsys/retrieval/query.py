"""A request in the terms of the models, and the ranking that answers it: rows instead of ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from recsys.core.occasions import Occasion
from recsys.core.topk import is_in
from recsys.data.history import NO_HISTORY, UserHistory
from recsys.retrieval.candidates import NO_CANDIDATES, Candidates

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RuleOverrides:
    """The rules of a placement and the filter of a request, in rows.

    Attributes:
        is_filtered: whether a filter narrows the list; a short list is then filled from all items that it keeps.
        boosts: items, and the factors of their scores.
        promotions: items, and their shares of the positions.
        pins: rows and their ranks, ascending by rank.
    """

    is_filtered: bool = False
    boosts: tuple[tuple[Mask, float], ...] = ()
    promotions: tuple[tuple[Mask, float], ...] = ()
    pins: tuple[tuple[int, int], ...] = ()


NO_OVERRIDES: Final = RuleOverrides()


@dataclass(frozen=True, slots=True)
class Query:
    """A request in the models' terms.

    Attributes:
        user_idx: row of the user, -1 for an anonymous or unknown one.
        now: seconds since 1970 UTC.
        hour: local hour, 0 to 23.
        bucket: part of the day that `hour` is in.
        limit: number of items that are asked for.
        history: the user's events up to `now`.
        seeds: int32, rows of the known seed items.
        missing_ids: seeds that the catalog does not have.
        allowed: bool (n_items,), items that may be listed; None for all.
        timezone: the zone of `hour`.
        day: ordinal of the local day; 0 where it does not matter.
        user_key: key of the user's events, "" for an anonymous one.
        n_lookahead: number of items to find beyond `limit`.
        overrides: the rules of the placement and the filter of the request, in rows.
        is_open: whether the moment is within the window of the placement.
        context: values of the request.
        attributes: returns those of the user; called only if something reads them.
        occasions: those of the placement.
        fields: columns of the items table to return with each item.
    """

    user_idx: int
    now: int
    hour: int
    bucket: int
    limit: int
    history: UserHistory = NO_HISTORY
    seeds: Rows = field(default_factory=lambda: np.empty(0, np.int32))
    missing_ids: tuple[str, ...] = ()
    allowed: Mask | None = None
    timezone: str = "UTC"
    day: int = 0
    user_key: str = ""
    n_lookahead: int = 0
    overrides: RuleOverrides = NO_OVERRIDES
    is_open: bool = True
    context: Mapping[str, Any] = field(default_factory=dict)
    attributes: Callable[[], Mapping[str, Any]] = dict
    occasions: tuple[Occasion, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageRecord:
    """The effect of one stage on a ranking.

    Attributes:
        stage: its name.
        before: int32, the rows that it received.
        after: int32, the rows that it passed on.
    """

    stage: str
    before: Rows
    after: Rows

    @cached_property
    def removed(self) -> Rows:
        """The rows that the stage took out, int32, in the order received."""
        if self.before is self.after:
            return self.before[:0]
        return self.before[~is_in(self.before, self.after)]


class Ranking(msgspec.Struct, frozen=True, eq=False):
    """The items of a list, in rows; best first once they are ordered.

    Attributes:
        item_idx: int32 (n,); those beyond the request's limit belong to the pages that follow.
        score: float (n,), descending unless a rule of the placement rearranges the list.
        source: str (n,), the source that contributes most to each item.
        fallback_used: whether the fallback served.
        propensity: float64 (n,), as in `RecommendedItem`; None where chance had no part.
        set_idx: int32 (n,), the row of each item's set in `Engine.item_sets`; None for a list of items.
        key: float64 (n,), > 0, descending: what orders the list instead of the score; None where the score does.
        candidates: what each source knows of the items; empty once they are ordered.
        records: the effect of each stage that the ranking has passed, in order.
    """

    item_idx: Rows
    score: npt.NDArray[np.floating]
    source: npt.NDArray[np.object_]
    fallback_used: bool = False
    propensity: npt.NDArray[np.float64] | None = None
    set_idx: Rows | None = None
    key: npt.NDArray[np.float64] | None = None
    candidates: Candidates = NO_CANDIDATES
    records: tuple[StageRecord, ...] = ()

    @property
    def removed(self) -> Mapping[str, Rows]:
        """By stage, the rows that it took out; stages that took out none are left out."""
        found: dict[str, Rows] = {}
        for record in self.records:
            if len(record.removed):
                found[record.stage] = np.concatenate([found.get(record.stage, record.removed[:0]), record.removed])
        return found

    def take(self, positions: slice | Mask | Positions) -> Ranking:
        """Returns the items at some positions, in that order."""
        return Ranking(
            self.item_idx[positions],
            self.score[positions],
            self.source[positions],
            self.fallback_used,
            None if self.propensity is None else self.propensity[positions],
            None if self.set_idx is None else self.set_idx[positions],
            None if self.key is None else self.key[positions],
            self.candidates.take(positions) if self.candidates.names else NO_CANDIDATES,
            self.records,
        )

    def split(self, n: int) -> tuple[Ranking, Ranking]:
        """Returns the first `n` items, and the rest."""
        return self.take(slice(n)), self.take(slice(n, None))


NO_ITEMS: Final = Ranking(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.object_))
