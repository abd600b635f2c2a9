"""Several lists of one page: no item twice, and those that know this shopper first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from recsys.core.placements import Page
from recsys.core.request import Recommendations, Request
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.recommender import Recommender

IMPERSONAL: Final = frozenset({"popular", "popular_by_hour", "pinned"})
"""Sources that know nothing of the shopper, or of the items that the page is beside."""

N_SEEN: Final = 5
"""Items of a shelf that are seen at a glance."""

Ask = Callable[[str], Request]
"""Gives the request of one placement."""


def compose_page(recommender: Recommender, page: Page, ask: Ask) -> list[RankedResult]:
    """Fill the lists of a page in one go.

    In the order of the file each list has its choice of the items, and variants of products, that none before it took.
    They are shown in the order of `personalization_share`, equal ones as in the file. Lists for an item are left out
    where the request names none, and so are lists that stay empty.

    Args:
        recommender: what answers.
        page: the lists.
        ask: the request of each of them.

    Raises:
        RequestError: naming the field that cannot be served.
    """
    shelves: list[RankedResult] = []
    taken: tuple[str, ...] = ()
    for name in page.placements:
        request = ask(name)
        if recommender.placements[name].anchor == "item" and not request.item_ids:
            continue
        shelf = recommender.recommend_with_trace(replace(request, exclude=taken))
        items = shelf.recommendations.items
        taken = (*taken, *(item.item_id for item in items))
        if items:
            shelves.append(shelf)
    return sorted(shelves, key=lambda shelf: personalization_share(shelf.recommendations), reverse=True)


def personalization_share(shelf: Recommendations) -> float:
    """Of the items of a list that are seen at a glance, the share that is there by evidence of this shopper, in [0, 1].

    Scores of different lists cannot be compared, where a list knows nothing of a shopper it says so.
    """
    seen = shelf.items[:N_SEEN]
    return sum(item.source not in IMPERSONAL for item in seen) / max(len(seen), 1)
