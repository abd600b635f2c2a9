"""Which lists a shop's data can feed, which it cannot, and why: one sentence with the numbers for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Grade = Literal["yes", "thin", "no"]

ENOUGH_PURCHASES: Final = 1_000
ENOUGH_LEARNERS: Final = 100
ENOUGH_BASKETS: Final = 500
ENOUGH_ITEMS: Final = 50
ENOUGH_REPEATS: Final = 0.05


GOAL_WORDS: Final = {
    "purchase": "purchase",
    "begin_checkout": "checkout",
    "add_to_cart": "cart addition",
    "add_to_wishlist": "wishlist addition",
    "select_item": "click",
    "view_item": "view",
}
"""What one event is called, for those that can count as success."""


@dataclass(frozen=True)
class DataFacts:
    """The counts that verdicts rest on: those of the data set that models are fitted on.

    Attributes:
        goal: the event that counts as success, one of `GOAL_WORDS`.
        goals: events of that kind.
        goal_items: different items in them.
        learners: users or visitors with at least two different items.
        shared_items: items of at least two users or visitors.
        items: different items in events or the catalogue.
        catalogue: items in the items table.
        described: items of the catalogue with a title, category, tag or brand.
        categorised: items of the catalogue with a category.
        pair_baskets: baskets of at least two items, or shoppers of at least two who stand for them.
        by_basket: whether baskets, and not shoppers, are the evidence of what is taken together.
        repeat_share: goal events after a shopper's first day that repeat an earlier one, of all, in [0, 1].
        repeat_pairs: shoppers' items that lie in at least two of their baskets.
        finer_than_day: whether times of day are known.
        head_items: items of the head that makes half of all goal events.
    """

    goal: str
    goals: int
    goal_items: int
    learners: int
    shared_items: int
    items: int
    catalogue: int
    described: int
    categorised: int
    pair_baskets: int
    by_basket: bool
    repeat_share: float
    repeat_pairs: int
    finer_than_day: bool
    head_items: int


@dataclass(frozen=True)
class ModelFeasibility:
    """What the data is worth to one model.

    Attributes:
        model: the model's name.
        lists: the placements that it feeds.
        verdict: `yes`, `thin` (it runs and is weak) or `no`.
        why: one sentence.
    """

    model: str
    lists: tuple[str, ...]
    verdict: Grade
    why: str


def grade(facts: DataFacts) -> tuple[ModelFeasibility, ...]:
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
        _similar(facts),
        _content(facts),
        _copurchase(facts),
        _complements(facts),
        _timeofday(facts),
        _longtail(facts),
    )


def _graded(count: float, enough: float) -> Grade:
    if count <= 0:
        return "no"
    return "yes" if count >= enough else "thin"


def counted(count: int, word: str) -> str:
    """A count and its noun, such as `1 row` and `2 rows`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {plural(word)}"


def plural(word: str) -> str:
    """More than one of it; "es" after a hiss."""
    return f"{word}es" if word.endswith(("s", "x", "ch")) else f"{word}s"


def _popularity(facts: DataFacts) -> ModelFeasibility:
    verdict = _graded(facts.goals, ENOUGH_PURCHASES)
    goals = counted(facts.goals, GOAL_WORDS[facts.goal])
    why = f"{goals} over {counted(facts.goal_items, 'item')} show what everyone takes."
    if verdict == "thin":
        why = f"{goals} can hardly tell items apart; from {ENOUGH_PURCHASES:,} on the order settles."
    if verdict == "no":
        why = f"There is no {GOAL_WORDS[facts.goal]}, so that every item of the catalogue is equally popular."
    return ModelFeasibility("popularity", ("popular",), verdict, why)


def _repeat(facts: DataFacts) -> ModelFeasibility:
    word = GOAL_WORDS[facts.goal]
    if not facts.goals:
        return ModelFeasibility(
            "repeat", ("buy_again",), "no", f"There is no {word}, so that nothing is known to repeat."
        )
    if not facts.repeat_pairs and not facts.repeat_share:
        why = f"{counted(facts.goals, word)} and no shopper with one item in two baskets: nothing repeats."
        return ModelFeasibility("repeat", ("buy_again",), "no", why)
    why = f"{facts.repeat_share:.1%} of the {plural(word)} after a shopper's first day repeat an earlier one"
    if facts.repeat_share < ENOUGH_REPEATS:
        return ModelFeasibility("repeat", ("buy_again",), "thin", f"{why}; habits show from {ENOUGH_REPEATS:.0%} on.")
    if facts.goals < ENOUGH_PURCHASES:
        rest = f"; but {counted(facts.goals, word)} in all show few habits, {ENOUGH_PURCHASES:,} show more."
        return ModelFeasibility("repeat", ("buy_again",), "thin", why + rest)
    return ModelFeasibility("repeat", ("buy_again",), "yes", f"{why}.")


def _learnable(facts: DataFacts) -> Grade:
    return _graded(min(facts.learners, facts.shared_items), ENOUGH_LEARNERS)


def _takers(facts: DataFacts) -> str:
    users = (
        counted(facts.learners, "user or visitor") if facts.learners == 1 else f"{facts.learners:,} users or visitors"
    )
    items, have = counted(facts.shared_items, "item"), "has" if facts.shared_items == 1 else "have"
    return f"{users} took two or more different items, and {items} {have} two or more takers"


