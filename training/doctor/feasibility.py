"""Grades of the lists that a shop's data supports, with one sentence of reasons for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Grade = Literal["yes", "thin", "no"]

ENOUGH_PURCHASES: Final = 1_000
ENOUGH_LEARNERS: Final = 100
ENOUGH_BASKETS: Final = 500
ENOUGH_ITEMS: Final = 50
ENOUGH_REPEATS: Final = 0.05


TARGET_WORDS: Final = {
    "purchase": "purchase",
    "begin_checkout": "checkout",
    "add_to_cart": "cart addition",
    "add_to_wishlist": "wishlist addition",
    "select_item": "click",
    "view_item": "view",
}
"""Noun for one event, for the events that can be the target event."""


@dataclass(frozen=True)
class DataFacts:
    """Counts of the data set that models are fitted on.

    Attributes:
        target_event: name of the target event, one of `TARGET_WORDS`.
        n_targets: target events.
        target_items: different items in them.
        learners: users or visitors with at least two different items.
        shared_items: items of at least two users or visitors.
        items: different items in events or the catalog.
        catalog_items: items in the items table.
        described: items of the catalog with a title, category, tag or brand.
        categorized: items of the catalog with a category.
        pair_baskets: baskets with at least two items, or users where their purchases count as one basket.
        by_basket: whether baskets count, and not users.
        repeat_share: share of the target events after a user's first day that repeat an earlier one, in [0, 1].
        repeat_pairs: pairs of user and item in at least two of the user's baskets.
        finer_than_day: whether times of day are known.
        head_items: items of the head, which makes half of all target events.
    """

    target_event: str
    n_targets: int
    target_items: int
    learners: int
    shared_items: int
    items: int
    catalog_items: int
    described: int
    categorized: int
    pair_baskets: int
    by_basket: bool
    repeat_share: float
    repeat_pairs: int
    finer_than_day: bool
    head_items: int


@dataclass(frozen=True)
class ModelFeasibility:
    """The grade of one model on the data.

    Attributes:
        model: name of the model.
        lists: placements that use it.
        grade: `yes`, `thin` (it runs with weak evidence) or `no`.
        why: one sentence.
    """

    model: str
    lists: tuple[str, ...]
    grade: Grade
    why: str


def grade_models(facts: DataFacts) -> tuple[ModelFeasibility, ...]:
    """Grade every model by the counts.

    Args:
        facts: counts of the data set.

    Returns:
        One grade per model, the simplest model first.
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
    """Write a count with its noun, such as `1 row` and `2 rows`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {plural(word)}"


def plural(word: str) -> str:
    """Write the plural of a noun, with "es" after a sibilant."""
    return f"{word}es" if word.endswith(("s", "x", "ch")) else f"{word}s"


def _popularity(facts: DataFacts) -> ModelFeasibility:
    grade = _graded(facts.n_targets, ENOUGH_PURCHASES)
    targets = counted(facts.n_targets, TARGET_WORDS[facts.target_event])
    why = f"{targets} over {counted(facts.target_items, 'item')} rank the items."
    if grade == "thin":
        why = f"{targets} are too few for a stable order; {ENOUGH_PURCHASES:,} are enough."
    if grade == "no":
        why = f"There is no {TARGET_WORDS[facts.target_event]}, so all items of the catalog are equally popular."
    return ModelFeasibility("popularity", ("popular",), grade, why)


def _repeat(facts: DataFacts) -> ModelFeasibility:
    word = TARGET_WORDS[facts.target_event]
    if not facts.n_targets:
        return ModelFeasibility("repeat", ("buy_again",), "no", f"There is no {word}, so no repeat is known.")
    if not facts.repeat_pairs and not facts.repeat_share:
        why = f"{counted(facts.n_targets, word)} and no user with one item in two baskets: nothing repeats."
        return ModelFeasibility("repeat", ("buy_again",), "no", why)
    why = f"{facts.repeat_share:.1%} of the {plural(word)} after a user's first day repeat an earlier one"
    if facts.repeat_share < ENOUGH_REPEATS:
        return ModelFeasibility("repeat", ("buy_again",), "thin", f"{why}; {ENOUGH_REPEATS:.0%} are enough.")
    if facts.n_targets < ENOUGH_PURCHASES:
        rest = f"; but {counted(facts.n_targets, word)} are few; {ENOUGH_PURCHASES:,} are enough."
        return ModelFeasibility("repeat", ("buy_again",), "thin", why + rest)
    return ModelFeasibility("repeat", ("buy_again",), "yes", f"{why}.")


def _learnable(facts: DataFacts) -> Grade:
    return _graded(min(facts.learners, facts.shared_items), ENOUGH_LEARNERS)


def _takers(facts: DataFacts) -> str:
    users = (
        counted(facts.learners, "user or visitor") if facts.learners == 1 else f"{facts.learners:,} users or visitors"
    )
    items, have = counted(facts.shared_items, "item"), "has" if facts.shared_items == 1 else "have"
    return f"{users} have two or more different items, and {items} {have} two or more users"


def _als(facts: DataFacts) -> ModelFeasibility:
    grade = _learnable(facts)
    rest = f"; {ENOUGH_LEARNERS:,} of each are enough"
    if grade == "no":
        rest += ", and until then popular items fill the list"
    return ModelFeasibility(
        "als", ("for_you", "discover"), grade, _takers(facts) + ("" if grade == "yes" else rest) + "."
    )


def _described(facts: DataFacts) -> tuple[Grade, str]:
    if not facts.catalog_items:
        return "no", "there is no items table"
    have = f"{facts.described:,} of {counted(facts.catalog_items, 'item')} {'has' if facts.described == 1 else 'have'}"
    return _graded(facts.described, max(2, 0.5 * facts.catalog_items)), f"{have} a title, category, tag or brand"


def _similar(facts: DataFacts) -> ModelFeasibility:
    """Grade similar items, which need content or common users."""
    content, described = _described(facts)
    takers = _learnable(facts)
    if content == "yes":
        return ModelFeasibility("hybrid", ("similar",), "yes", f"{described}.")
    if takers == "no":
        rest = "too few to compare items" if content == "thin" else "items cannot be compared"
        return ModelFeasibility(
            "hybrid", ("similar",), content, _sentence(f"{described} and no two items have a common user: {rest}.")
        )
    rest = "" if takers == "yes" else f"; {ENOUGH_LEARNERS:,} of each are enough"
    why = f"{described}, so items are compared by their users: {_takers(facts)}{rest}."
    return ModelFeasibility("hybrid", ("similar",), takers, _sentence(why))


def _content(facts: DataFacts) -> ModelFeasibility:
    grade, described = _described(facts)
    tail = "." if grade == "yes" else ": an item without events has no position without one."
    if not facts.catalog_items:
        tail = ", so nothing is known about an item without events."
    return ModelFeasibility("content", ("cold items",), grade, _sentence(described + tail))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _together(facts: DataFacts) -> str:
    """Write what the co-purchase model counts."""
    n = facts.pair_baskets
    if facts.by_basket:
        return f"{counted(n, 'basket')} {'has' if n == 1 else 'have'} two or more items"
    word, have = plural(TARGET_WORDS[facts.target_event]), "has" if n == 1 else "have"
    instead = f"{counted(n, 'user')} {have} two or more"
    return f"Few baskets have two items, so all {word} of one user count as one basket: {instead}"


def _copurchase(facts: DataFacts) -> ModelFeasibility:
    grade = _graded(facts.pair_baskets, ENOUGH_BASKETS)
    tail = "." if grade == "yes" else f"; {ENOUGH_BASKETS:,} are enough."
    return ModelFeasibility("copurchase", ("bought_together",), grade, _together(facts) + tail)


def _complements(facts: DataFacts) -> ModelFeasibility:
    baskets = _copurchase(facts)
    if baskets.grade == "no":
        return ModelFeasibility("copurchase", ("complementary",), "no", baskets.why)
    if not facts.categorized:
        why = "No item has a category, so substitutes and complements cannot be distinguished."
        return ModelFeasibility("copurchase", ("complementary",), "thin", why)
    have = "has" if facts.categorized == 1 else "have"
    why = (
        f"{_together(facts)}, and {facts.categorized:,} of {counted(facts.catalog_items, 'item')} {have} the category "
        "that distinguishes substitutes from complements"
    )
    tail = "." if baskets.grade == "yes" else f"; {ENOUGH_BASKETS:,} are enough."
    return ModelFeasibility("copurchase", ("complementary",), baskets.grade, why + tail)


def _timeofday(facts: DataFacts) -> ModelFeasibility:
    targets = counted(facts.n_targets, TARGET_WORDS[facts.target_event])
    if not facts.n_targets:
        return ModelFeasibility("timeofday", ("time_of_day",), "no", f"There is no {TARGET_WORDS[facts.target_event]}.")
    if not facts.finer_than_day:
        why = f"{targets}, with dates and no times of day: the list is the same at every hour."
        return ModelFeasibility("timeofday", ("time_of_day",), "no", why)
    grade = _graded(facts.n_targets, 10 * ENOUGH_PURCHASES)
    tail = "." if grade == "yes" else f"; {10 * ENOUGH_PURCHASES:,} are enough."
    return ModelFeasibility("timeofday", ("time_of_day",), grade, f"{targets} with a time of day{tail}")


def _longtail(facts: DataFacts) -> ModelFeasibility:
    learnable, tail_items = _learnable(facts), facts.items - facts.head_items
    words = plural(TARGET_WORDS[facts.target_event])
    if not facts.n_targets or tail_items <= 0:
        why = f"There are no {words}, so there is no tail." if not facts.n_targets else f"The head has all {words}."
        return ModelFeasibility("longtail", ("long_tail",), "no", why)
    head = f"{counted(facts.head_items, 'item')} {'makes' if facts.head_items == 1 else 'make'} half of all {words}"
    why = f"{head}, and {tail_items:,} {'is' if tail_items == 1 else 'are'} the tail"
    limits = []
    if learnable != "yes":
        limits.append(f"{_takers(facts)}; {ENOUGH_LEARNERS:,} of each are enough")
    if tail_items < ENOUGH_ITEMS:
        limits.append(f"{ENOUGH_ITEMS} tail items are enough")
    grade: Grade = "no" if learnable == "no" else "thin" if limits else "yes"
    return ModelFeasibility("longtail", ("long_tail",), grade, "; ".join([why, *limits]) + ".")
