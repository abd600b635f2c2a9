"""Several lists of one page: no item twice, and the most personal ones first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from recsys.core.placements import Page
from recsys.core.request import Recommendations, Request
from recsys.pipeline.item_sets import BEST_SETS_SOURCE
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.recommender import Recommender

IMPERSONAL: Final = frozenset({"popular", "popular_by_hour", "pinned", BEST_SETS_SOURCE})
"""Sources that use neither the user nor the items of the page."""

N_SEEN: Final = 5
"""Number of items of a list that are seen at a glance."""

RequestOf = Callable[[str], Request]
"""Returns the request of a placement."""


def compose_page(recommender: Recommender, page: Page, request_of: RequestOf) -> list[RankedResult]:
    """Fills the lists of a page.

    In the order of the file, each list chooses among the items, and variants of products, that no list before it took.
    The lists come in the order of `personalization_share`, equal ones as in the file. Lists for an item are left out if
    the request has none, and so are empty lists.

    Args:
        recommender: the open bundle.
        page: the lists.
        request_of: returns the request of each of them.

    Raises:
        RequestError: naming the field that is wrong.
    """
    lists: list[RankedResult] = []
    taken: tuple[str, ...] = ()
    for name in page.placements:
        request = request_of(name)
        if recommender.placements[name].anchor == "item" and not request.item_ids:
            continue
        found = recommender.recommend_with_trace(replace(request, exclude=taken))
        items = found.recommendations.items
        taken = (*taken, *(item.item_id for item in items))
        if items:
            lists.append(found)
    return sorted(lists, key=lambda found: personalization_share(found.recommendations), reverse=True)


def personalization_share(found: Recommendations) -> float:
    """Returns the share of personal items among those seen at a glance, in [0, 1].

    It replaces the scores, which cannot be compared between lists.
    """
    seen = found.items[:N_SEEN]
    return sum(item.source not in IMPERSONAL for item in seen) / max(len(seen), 1)
