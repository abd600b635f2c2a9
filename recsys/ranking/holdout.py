"""Hold-outs: the shop's past, cut into what models may know and requests with known answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S, NO_INTEREST, Dataset
from recsys.data.event_columns import Events
from recsys.data.history import History, UserHistory, known_prices, last_items
from recsys.fitting.fit_cache import LARGE_EVENTS
from recsys.fitting.ranker import RankerConfig

SPAN_IN_HORIZONS: Final = 7
"""The least number of horizons in the time that the data spans."""

LEFT_OUT_SHARE: Final = 0.2
"""Share of a user's latest target events that is hidden where cut-offs leave too few questions."""

N_DRAWS: Final = 3
"""Draws of the hold-out by user in a shop of few users."""

MAX_FIRST_MOMENTS: Final = 8
"""Latest of a new user's moments that a request may follow."""

MIN_GAPS: Final = 50
EQUAL_GAPS_SHARE: Final = 0.95
"""Share of equal gaps, among at least `MIN_GAPS`, from which on a clock gives the order only."""


@dataclass(frozen=True)
class PastRequest:
    """A request of the past, and its answers.

    Attributes:
        history: what the models may see of the user.
        known_history: all that the user did before; more than `history` where some of it is hidden.
        as_of: seconds since 1970, the moment of the request.
        hour: local hour of the answer, -1 if unknown.
        next: int32, distinct items of the first order after the request, ascending.
        later: int32, distinct items taken within the horizon, ascending.
        user_idx: row of the user.
    """

    history: UserHistory
    known_history: UserHistory
    as_of: int
    hour: int
    next: npt.NDArray[np.int32]
    later: npt.NDArray[np.int32]
    user_idx: int = -1


@dataclass(frozen=True)
class Holdout:
    """What the models may know, and the events that are asked for.

    Attributes:
        known: the shop without the answers.
        now: moment up to which the models are fitted, seconds since 1970.
        answers: later events of all types, by time.
        horizon: seconds from `now` to the last answer; 0 where each user has another.
        is_cutoff: whether `answers` follow a common moment; else they are the last events of each user.
    """

    known: Dataset
    now: int
    answers: Events
    horizon: int
    is_cutoff: bool


