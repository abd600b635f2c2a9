"""The life cycle of shoppers, as the segment that their habits are shrunk to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from recsys.segments.life_cycle import STAGES, life_cycle
from recsys.segments.order_stats import OrderStats
from recsys.segments.table import created_seconds

N_STAGES: Final = len(STAGES)
NO_STAGE: Final = -1


def life_stages(engine: Engine, user_ids: Sequence[str], now: int) -> npt.NDArray[np.int64]:
    """Return the stage of each shopper by the bundle, int64 (n_users,), index in `STAGES`.

    `NO_STAGE` where it is not known, and for all where the bundle has no segments.

    Args:
        engine: the bundle's models.
        user_ids: the shoppers.
        now: seconds since 1970; later events do not count.
    """
    stages = np.full(len(user_ids), NO_STAGE)
    model, rows = engine.segments, engine.users.rows(user_ids)
    known = np.flatnonzero(rows != UNKNOWN)
    if not model.is_fitted or not len(known):
        return stages
    created_at = created_seconds(engine.users_table["created_at"].gather(pl.Series(rows[known], dtype=pl.UInt32)))
    stats = OrderStats(model.visits.of_users(rows[known]).until(now), created_at, now)
    stages[known] = life_cycle(stats, model.config.life_cycle)
    return stages
