"""Lists of items that are bought together, in one of several orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.data.catalog import Catalog
from recsys.kernels.top_rows import top_of_groups
from recsys.models.pairs.backoff import Backoff
from recsys.models.pairs.pair_evidence import PairEvidence, Prior, ScoredPairs
from recsys.models.pairs.related_items import RelatedItems, empty_lists, keep_many

TogetherOrder = Literal["probability", "baskets", "users", "sum", "popularity"]
"""`probability` with back-off and momentum; the plain share of the `baskets` or of the `users` of an item that contain
the other one; the `sum` of both; `popularity`, the same for all items."""

FILLING_WEIGHT: Final = 1e-6
"""Weight of the probability in the plain orders: it fills their lists and breaks their ties."""

BLOCK_ITEMS: Final = 500
"""Items whose candidates are scored at once: bounds the memory."""

Score = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TogetherLists:
    """The lists, made type by type.

    Attributes:
        evidence: what baskets and users say about pairs.
        backoff: probabilities by type and category.
        appeal: float64 (n_items,), factor of the probability of each item.
        order: what orders the lists.
        n_backoff: candidates that an item takes from the list of its type.
    """

    evidence: PairEvidence
    backoff: Backoff
    appeal: Score
    order: TogetherOrder
    n_backoff: int

    @cached_property
    def _best_sellers(self) -> npt.NDArray[np.int32]:
        return np.sort(top_k(self.backoff.share, self.n_backoff)).astype(np.int32)

    def of(self, catalog: Catalog, length: int, items: npt.NDArray[np.integer] | None = None) -> RelatedItems:
        """Make the lists of some items.

        Args:
            catalog: types.
            length: items kept in each list.
            items: rows of the items; all if not given.

        Returns:
            Lists of all items; those of other items are empty.
        """
        n_items = len(self.appeal)
        lists = empty_lists(n_items, length)
        wanted = np.ones(n_items, np.bool_) if items is None else np.bincount(items, minlength=n_items) > 0
        for item_type, members in _items_by_type(catalog, wanted & self._is_useful(catalog)):
            prior = partial(self.backoff.given_type, item_type)
            shortlist = self._shortlist(prior, item_type)
            for block in np.split(members, np.arange(BLOCK_ITEMS, len(members), BLOCK_ITEMS)):
                found = self.evidence.score(block, prior, shortlist)
                score = self._score(found)
                best, starts = top_of_groups(score, found.rows, found.starts, length)
                keep_many(lists, block, starts, found.rows[best], score[best], found.n_together[best])
        return lists

    def _is_useful(self, catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Whether an item has a type or was bought: there is nothing to say about others."""
        return (catalog.item_type >= 0) | (self.evidence.pairs.n_baskets > 0)

    def _shortlist(self, prior: Prior, item_type: int) -> npt.NDArray[np.int32]:
        if self.order == "popularity":
            return self._best_sellers
        partners = self.backoff.partners(item_type)
        return np.sort(partners[top_k(prior(partners) * self.appeal[partners], self.n_backoff, partners)])

    def _score(self, found: ScoredPairs) -> Score:
        if self.order == "probability":
            return found.probability * self.appeal[found.rows]
        if self.order == "popularity":
            return self.backoff.share[found.rows]
        chosen = {"baskets": (True, False), "users": (False, True), "sum": (True, True)}[self.order]
        score = FILLING_WEIGHT * found.probability
        for counts, part in zip(chosen, found.shares, strict=True):
            score = score + part if counts else score
        return score


def popularity_prior(momentum: Score, share: Score, momentum_power: float, popularity_discount: float) -> Score:
    """Return the factor `m_j^γ / p_j^β` of each item, float64 (n_items,).

    Args:
        momentum: m, float64 (n_items,), recent rate of sales over the long-run rate.
        share: p, float64 (n_items,), share of the baskets that contain the item.
        momentum_power: γ, exponent of the momentum.
        popularity_discount: β.
    """
    return momentum**momentum_power / np.maximum(share, 1e-9) ** popularity_discount


def _items_by_type(catalog: Catalog, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each type with its wanted items."""
    rows = np.flatnonzero(wanted)
    types = catalog.item_type[rows]
    order = np.argsort(types, kind="stable")
    starts = np.flatnonzero(np.diff(types[order], prepend=-2))
    for members in np.split(rows[order], starts[1:]):
        if len(members):
            yield int(catalog.item_type[members[0]]), members
