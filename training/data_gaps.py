"""What a shop's data could not teach the models, and what that means for the lists: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S, PURCHASE, Dataset
from recsys.fitting.engine import Engine

CONTENT = ("title", "category", "tags", "brand")


def find_data_gaps(dataset: Dataset, engine: Engine) -> tuple[str, ...]:
    """Say what could not be learned and why, the gravest first; empty where every model had what it needs.

    Args:
        dataset: what the models were fitted on.
        engine: the fitted models.
    """
    if not len(dataset.events):
        of_events: tuple[str, ...] = (
            "There are no events: nothing is known of sales, shoppers, pairs or hours, so lists rest on content, and "
            "popular lists the catalogue in no particular order.",
        )
    else:
        of_events = (*_of_people(dataset, engine), *_of_baskets(engine), *_of_time(dataset, engine))
    return (*of_events, *_of_catalogue(dataset, engine), *_of_offers(dataset))


def _of_people(dataset: Dataset, engine: Engine) -> Iterator[str]:
    if dataset.target_event != PURCHASE:
        yield f"There are hardly any purchases: {EVENT_NAMES[dataset.target_event]} stands for success in every list."
    if not len(dataset.users):
        yield (
            "No event names a user or a visitor: there are no personal lists, and for_you, discover, long_tail, "
            "time_of_day and buy_again are the same for everybody or empty."
        )
        return
    if not _tastes_overlap(dataset):
        yield (
            "No two users share an item while each has another: tastes cannot be compared, so for_you, discover and "
            "long_tail rest on the user's own items, on content and on what sells."
        )
    yield from _of_rankers(engine)
    if not engine.repeat.repeat_rate.any():
        yield "No user bought an item on two days: when an item of buy_again is due is a guess."


def _of_rankers(engine: Engine) -> Iterator[str]:
    config = engine.config.ranker
    if not config.enabled:
        yield "No ranker was wanted (ranker.enabled is false): the blend orders every list."
        return
    for lists, ranker in (
        ("for_you and time_of_day", engine.rankers.next),
        ("discover and long_tail", engine.rankers.new),
        ("bought_together and complementary", engine.rankers.pairs),
    ):
        if ranker.is_fitted:
            continue
        if ranker.n_requests < config.min_queries:
            why = f"{ranker.n_requests} past requests teach it, {config.min_queries} are needed"
        else:
            why = f"on the latest it reached an nDCG@10 of {ranker.ndcg:.4f}, the blend {ranker.ndcg_of_blend:.4f}"
        yield f"No ranker orders {lists}, but the blend that needs no training: {why}."


def _of_baskets(engine: Engine) -> Iterator[str]:
    copurchase = engine.copurchase
    if not copurchase.n_baskets.any() or not (copurchase.bought_together.n_together > 0).any():
        yield (
            "No two items were taken together, in one basket or by one user: bought_together and complementary "
            "have no pair to tell of."
        )
    elif not copurchase.by_basket:
        yield (
            "Hardly any basket holds two items: bought_together and complementary rest on what one user bought "
            "over time."
        )


def _of_time(dataset: Dataset, engine: Engine) -> Iterator[str]:
    if not engine.timeofday.is_fitted:
        yield "The times are dates without hours: time_of_day and popular are the same at every hour."
    span_days = (dataset.end - int(dataset.events.timestamp[0])) / DAY_S
    trend_days = engine.config.popularity.trend_days
    if span_days < trend_days:
        yield f"The events span {span_days:.0f} days, less than the {trend_days:.0f} of a trend: no trend is known."


def _of_catalogue(dataset: Dataset, engine: Engine) -> Iterator[str]:
    catalog = dataset.catalog
    described = catalog.select(
        pl.any_horizontal(
            pl.col(name).list.len().fill_null(0) > 0 if name in ("category", "tags") else pl.col(name).is_not_null()
            for name in CONTENT
        ).any()
    ).item()
    if not described:
        yield (
            "No item has a title, category, tag or brand: similar rests on purchases alone, and an item that never "
            "sold is listed nowhere but at the end of popular."
        )
    elif not (engine.catalog.item_type >= 0).any():
        yield "No item has a category: complementary tells a substitute from a complement by likeness of content alone."
    if len(dataset.events) and not engine.is_tail.any():
        yield "Every item belongs to the head that makes half of all purchases: long_tail has nothing to list."


def _of_offers(dataset: Dataset) -> Iterator[str]:
    unknown, all_ = dataset.n_unknown_offers, dataset.n_unknown_offers + len(dataset.offers)
    if unknown:
        yield (
            f"{unknown:,} of {all_:,} offers count for nothing: neither the items table nor an event names their "
            "item_id."
        )


def _tastes_overlap(dataset: Dataset) -> bool:
    """Whether some item is shared by two users of whom one has another item too."""
    events = dataset.events.take(dataset.events.user_idx >= 0)
    pairs = np.unique(np.stack([events.user_idx, events.item_idx]), axis=1)
    n_items_of_user = np.bincount(pairs[0], minlength=1)
    n_users_of_item = np.bincount(pairs[1], minlength=1)
    return bool(((n_users_of_item[pairs[1]] > 1) & (n_items_of_user[pairs[0]] > 1)).any())