def holdouts(
    dataset: Dataset, now: int, config: RankerConfig, seed: int = 0, share: float = 1.0
) -> tuple[Holdout, ...]:
    """Cut the past at a few moments, or by user where that leaves too few requests.

    Every cut-off has its answers within the horizon after it, a part of the time that the data spans. A large shop
    (`LARGE_EVENTS`) is cut once, as every cut takes about the time of a training and one has users enough. Shops whose
    users are active in single bursts, or whose clock gives the order only, hide the last events of each user instead.

    Args:
        dataset: the shop up to `now`.
        now: seconds since 1970.
        config: settings.
        seed: of the random order within a day.
        share: share of the shop's users that the dataset has.

    Returns:
        Hold-outs, the latest first; empty without events.
    """
    events = dataset.events
    if not len(events):
        return ()
    span = now - int(events.timestamp[0])
    horizon = min(config.horizon_days * DAY_S, span // SPAN_IN_HORIZONS)
    n_cutoffs = 1 if len(events) >= LARGE_EVENTS * share else config.n_cutoffs
    moments = _moments(now, span, horizon, n_cutoffs, config.step_days)
    found = [_cut(dataset, moment, horizon) for moment in moments] if horizon else []
    n_requests = sum(_count_requests(holdout) for holdout in found)
    if n_requests < config.min_queries or is_order_only(dataset):
        rng = np.random.default_rng(seed)
        left_out = tuple(leave_last_out(dataset, now, rng) for _ in range(_n_draws(dataset, config)))
        return left_out if _count_requests(left_out[0]) else tuple(found)
    return tuple(found)


def _n_draws(dataset: Dataset, config: RankerConfig) -> int:
    """Return how often the hold-out by user is drawn: small shops need more requests than they have users."""
    return N_DRAWS if len(dataset.users) < config.max_shoppers else 1


def _moments(now: int, span: int, horizon: int, n_cutoffs: int, step_days: int) -> Iterator[int]:
    step = min(step_days * DAY_S, horizon)
    earliest = now - span + horizon
    for number in range(n_cutoffs):
        moment = now - horizon - step * number
        if moment >= earliest and step:
            yield moment


def _cut(dataset: Dataset, moment: int, horizon: int) -> Holdout:
    later = dataset.until(moment + horizon).events
    later = later.take(slice(int(np.searchsorted(later.timestamp, moment)), None))
    return Holdout(dataset.until(moment), moment, later, horizon, is_cutoff=True)


def leave_last_out(dataset: Dataset, now: int, rng: np.random.Generator) -> Holdout:
    """Hide the last target events of each user who has two or more.

    The order of the days counts. Within one day the events are hidden at random: where a user is active in one burst,
    their order is that of the pages rather than of the user's taste.

    Args:
        dataset: the shop.
        now: seconds since 1970; the requests are asked then.
        rng: source of the order within a day.
    """
    events = dataset.events
    rows = np.flatnonzero((events.event_type == dataset.target_event) & (events.user_idx >= 0))
    rows = rows[np.lexsort((rng.random(len(rows)), events.timestamp[rows] // DAY_S, events.user_idx[rows]))]
    _, start, size = np.unique(events.user_idx[rows], return_index=True, return_counts=True)
    n_hidden = np.where(size > 1, np.maximum((LEFT_OUT_SHARE * size).astype(np.int64), 1), 0)
    is_hidden = np.arange(len(rows)) >= np.repeat(start + size - n_hidden, size)
    hidden = np.zeros(len(events), np.bool_)
    hidden[rows[is_hidden]] = True
    known = replace(dataset, events=events.take(~hidden))
    return Holdout(known, now, events.take(hidden), 0, is_cutoff=False)


def is_order_only(dataset: Dataset) -> bool:
    """Return whether the clock tells no more than the order: almost all gaps between a user's orders are equal.

    Args:
        dataset: the shop.
    """
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    order = np.lexsort((bought.timestamp, bought.user_idx))
    user, when = bought.user_idx[order], bought.timestamp[order]
    gaps = np.diff(when)[(user[1:] == user[:-1]) & (when[1:] > when[:-1])]
    if not len(gaps):
        return len(np.unique(bought.timestamp)) <= 1
    _, counts = np.unique(gaps, return_counts=True)
    return bool(len(gaps) >= MIN_GAPS and counts.max() >= EQUAL_GAPS_SHARE * len(gaps))


def _count_requests(holdout: Holdout) -> int:
    answers = holdout.answers
    target = answers.take((answers.event_type == holdout.known.target_event) & (answers.user_idx >= 0))
    return len(np.unique(target.user_idx))


def past_requests(
    holdout: Holdout, history: History, config: RankerConfig, rng: np.random.Generator
) -> list[PastRequest]:
    """Draw users with answers; some of them a second time with all but their latest items hidden.

    A user without a past is asked within the first stream of events: from some of its first events, for the next.

    Args:
        holdout: the cut.
        history: of the models that were fitted on what is known.
        config: settings.
        rng: source of the draws.
    """
    answers = holdout.answers.take(holdout.answers.user_idx >= 0)
    answers = answers.take(np.argsort(answers.user_idx, kind="stable"))
    is_target = answers.event_type == holdout.known.target_event
    users = np.unique(answers.user_idx[is_target])
    users = np.sort(rng.permutation(users)[: config.max_shoppers])
    found: list[PastRequest] = []
    for user_idx in users.tolist():
        own = answers.take(slice(*answers.user_idx.searchsorted([user_idx, user_idx + 1])))
        before = history.of(user_idx, holdout.now)
        if len(before):
            found.extend(_of_known_user(holdout, before, own, config, rng))
        else:
            found.extend(_of_new_user(holdout, own, rng))
    return found


def _of_known_user(
    holdout: Holdout, history: UserHistory, answers: Events, config: RankerConfig, rng: np.random.Generator
) -> Iterator[PastRequest]:
    target = answers.take(answers.event_type == holdout.known.target_event)
    as_of = holdout.now - 1 if holdout.is_cutoff else holdout.now
    request = _request(history, history, as_of, target)
    yield request
    if rng.random() < config.short_share:
        n_kept = int(rng.integers(1, config.max_short + 1))
        yield replace(request, history=last_items(history, holdout.known.target_event, n_kept))


def _of_new_user(holdout: Holdout, answers: Events, rng: np.random.Generator) -> Iterator[PastRequest]:
    """Ask for the first target events after a random one of the first moments that have any before and after them."""
    acts = answers.take(~np.isin(answers.event_type, NO_INTEREST))
    when = acts.timestamp
    last_target = int(when[acts.event_type == holdout.known.target_event][-1])
    moments = np.unique(when[when < last_target])
    if not len(moments):
        return
    moment = int(moments[int(rng.integers(0, min(len(moments), MAX_FIRST_MOMENTS)))])
    before = acts.take(when <= moment)
    target = acts.take((when > moment) & (acts.event_type == holdout.known.target_event))
    first = target.take(target.timestamp == target.timestamp[0])
    yield _request(_as_history(before), _as_history(before), moment, first)


def _request(history: UserHistory, known: UserHistory, as_of: int, target: Events) -> PastRequest:
    return PastRequest(
        history=history,
        known_history=known,
        as_of=as_of,
        hour=int(target.hour[0]),
        next=np.unique(target.item_idx[target.basket_idx == target.basket_idx[0]]),
        later=np.unique(target.item_idx),
        user_idx=int(target.user_idx[0]),
    )


def _as_history(events: Events) -> UserHistory:
    return UserHistory(
        events.item_idx,
        events.timestamp,
        events.event_type,
        events.basket_idx,
        events.hour,
        events.rating_weight,
        known_prices(events.price),
    )
