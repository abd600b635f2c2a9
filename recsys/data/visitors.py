"""Which ids are those of visitors, whom the shop does not know by name."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN, IdMap


def find_visitors(ids: IdMap, events: pl.DataFrame, users: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Return the ids that no event has as its `user_id` and no row of users has, bool (n_ids,).

    Args:
        ids: of users, visitors and sessions.
        events: the columns of `schema.EVENTS`.
        users: the columns of `schema.USERS`.
    """
    named = [*events["user_id"].drop_nulls().unique(), *users["user_id"]]
    return without(ids, np.ones(len(ids), np.bool_), named)


def without(ids: IdMap, is_visitor: npt.NDArray[np.bool_], named: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return the visitors that are not among some ids, bool (n_ids,).

    >>> without(IdMap(("a", "b")), np.array([True, True]), ["b", "c"]).tolist()
    [True, False]
    """
    rows = ids.rows(named)
    left = is_visitor.copy()
    left[rows[rows != UNKNOWN]] = False
    return left
