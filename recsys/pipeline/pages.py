"""Several lists of one page: no item twice, and the most personal ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    requests = map(request_of, page.placements)
    fitting = (each for each in requests if each.item_ids or recommender.placements[each.placement].anchor != "item")
    lists = [found for found in fill_lists(recommender, fitting) if found.recommendations.items]
    return sorted(lists, key=lambda found: personalization_share(found.recommendations), reverse=True)


def fill_lists(recommender: Recommender, requests: Iterable[Request]) -> Iterator[RankedResult]:
    """Yields the lists of some requests: each chooses among the items and products that no list before it took.

    Args:
        recommender: the open bundle.
        requests: one per list, in the order in which they choose.

    Raises:
        RequestError: naming the field that is wrong.
    """
    taken: tuple[str, ...] = ()
    for request in requests:
        found = recommender.recommend_with_trace(replace(request, exclude=taken))
        taken = (*taken, *(item.item_id for item in found.recommendations.items))
        yield found


def personalization_share(found: Recommendations) -> float:
    """Returns the share of personal items among those seen at a glance, in [0, 1].

    It replaces the scores, which cannot be compared between lists.
    """
    seen = found.items[:N_SEEN]
    return sum(item.source not in IMPERSONAL for item in seen) / max(len(seen), 1)
