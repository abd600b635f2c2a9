"""Segments of the users of a bundle, with the live log: for all of them, or for some."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import SESSION, UNKNOWN
from recsys.core.schema import SEGMENTS
from recsys.core.timestamps import parse_timestamp
from recsys.data.history import NO_HISTORY
from recsys.filters.lexer import SEGMENT
from recsys.fitting.engine import Engine
from recsys.live.reachability import is_erased, unreachable_users
from recsys.live.view import LiveView
from recsys.segments.habits import Touches
from recsys.segments.table import Shoppers, created_seconds, segment_table
from recsys.segments.visits import rows_of, stack_visits

ALL: Final = tuple(SEGMENTS)
NOBODY: Final = pl.DataFrame(schema={"user_id": pl.String(), **SEGMENTS})
SEGMENT_OF_USER: Final = f"{SEGMENT}."


def all_segments(engine: Engine, now: int, live: LiveView | None = None) -> pl.DataFrame:
    """Return the segments of every named user who did not opt out and was not erased.

    Args:
        engine: the bundle's models.
        now: seconds since 1970; later events do not count.
        live: changes since the bundle was trained.

    Returns:
        One row per user; see `segment_table`. Users about whom the live log has an entry come last.
    """
    if not engine.segments.is_fitted:
        return NOBODY
    reachable = ~unreachable_users(engine, live)
    if live is None:
        return segment_table(engine.segments, _bundle_shoppers(engine, np.flatnonzero(reachable), now))
    changed = live.changed_users
    rows = engine.users.rows(sorted(changed))
    reachable[rows[rows != UNKNOWN]] = False
    unchanged = segment_table(engine.segments, _bundle_shoppers(engine, np.flatnonzero(reachable), now))
    later = sorted(key for key in changed if key == live.identities.target(key))
    return pl.concat([unchanged, segments_of(engine, later, now, live)])


def segments_of(
    engine: Engine, user_ids: Iterable[str], now: int, live: LiveView | None = None, names: Collection[str] = ALL
) -> pl.DataFrame:
    """Return the segments of some users.

    Args:
        engine: the bundle's models.
        user_ids: the shop's ids, in any number; an id that is merged into another has the row of that one.
        now: seconds since 1970; later events do not count.
        live: changes since the bundle was trained.
        names: the segments to compute.

    Returns:
        One row per user in the given order, without users who are unknown, opted out or erased, and without sessions.
    """
    if not engine.segments.is_fitted:
        return NOBODY.select("user_id", *names)
    if live is None:
        rows = engine.users.rows(tuple(user_ids))
        rows = rows[rows != UNKNOWN]
        rows = rows[engine.is_named[rows] & ~engine.is_opted_out[rows]]
        return segment_table(engine.segments, _bundle_shoppers(engine, rows, now), names=names)
    keys = [key for key in dict.fromkeys(map(live.identities.target, user_ids)) if _has_segments(live, key, now)]
    return segment_table(engine.segments, _live_shoppers(live, keys, now, names), live.channels, names)


def _has_segments(live: LiveView, key: str, now: int) -> bool:
    """Return whether anything is known about a user, who did not opt out and was not erased."""
    if key.startswith(SESSION) or live.profiles.is_opted_out(key) or is_erased(live, key):
        return False
    return bool(live.profiles.of(key)) or len(live.history(key, now)) > 0


def _bundle_shoppers(engine: Engine, rows: npt.NDArray[np.integer], now: int) -> Shoppers:
    """Return what the bundle knows about some of its users up to a moment."""
    ids = engine.users.ids
    return Shoppers(
        user_ids=[ids[row] for row in rows.tolist()],
        visits=engine.segments.visits.of_users(rows),
        touches=_touches(engine, rows, now),
        created_at=created_seconds(engine.users_table["created_at"][rows]),
        now=now,
    )


def _touches(engine: Engine, rows: npt.NDArray[np.integer], now: int) -> Touches:
    """Return the events of some users of the bundle up to a moment."""
    history = engine.history
    events, counts = rows_of(history.indptr, rows)
    user = np.repeat(np.arange(len(rows)), counts)
    kept = history.seconds[events] <= now - history.start_at
    events = events[kept]
    return Touches(user[kept], engine.catalog.item_type[history.item_idx[events]], history.event_type[events])


def _live_shoppers(live: LiveView, keys: list[str], now: int, names: Collection[str]) -> Shoppers:
    """Return what bundle and live log know about some users up to a moment."""
    histories = [live.history(key, now) if "interests" in names else NO_HISTORY for key in keys]
    empty, item_type = np.empty(0, np.int64), live.engine.catalog.item_type
    return Shoppers(
        user_ids=keys,
        visits=stack_visits([live.visits(key, now) for key in keys]),
        touches=Touches(
            np.repeat(np.arange(len(keys)), [len(history) for history in histories]),
            np.concatenate([*(item_type[history.item_idx] for history in histories), empty.astype(np.int32)]),
            np.concatenate([*(history.event_type for history in histories), empty.astype(np.int8)]),
        ),
        created_at=np.array([_created(live.profiles.of(key)) for key in keys], np.float64),
        now=now,
    )


def _created(profile: Mapping[str, Any]) -> float:
    """Return the creation of an account, seconds since 1970, NaN for unknown or a text that is no time."""
    try:
        return parse_timestamp(profile["created_at"], UTC).timestamp() if profile.get("created_at") else math.nan
    except ValueError:
        return math.nan


class UserAttributes(Mapping[str, Any]):
    """Attributes of a user, and the user's segments under `segment.NAME`, each computed when it is read.

    Args:
        columns: attributes by name.
        engine: the bundle's models.
        key: the user, where a chain of merges ends.
        now: seconds since 1970; later events do not count.
        live: changes since the bundle was trained.
    """

    def __init__(
        self, columns: Mapping[str, Any], engine: Engine, key: str, now: int, live: LiveView | None = None
    ) -> None:
        self._columns, self._engine, self._key = columns, engine, key
        self._now, self._live = now, live

    def __getitem__(self, name: str) -> Any:
        segment = name.removeprefix(SEGMENT_OF_USER)
        if segment == name:
            return self._columns[name]
        found = segments_of(self._engine, [self._key], self._now, self._live, (segment,))
        return found.row(0, named=True)[segment] if len(found) else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)
