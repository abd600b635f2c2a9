"""Gaps in a shop's data and their effect on the lists, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S, PURCHASE, Dataset
from recsys.fitting.blend import NO_BLEND
from recsys.fitting.engine import Engine
from recsys.ranking.holdout import is_order_only

CONTENT = ("title", "category", "tags", "brand")


def find_data_gaps(dataset: Dataset, engine: Engine) -> tuple[str, ...]:
    """List what the models could not learn and why, the most severe first; empty where nothing is missing.

    Args:
        dataset: the data that the models were fitted on.
        engine: the fitted models.
    """
    if not len(dataset.events):
        gaps_of_events: tuple[str, ...] = (
            "There are no events: sales, users, pairs and hours are unknown, so lists use content only, and "
            "popular has no particular order.",
        )
    else:
        gaps_of_events = (*_user_gaps(dataset, engine), *_basket_gaps(engine), *_time_gaps(dataset, engine))
    return (*gaps_of_events, *_catalog_gaps(dataset, engine), *_offer_gaps(dataset))


def _user_gaps(dataset: Dataset, engine: Engine) -> Iterator[str]:
    if dataset.target_event != PURCHASE:
        yield f"There are too few purchases: {EVENT_NAMES[dataset.target_event]} is the target event of every list."
    if not len(dataset.users):
        yield (
            "No event has a user or a visitor: there are no personal lists, and for_you, discover, long_tail, "
            "time_of_day and buy_again are the same for everybody or empty."
        )
        return
    if not _users_overlap(dataset):
        yield (
            "No two users share an item while each has another: users cannot be compared, so for_you, discover and "
            "long_tail use the user's own items, content and popularity."
        )
    yield from _ranker_gaps(engine)
    if not engine.repeat.repeat_rate.any():
        yield "No user bought an item on two days: the due dates of buy_again are guesses."


def _ranker_gaps(engine: Engine) -> Iterator[str]:
    config = engine.config.ranker
    if not config.enabled:
        yield "No ranker is trained (ranker.enabled is false): the blend orders every list."
        return
    blends, rankers = engine.blends, engine.rankers
    for lists, ranker, blend in (
        ("for_you and time_of_day", rankers.next, blends.next),
        ("discover", rankers.new, blends.new),
        ("long_tail", rankers.new, blends.tail),
        ("bought_together", rankers.pairs, NO_BLEND),
    ):
        if not blend.is_fitted and not ranker.is_fitted:
            if ranker.n_requests < config.min_queries:
                why = f"it has {ranker.n_requests} past requests, {config.min_queries} are needed"
            else:
                why = f"its nDCG@10 on the latest requests is {ranker.ndcg:.4f}, the blend's {ranker.ndcg_of_blend:.4f}"
            yield f"The blend orders {lists}: the ranker is left out, {why}."


def _basket_gaps(engine: Engine) -> Iterator[str]:
    copurchase = engine.copurchase
    if not copurchase.n_baskets.any() or not (copurchase.bought_together.lists.n_together > 0).any():
        yield (
            "No two items were bought together, in one basket or by one user: bought_together and complementary "
            "have no pairs."
        )
    elif not copurchase.by_basket:
        yield ("Too few baskets have two items: bought_together and complementary use what one user bought over time.")


def _time_gaps(dataset: Dataset, engine: Engine) -> Iterator[str]:
    if is_order_only(dataset):
        yield (
            "The clock gives the order only (one date, or equal gaps between all orders of a user): trends and due "
            "dates are guesses, and rankers learn from the last events of each user."
        )
    if not engine.timeofday.is_fitted:
        yield "The times are dates without hours: time_of_day and popular are the same at every hour."
    span_days = (dataset.end - int(dataset.events.timestamp[0])) / DAY_S
    trend_days = engine.config.popularity.trend_days
    if span_days < trend_days:
        yield f"The events span {int(span_days)} days, less than the {trend_days:.0f} of a trend: no trend is known."


def _catalog_gaps(dataset: Dataset, engine: Engine) -> Iterator[str]:
    catalog = dataset.catalog
    described = catalog.select(
        pl.any_horizontal(
            pl.col(name).list.len().fill_null(0) > 0 if name in ("category", "tags") else pl.col(name).is_not_null()
            for name in CONTENT
        ).any()
    ).item()
    if not described:
        yield (
            "No item has a title, category, tag or brand: similar uses purchases only, and an item without sales "
            "appears only at the end of popular."
        )
    elif not (engine.catalog.item_type >= 0).any():
        yield "No item has a category: complementary detects substitutes by content similarity only."
    if len(dataset.events) and not engine.is_tail.any():
        yield "Every item is in the head, which makes half of all purchases: long_tail is empty."


def _offer_gaps(dataset: Dataset) -> Iterator[str]:
    unknown, all_ = dataset.n_unknown_offers, dataset.n_unknown_offers + len(dataset.offers)
    if unknown:
        yield (
            f"{unknown:,} of {all_:,} offers are not used: their item_id is neither in the items table nor in an event."
        )


def _users_overlap(dataset: Dataset) -> bool:
    """Return whether two users share an item while one of them has another item."""
    events = dataset.events.take(dataset.events.user_idx >= 0)
    pairs = np.unique(np.stack([events.user_idx, events.item_idx]), axis=1)
    n_items_of_user = np.bincount(pairs[0], minlength=1)
    n_users_of_item = np.bincount(pairs[1], minlength=1)
    return bool(((n_users_of_item[pairs[1]] > 1) & (n_items_of_user[pairs[0]] > 1)).any())