def _als(facts: DataFacts) -> ModelFeasibility:
    verdict = _learnable(facts)
    rest = f"; tastes are learnt from {ENOUGH_LEARNERS:,} of each on"
    if verdict == "no":
        rest += ", and until then what is popular fills the list"
    return ModelFeasibility(
        "als", ("for_you", "discover"), verdict, _takers(facts) + ("" if verdict == "yes" else rest) + "."
    )


def _described(facts: DataFacts) -> tuple[Grade, str]:
    if not facts.catalogue:
        return "no", "there is no items table"
    have = f"{facts.described:,} of {counted(facts.catalogue, 'item')} {'has' if facts.described == 1 else 'have'}"
    return _graded(facts.described, max(2, 0.5 * facts.catalogue)), f"{have} a title, category, tag or brand"


def _similar(facts: DataFacts) -> ModelFeasibility:
    """Items are alike by their content and by who took them; either will do."""
    content, described = _described(facts)
    takers = _learnable(facts)
    if content == "yes":
        return ModelFeasibility("hybrid", ("similar",), "yes", f"{described}.")
    if takers == "no":
        rest = "too few for items to be alike" if content == "thin" else "nothing tells which items are alike"
        return ModelFeasibility(
            "hybrid", ("similar",), content, _sentence(f"{described} and no item shares its takers: {rest}.")
        )
    rest = "" if takers == "yes" else f"; that is much from {ENOUGH_LEARNERS:,} of each on"
    why = f"{described}, so that items are alike by who took them: {_takers(facts)}{rest}."
    return ModelFeasibility("hybrid", ("similar",), takers, _sentence(why))


def _content(facts: DataFacts) -> ModelFeasibility:
    verdict, described = _described(facts)
    tail = "." if verdict == "yes" else ": an item that nobody took cannot be placed without one."
    if not facts.catalogue:
        tail = ", so that nothing is known of an item that nobody took."
    return ModelFeasibility("content", ("cold items",), verdict, _sentence(described + tail))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _together(facts: DataFacts) -> str:
    """What the co-purchase model goes by, in words."""
    n = facts.pair_baskets
    if facts.by_basket:
        return f"{counted(n, 'basket')} {'holds' if n == 1 else 'hold'} two or more items"
    word, have = plural(GOAL_WORDS[facts.goal]), "has" if n == 1 else "have"
    instead = f"{counted(n, 'shopper')} {have} two or more"
    return f"Few baskets hold two items, so that all {word} of one shopper count as one basket: {instead}"


def _copurchase(facts: DataFacts) -> ModelFeasibility:
    verdict = _graded(facts.pair_baskets, ENOUGH_BASKETS)
    tail = "." if verdict == "yes" else f"; pairs repeat from {ENOUGH_BASKETS:,} on."
    return ModelFeasibility("copurchase", ("bought_together",), verdict, _together(facts) + tail)


def _complements(facts: DataFacts) -> ModelFeasibility:
    baskets = _copurchase(facts)
    if baskets.verdict == "no":
        return ModelFeasibility("copurchase", ("complementary",), "no", baskets.why)
    if not facts.categorised:
        why = "No item has a category, so that a substitute cannot be told from a complement."
        return ModelFeasibility("copurchase", ("complementary",), "thin", why)
    have = "has" if facts.categorised == 1 else "have"
    why = (
        f"{_together(facts)}, and {facts.categorised:,} of {counted(facts.catalogue, 'item')} {have} the category "
        "that tells a substitute from a complement"
    )
    tail = "." if baskets.verdict == "yes" else f"; pairs repeat from {ENOUGH_BASKETS:,} on."
    return ModelFeasibility("copurchase", ("complementary",), baskets.verdict, why + tail)


def _timeofday(facts: DataFacts) -> ModelFeasibility:
    goals = counted(facts.goals, GOAL_WORDS[facts.goal])
    if not facts.goals:
        return ModelFeasibility("timeofday", ("time_of_day",), "no", f"There is no {GOAL_WORDS[facts.goal]}.")
    if not facts.finer_than_day:
        why = f"{goals}, with dates and no times of day: every hour gets the same list."
        return ModelFeasibility("timeofday", ("time_of_day",), "no", why)
    verdict = _graded(facts.goals, 10 * ENOUGH_PURCHASES)
    tail = "." if verdict == "yes" else f"; an hour's own taste shows from {10 * ENOUGH_PURCHASES:,} on."
    return ModelFeasibility("timeofday", ("time_of_day",), verdict, f"{goals} with a time of day{tail}")


def _longtail(facts: DataFacts) -> ModelFeasibility:
    learnable, tail_items = _learnable(facts), facts.items - facts.head_items
    words = plural(GOAL_WORDS[facts.goal])
    if not facts.goals or tail_items <= 0:
        why = f"There are no {words} to tell a tail from." if not facts.goals else f"The head is all of the {words}."
        return ModelFeasibility("longtail", ("long_tail",), "no", why)
    head = f"{counted(facts.head_items, 'item')} {'makes' if facts.head_items == 1 else 'make'} half of all {words}"
    why = f"{head}, and {tail_items:,} {'is' if tail_items == 1 else 'are'} the tail"
    limits = []
    if learnable != "yes":
        limits.append(f"{_takers(facts)}, and tastes are learnt from {ENOUGH_LEARNERS:,} of each on")
    if tail_items < ENOUGH_ITEMS:
        limits.append(f"it is worth a list from {ENOUGH_ITEMS} tail items on")
    verdict: Grade = "no" if learnable == "no" else "thin" if limits else "yes"
    return ModelFeasibility("longtail", ("long_tail",), verdict, "; ".join([why, *limits]) + ".")
