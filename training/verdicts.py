"""Which lists a shop's data can feed, which it cannot, and why: one sentence with the numbers for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["yes", "thin", "no"]

ENOUGH_PURCHASES: Final = 1_000
ENOUGH_LEARNERS: Final = 100
ENOUGH_BASKETS: Final = 500
ENOUGH_ITEMS: Final = 50
ENOUGH_REPEATS: Final = 0.05


@dataclass(frozen=True)
class Facts:
    """The counts that verdicts rest on.

    Attributes:
        events: rows of events.
        purchases: events that are purchases.
        learners: users or visitors with at least two different items.
        shared_items: items of at least two users or visitors.
        items: different items in events.
        catalogue: items in the items table.
        described: items of the catalogue with a title, category, tag or brand.
        categorised: items of the catalogue with a category.
        pair_baskets: baskets of at least two items.
        repeat_share: purchases of an item by a user who had bought it before, of all purchases, in [0, 1].
        finer_than_day: whether times of day are known.
        head_items: items of the head that makes half of all events.
    """

    events: int
    purchases: int
    learners: int
    shared_items: int
    items: int
    catalogue: int
    described: int
    categorised: int
    pair_baskets: int
    repeat_share: float
    finer_than_day: bool
    head_items: int


@dataclass(frozen=True)
class Feed:
    """What the data is worth to one model.

    Attributes:
        model: the model's name.
        lists: the placements that it feeds.
        verdict: `yes`, `thin` (it runs and is weak) or `no`.
        why: one sentence.
    """

    model: str
    lists: tuple[str, ...]
    verdict: Verdict
    why: str


def judge(facts: Facts) -> tuple[Feed, ...]:
    """Judge every model by the facts.

    Args:
        facts: counts over the data.

    Returns:
        A feed for each model, in the order of the simplest first.
    """
    return (
        _popularity(facts),
        _repeat(facts),
        _als(facts),
        _content(facts),
        _copurchase(facts),
        _complements(facts),
        _timeofday(facts),
        _longtail(facts),
    )


def _graded(count: float, enough: float) -> Verdict:
    if count <= 0:
        return "no"
    return "yes" if count >= enough else "thin"


def _popularity(facts: Facts) -> Feed:
    verdict = _graded(facts.events, ENOUGH_PURCHASES)
    why = f"{facts.events:,} events over {facts.items:,} items rank what everyone takes."
    if verdict == "thin":
        why = f"{facts.events:,} events rank few items apart; from {ENOUGH_PURCHASES:,} on the order settles."
    if verdict == "no":
        why = "There is no event, so that every item of the catalogue is equally popular."
    return Feed("popularity", ("popular",), verdict, why)


def _repeat(facts: Facts) -> Feed:
    verdict = _graded(facts.repeat_share, ENOUGH_REPEATS)
    why = f"{facts.repeat_share:.1%} of the purchases are of items that the user had bought before"
    if verdict == "no":
        why = f"None of the {facts.purchases:,} purchases is of an item that its user had bought before"
    tail = "." if verdict == "yes" else f"; habits show from {ENOUGH_REPEATS:.0%} on."
    return Feed("repeat", ("buy_again",), verdict, why + tail)


def _als(facts: Facts) -> Feed:
    verdict = _graded(min(facts.learners, facts.shared_items), ENOUGH_LEARNERS)
    why = (
        f"{facts.learners:,} users or visitors have two or more different items, and {facts.shared_items:,} "
        f"items have two or more of them"
    )
    tail = "." if verdict == "yes" else f"; tastes are learnt from {ENOUGH_LEARNERS:,} of each on."
    return Feed("als", ("for_you", "discover"), verdict, why + tail)


def _content(facts: Facts) -> Feed:
    verdict = _graded(facts.described, max(2, 0.5 * facts.catalogue))
    why = f"{facts.described:,} of {facts.catalogue:,} items have a title, category, tag or brand"
    if not facts.catalogue:
        why = "There is no items table, so that nothing is known of an item but who took it"
    tail = "." if verdict == "yes" else "; items without one have no similar items, and new ones cannot be placed."
    return Feed("content", ("similar", "cold items"), verdict, why + tail)


def _copurchase(facts: Facts) -> Feed:
    verdict = _graded(facts.pair_baskets, ENOUGH_BASKETS)
    why = f"{facts.pair_baskets:,} baskets hold two or more items"
    tail = "." if verdict == "yes" else f"; pairs repeat from {ENOUGH_BASKETS:,} on."
    return Feed("copurchase", ("bought_together",), verdict, why + tail)


def _complements(facts: Facts) -> Feed:
    baskets = _copurchase(facts)
    if baskets.verdict == "no":
        return Feed("copurchase", ("complementary",), "no", baskets.why)
    if not facts.categorised:
        why = "No item has a category, so that a substitute cannot be told from a complement."
        return Feed("copurchase", ("complementary",), "thin", why)
    why = (
        f"{facts.pair_baskets:,} baskets hold two or more items, and {facts.categorised:,} of "
        f"{facts.catalogue:,} items have the category that tells a substitute from a complement."
    )
    return Feed("copurchase", ("complementary",), baskets.verdict, why)


def _timeofday(facts: Facts) -> Feed:
    if not facts.finer_than_day:
        why = f"The {facts.events:,} events carry dates and no times of day."
        return Feed("timeofday", ("time_of_day",), "no", why if facts.events else "There is no event.")
    verdict = _graded(facts.events, 10 * ENOUGH_PURCHASES)
    why = f"{facts.events:,} events carry a time of day"
    tail = "." if verdict == "yes" else f"; an hour's own taste shows from {10 * ENOUGH_PURCHASES:,} on."
    return Feed("timeofday", ("time_of_day",), verdict, why + tail)


def _longtail(facts: Facts) -> Feed:
    als = _als(facts)
    tail_items = facts.items - facts.head_items
    why = f"{facts.head_items:,} items make half of all events, and {tail_items:,} are the tail"
    if als.verdict == "no" or tail_items <= 0:
        return Feed("longtail", ("long_tail",), "no", f"{why}; the list wants a tail and users to learn it from.")
    verdict: Verdict = "yes" if als.verdict == "yes" and tail_items >= ENOUGH_ITEMS else "thin"
    rest = "." if verdict == "yes" else f"; it is worth a list from {ENOUGH_ITEMS} tail items on."
    return Feed("longtail", ("long_tail",), verdict, why + rest)
