"""Segments of the users of a bundle, with the live log: for all of them, or for some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from recsys.live.reachability import unreachable_users
from recsys.live.view import LiveView
from recsys.segments.habits import Touches
from recsys.segments.table import Shoppers, created_seconds, segment_table


def all_segments(engine: Engine, now: int, live: LiveView | None = None) -> pl.DataFrame:
    """Return the segments of every named user who did not opt out and was not erased.

    Args:
        engine: the bundle's models.
        now: seconds since 1970; later events do not count.
        live: changes since the bundle was trained.

    Returns:
        One row per user; see `segment_table`.
    """
    rows = np.flatnonzero(~unreachable_users(engine, live))
    return segment_table(engine.segments, bundle_shoppers(engine, rows, now))


def bundle_shoppers(engine: Engine, rows: npt.NDArray[np.integer], now: int) -> Shoppers:
    """Return what the bundle knows about some of its users up to a moment.

    Args:
        engine: the bundle's models.
        rows: of the users.
        now: seconds since 1970.
    """
    return Shoppers(
        user_ids=_ids(engine, rows),
        visits=engine.segments.visits.of_users(rows),
        touches=_touches(engine, rows, now),
        created_at=created_seconds(engine.users_table["created_at"].gather(pl.Series(rows, dtype=pl.UInt32))),
        now=now,
    )


def _ids(engine: Engine, rows: npt.NDArray[np.integer]) -> Sequence[str]:
    ids = engine.users.ids
    return [ids[row] for row in rows.tolist()]


def _touches(engine: Engine, rows: npt.NDArray[np.integer], now: int) -> Touches:
    """Return the events of some users of the bundle up to a moment."""
    history = engine.history
    position = np.full(len(engine.users), UNKNOWN, np.int64)
    position[rows] = np.arange(len(rows))
    user = np.repeat(position, np.diff(history.indptr))
    kept = (user != UNKNOWN) & (history.seconds <= now - history.start_at)
    return Touches(user[kept], history.item_idx[kept], history.event_type[kept])
