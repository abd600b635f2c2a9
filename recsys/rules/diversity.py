"""Orders made of orders: chance, unlikeness, bounds and promised places, as pure functions on arrays.

Each takes places in a list and gives them in another order; none is lost and none comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

ROUNDING = 1e-9
"""`⌊share·n⌋` of decimal shares is meant as written: .1 · 10 is one."""

LEAST_PROPENSITY = 1e-12
"""No chance is told as none."""


def seeded_uniform(ids: Sequence[str], seed: str) -> npt.NDArray[np.float64]:
    """A number in (0, 1) for each id, float64 (n,), the same whenever the id and the seed are."""
    hashes = np.fromiter(map(crc32, (id_.encode() for id_ in ids)), np.uint64, len(ids))
    mixed = hashes + (np.uint64(crc32(seed.encode())) << np.uint64(32))
    # The finaliser of splitmix64 (Steele, Lea & Flood 2014, OOPSLA).
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def gumbel_keys(n: int, chance: npt.NDArray[np.float64], rotation: float) -> npt.NDArray[np.float64]:
    """What a list is ordered by once chance has its say, float64 (n,), > 0.

    `(1 / place) · g^rotation` with `g = 1 / −ln(chance)`: at 1 the order is a draw without replacement, each item
    with a weight of `1 / place` (Plackett & Luce; by the Gumbel trick, Yellott 1977, J. Math. Psychology); at 0 it
    stays. The place counts, not the score, so that a dial means the same for every list.

    Args:
        n: length of the list, best first.
        chance: in (0, 1), of each item.
        rotation: in [0, 1].
    """
    return (-1.0 / np.log(chance)) ** rotation / np.arange(1, n + 1)


def propensities(order: Places, rotation: float) -> npt.NDArray[np.float64]:
    """How likely each item was to be drawn for its place, those drawn before it given; float64 (n,), in (0, 1].

    `w(item) / Σ w` of all that was left, with `w = place^(−1/rotation)`: the order by `gumbel_keys` is that of
    exponential clocks with such rates. The product over a list is how likely the whole list was.

    Args:
        order: the places that the items had before, in the order that was drawn.
        rotation: in (0, 1].
    """
    log_weight = -np.log(order + 1.0) / rotation
    log_left = np.logaddexp.accumulate(log_weight[::-1])[::-1]
    return np.clip(np.exp(log_weight - log_left), LEAST_PROPENSITY, 1.0)


def mmr(key: npt.NDArray[np.float64], vectors: npt.NDArray[np.float32], diversity: float, n_chosen: int) -> Places:
    """Maximal marginal relevance: `argmax (1 − d)·key − d·max cosine to what was chosen`, place by place.

    Carbonell & Goldstein 1998, SIGIR; the key is divided by the best.

    Args:
        key: (n,), descending, > 0.
        vectors: (n, n_dimensions), rows of length 1, or 0 for items nothing is known of: those are like none.
        diversity: `d`, in [0, 1]; at 0 the order stays.
        n_chosen: places to choose; all others follow as they were.
    """
    n = len(key)
    relevance = (1 - diversity) * key / max(float(key.max(initial=0)), 1e-300)
    likeness = np.full(n, 0.0)
    chosen: list[int] = []
    left = np.ones(n, np.bool_)
    for _ in range(min(n_chosen, n)):
        worth = np.where(left, relevance - diversity * likeness, -np.inf)
        best = int(worth.argmax())
        chosen.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return np.concatenate([np.array(chosen, np.int64), np.flatnonzero(left)])


def cap_per_category(category: npt.NDArray[np.int64], n_each: int) -> Places:
    """In the first round come up to `n_each` items of each category, in the next round as many again, and so on.

    So no category has more than its bound before all others had their part.

    Args:
        category: (n,), in the order of the list; -1 for items that no bound is for.
        n_each: >= 1.
    """
    by_category = np.argsort(category, kind="stable")
    ordered = category[by_category]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else ordered
    length = np.diff(np.append(starts, len(ordered)))
    nth = np.empty(len(category), np.int64)
    nth[by_category] = np.arange(len(ordered)) - np.repeat(starts, length)
    return np.argsort(np.where(category < 0, 0, nth // n_each), kind="stable")


def apply_promotions(matches: Sequence[npt.NDArray[np.bool_]], shares: Sequence[float], n: int) -> Places:
    """Give kinds of items their shares: of the first m places, each has `⌊share·m⌋`, as long as there are enough.

    Items that are there by their own right count. The others keep their order.

    Args:
        matches: for each kind, bool (n,), in the order of the list.
        shares: of each kind, in [0, 1], together at most 1.
        n: length of the list.
    """
    promised = _promised(shares, n)
    taken = np.zeros(n, np.bool_)
    waiting = [iter(np.flatnonzero(match).tolist()) for match in matches]
    plain = iter(range(n))
    had, due = [0] * len(shares), [0] * len(shares)
    order = np.empty(n, np.int64)
    for place in range(n):
        kind = promised[place]
        source = plain
        if kind >= 0:
            due[kind] += 1
            source = waiting[kind] if had[kind] < due[kind] else plain
        chosen = next((each for each in source if not taken[each]), None)
        if chosen is None:
            chosen = next(each for each in plain if not taken[each])
        taken[chosen] = True
        order[place] = chosen
        for each, match in enumerate(matches):
            had[each] += bool(match[chosen])
    return order


def _promised(shares: Sequence[float], n: int) -> list[int]:
    """For each place the kind that it is kept for, -1 for none: as late as every share allows."""
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
    """The first length of list that `m` items of a share are due in."""
    n = max(int(np.ceil(m / share - ROUNDING)), 1)
    return n if _floor(share, n) >= m else n + 1


def apply_pins(n: int, pins: Sequence[tuple[int, int]]) -> Places:
    """Put items at their ranks; the others flow around them.

    Args:
        n: length of the list.
        pins: places in the list as it is, and the ranks that they get, ascending, distinct.
    """
    order = np.setdiff1d(np.arange(n), [place for place, _ in pins]).tolist()
    for place, rank in pins:
        order.insert(rank - 1, place)
    return np.array(order, np.int64)


def apply_tail_quota(order: Places, is_tail: npt.NDArray[np.bool_], n_tail: int, limit: int) -> Places:
    """The first `limit` of an order with at least `n_tail` of the tail, if it has so many.

    The best of the tail that did not get in take the places of the last others, behind all that stays.
    """
    inside = np.arange(len(order)) < limit
    n_missing = n_tail - int((inside & is_tail).sum())
    coming = np.flatnonzero(~inside & is_tail)[: max(n_missing, 0)]
    if len(coming):
        inside[np.flatnonzero(inside & ~is_tail)[-len(coming) :]] = False
        inside[coming] = True
    return order[inside]
