"""A sample of users of a large shop, on which its settings are learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from recsys.core.ids import UNKNOWN, IdMap
from recsys.data.event_columns import Events
from recsys.fitting.fit_cache import LARGE_EVENTS
from recsys.ranking.holdout import Holdout

SAMPLE_EVENTS: Final = 1_500_000
"""Events that the sample of a large shop has, on average."""


@dataclass(frozen=True)
class UserSample:
    """A hold-out of some users.

    Attributes:
        cut: the hold-out, of these users alone; items keep their rows.
        share: share of the users, 0 to 1.
    """

    cut: Holdout
    share: float


def sample_users(cut: Holdout, rng: np.random.Generator) -> UserSample:
    """Draw users of a large shop, each with all its events; a smaller shop is returned as it is.

    Anonymous events are drawn by basket.

    Args:
        cut: the hold-out of the shop.
        rng: source of the draws; none is made for a smaller shop.
    """
    known = cut.known
    if len(known.events) < LARGE_EVENTS:
        return UserSample(cut, 1.0)
    share = SAMPLE_EVENTS / len(known.events)
    is_drawn = rng.random(len(known.users)) < share
    drawn_rows = np.flatnonzero(is_drawn)
    row_of = np.full(len(known.users), UNKNOWN, np.int32)
    row_of[drawn_rows] = np.arange(len(drawn_rows))
    n_baskets = max(int(events.basket_idx.max(initial=-1)) for events in (known.events, cut.answers)) + 1
    is_basket_drawn = rng.random(n_baskets + 1) < share

    def drawn(events: Events) -> Events:
        user_idx = np.full(len(events), UNKNOWN, np.int32)
        named, is_kept = events.user_idx >= 0, is_basket_drawn[events.basket_idx]
        is_kept[named] = is_drawn[events.user_idx[named]]
        user_idx[named] = row_of[events.user_idx[named]]
        return replace(events, user_idx=user_idx).take(is_kept)

    users = IdMap(tuple(known.users.ids[row] for row in drawn_rows.tolist()))
    of_sample = replace(
        known,
        users=users,
        profiles=known.profiles[drawn_rows],
        events=drawn(known.events),
        is_visitor=known.is_visitor[drawn_rows],
    )
    return UserSample(replace(cut, known=of_sample, answers=drawn(cut.answers)), share)
