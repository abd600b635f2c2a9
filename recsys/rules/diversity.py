"""Reorderings of a list as pure functions on arrays: rotation, diversity, caps, promotions, pins and tail quota.

Each returns the positions of the items in their new order; apart from the tail quota, none is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]

ROUNDING = 1e-9
"""Makes `⌊share·n⌋` exact for decimal shares: .1 · 10 is 1."""

MIN_PROPENSITY = 1e-12
"""Smallest propensity that is returned."""


def seeded_uniform(ids: Sequence[str], seed: str) -> npt.NDArray[np.float64]:
    """Returns a number in (0, 1) for each id, float64 (n,), a function of the id and the seed."""
    hashes = np.fromiter(map(crc32, (id_.encode() for id_ in ids)), np.uint64, len(ids))
    mixed = hashes + (np.uint64(crc32(seed.encode())) << np.uint64(32))
    # The finalizer of splitmix64 (Steele, Lea & Flood 2014, OOPSLA).
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def gumbel_keys(n: int, uniform: npt.NDArray[np.float64], rotation: float) -> npt.NDArray[np.float64]:
    """Returns the keys of a random order, float64 (n,), > 0; larger ones come first.

    `(1 / position) · g^rotation` with `g = 1 / −ln(uniform)`: at 1 the order is a draw without replacement, each item
    with a weight of `1 / position` (Plackett & Luce; by the Gumbel trick, Yellott 1977, J. Math. Psychology); at 0 it
    stays. The position counts, not the score, so that a rotation has the same effect in every list.

    Args:
        n: length of the list, best first.
        uniform: in (0, 1), of each item.
        rotation: in [0, 1].
    """
    return (-1.0 / np.log(uniform)) ** rotation / np.arange(1, n + 1)


def propensities(order: Positions, rotation: float) -> npt.NDArray[np.float64]:
    """Returns the probability of each draw, given the items drawn before it; float64 (n,), in (0, 1].

    `w(item) / Σ w` of all that was left, with `w = position^(−1/rotation)`: the order by `gumbel_keys` is that of
    exponential clocks with such rates. The product over a list is the probability of the whole list.

    Args:
        order: the positions that the items had before, in the order drawn.
        rotation: in (0, 1].
    """
    log_weight = -np.log(order + 1.0) / rotation
    log_left = np.logaddexp.accumulate(log_weight[::-1])[::-1]
    return np.clip(np.exp(log_weight - log_left), MIN_PROPENSITY, 1.0)


def mmr(key: npt.NDArray[np.float64], vectors: npt.NDArray[np.float32], diversity: float, n_chosen: int) -> Positions:
    """Maximal marginal relevance: `argmax (1 − d)·key − d·max cosine to the chosen items`, position by position.

    Carbonell & Goldstein 1998, SIGIR; the key is divided by the best.

    Args:
        key: (n,), descending, > 0.
        vectors: (n, n_dimensions), rows of length 1, or 0 for items without content: those are similar to none.
        diversity: `d`, in [0, 1]; at 0 the order stays.
        n_chosen: number of positions to choose; the other items follow in their order.
    """
    n = len(key)
    relevance = (1 - diversity) * key / max(float(key.max(initial=0)), 1e-300)
    similarity = np.full(n, 0.0)
    chosen: list[int] = []
    left = np.ones(n, np.bool_)
    for _ in range(min(n_chosen, n)):
        score = np.where(left, relevance - diversity * similarity, -np.inf)
        best = int(score.argmax())
        chosen.append(best)
        left[best] = False
        similarity = np.maximum(similarity, vectors @ vectors[best])
    return np.concatenate([np.array(chosen, np.int64), np.flatnonzero(left)])


def cap_per_category(category: npt.NDArray[np.int64], n_each: int) -> Positions:
    """Orders items in rounds of up to `n_each` items of each category.

    No category exceeds its bound before all others had their turn.

    Args:
        category: (n,), in the order of the list; -1 for items without a bound.
        n_each: >= 1.
    """
    by_category = np.argsort(category, kind="stable")
    ordered = category[by_category]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else ordered
    length = np.diff(np.append(starts, len(ordered)))
    nth = np.empty(len(category), np.int64)
    nth[by_category] = np.arange(len(ordered)) - np.repeat(starts, length)
    return np.argsort(np.where(category < 0, 0, nth // n_each), kind="stable")


def apply_promotions(matches: Sequence[npt.NDArray[np.bool_]], shares: Sequence[float], n: int) -> Positions:
    """Gives kinds of items their shares: each has `⌊share·m⌋` of the first m positions, while it has enough items.

    Items that are there by their own score count. The others keep their order.

    Args:
        matches: for each kind, bool (n,), in the order of the list.
        shares: of each kind, in [0, 1], together at most 1.
        n: length of the list.
    """
    reserved = _reserved(shares, n)
    taken = np.zeros(n, np.bool_)
    waiting = [iter(np.flatnonzero(match).tolist()) for match in matches]
    plain = iter(range(n))
    had, due = [0] * len(shares), [0] * len(shares)
    order = np.empty(n, np.int64)
    for position in range(n):
        kind = reserved[position]
        source = plain
        if kind >= 0:
            due[kind] += 1
            source = waiting[kind] if had[kind] < due[kind] else plain
        chosen = next((each for each in source if not taken[each]), None)
        if chosen is None:
            chosen = next(each for each in plain if not taken[each])
        taken[chosen] = True
        order[position] = chosen
        for each, match in enumerate(matches):
            had[each] += bool(match[chosen])
    return order


def _reserved(shares: Sequence[float], n: int) -> list[int]:
    """For each position the kind that it is reserved for, -1 for none: as late as every share allows."""
    due = sorted(
        ((_deadline(share, m), kind) for kind, share in enumerate(shares) for m in range(1, _floor(share, n) + 1)),
        reverse=True,
    )
    kept = [-1] * n
    free = n
    for deadline, kind in due:
        free = min(free, deadline)
        free -= 1
        kept[free] = kind
    return kept


def _floor(share: float, n: int) -> int:
    return int(share * n + ROUNDING)


def _deadline(share: float, m: int) -> int:
    """The shortest list in which `m` items of a share are due."""
    n = max(int(np.ceil(m / share - ROUNDING)), 1)
    return n if _floor(share, n) >= m else n + 1


def apply_pins(n: int, pins: Sequence[tuple[int, int]]) -> Positions:
    """Puts items at their ranks; the others keep their order.

    Args:
        n: length of the list.
        pins: positions in the list, and the ranks that they get, ascending, distinct.
    """
    order = np.setdiff1d(np.arange(n), [position for position, _ in pins]).tolist()
    for position, rank in pins:
        order.insert(rank - 1, position)
    return np.array(order, np.int64)


def apply_tail_quota(order: Positions, is_tail: npt.NDArray[np.bool_], n_tail: int, limit: int) -> Positions:
    """Returns the first `limit` of an order with at least `n_tail` items of the tail, if it has so many.

    The best items of the tail beyond the limit replace the last other items, behind all that stay.
    """
    inside = np.arange(len(order)) < limit
    n_missing = n_tail - int((inside & is_tail).sum())
    coming = np.flatnonzero(~inside & is_tail)[: max(n_missing, 0)]
    if len(coming):
        inside[np.flatnonzero(inside & ~is_tail)[-len(coming) :]] = False
        inside[coming] = True
    return order[inside]
