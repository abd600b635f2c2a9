"""What a bundle has of every user: histories, visits and profiles, written part by part and mapped from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.history import History, HistoryConfig, build_history
from recsys.segments.visits import COLUMNS, Visits, dataset_visits
from training.spark.parts import SparkParts
from training.spark.records import Frame, Record

PROFILES: Final = "profiles.arrow"


@dataclass(frozen=True)
class UserOutputs:
    """Arrays and tables of all users, mapped from files.

    Attributes:
        history: the events of all users.
        visits: their visits.
        profiles: the rows of the users' table.
        is_visitor: bool (n_users,), see `Dataset.is_visitor`.
    """

    history: History
    visits: Visits
    profiles: pl.DataFrame
    is_visitor: npt.NDArray[np.bool_]


def write_users(
    parts: SparkParts, list_price: npt.NDArray[np.float32], history: HistoryConfig, min_discount: float, folder: Path
) -> UserOutputs:
    """Write what a bundle has of every user; the driver has the arrays of one part at a time.

    Args:
        parts: the shop.
        list_price: float32 (n_items,), NaN for unknown.
        history: settings.
        min_discount: see `recsys.segments.visits.group_visits`.
        folder: where the files are written, a folder per part first; it has to stay while the result is used.
    """
    bounds: list[int] = []
    catalog = pl.DataFrame({"list_price": list_price})
    make = partial(_arrays, frame=parts.frame, catalog=catalog, history=history, min_discount=min_discount)
    order = sorted(number for number, n_users in parts.n_users.items() if n_users)
    for number, arrays, profiles in parts.records.filter(_has_users).map(make).toLocalIterator():
        own = folder / f"part-{number:05d}"
        own.mkdir(parents=True)
        (own / PROFILES).write_bytes(profiles)
        times = arrays["history.at"]
        bounds += [int(times.min()), int(times.max())] if len(times) else []
        for name, array in arrays.items():
            np.save(own / f"{name}.npy", array, allow_pickle=False)
    whole = partial(_joined, folder=folder, order=order)
    start_at = min(bounds, default=0)
    fits = max(bounds, default=0) - start_at <= np.iinfo(np.uint32).max
    weight, price = whole("history.rating_weight", np.float32), whole("history.price", np.float32)
    found = History(
        indptr=_starts(whole("history.size", np.int64)),
        item_idx=whole("history.item_idx", np.int32),
        start_at=start_at,
        seconds=whole("history.at", np.uint32 if fits else np.int64, lambda at: at - start_at),
        event_type=whole("history.event_type", np.int8),
        basket_idx=whole("history.basket_idx", np.int32),
        hour=whole("history.hour", np.int8),
        rating_weight=weight[:0] if _all(weight, lambda block: block == 1) else weight,
        price=price[:0] if _all(price, lambda block: block == 0) else price,
    )
    visits = {name: whole(f"visits.{name}", None) for name in COLUMNS}
    tables = [pl.read_ipc(folder / f"part-{number:05d}" / PROFILES) for number in order]
    table = pl.concat(tables, rechunk=False) if tables else parts.dataset.profiles.head(0)
    of_users = Visits(indptr=_starts(whole("visits.size", np.int64)), **visits)
    return UserOutputs(found, of_users, table, whole("is_visitor", np.bool_))


def _has_users(record: Record) -> bool:
    return record.n_users > 0


def _arrays(
    record: Record, frame: Frame, catalog: pl.DataFrame, history: HistoryConfig, min_discount: float
) -> tuple[int, dict[str, npt.NDArray[Any]], bytes]:
    dataset = frame.dataset(record, catalog)
    found, visits = build_history(dataset, history), dataset_visits(dataset, min_discount)
    n = len(found.item_idx)
    arrays = {f"visits.{name}": getattr(visits, name) for name in COLUMNS}
    arrays |= {
        "visits.size": np.diff(visits.indptr),
        "history.size": np.diff(found.indptr),
        "history.at": found.timestamp,
        "is_visitor": record.is_visitor,
    }
    for each in fields(History):
        if each.name not in ("indptr", "start_at", "seconds"):
            arrays[f"history.{each.name}"] = getattr(found, each.name)
    if not len(found.rating_weight):
        arrays["history.rating_weight"] = np.ones(n, np.float32)
    if not len(found.price):
        arrays["history.price"] = np.zeros(n, np.float32)
    return record.number, arrays, record.profiles


def _joined(
    name: str,
    dtype: Any,
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None,
    *,
    folder: Path,
    order: list[int],
) -> npt.NDArray[Any]:
    """Append the arrays of all parts to one file, and map it; the arrays of the parts are removed."""
    path, length = folder / f"{name}.raw", 0
    with path.open("wb") as file:
        for number in order:
            part = folder / f"part-{number:05d}" / f"{name}.npy"
            array = np.load(part, allow_pickle=False)
            dtype = array.dtype if dtype is None else dtype
            (array if change is None else change(array)).astype(dtype).tofile(file)
            length += len(array)
            part.unlink()
    if not length:
        return np.empty(0, np.uint8 if dtype is None else dtype)
    return np.memmap(path, dtype, "r", shape=(length,))


def _starts(size: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(size)]).astype(np.int64)


def _all(values: npt.NDArray[Any], test: Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]) -> bool:
    """Return whether a test holds for all values, a block at a time."""
    blocks = (values[start : start + 2**20] for start in range(0, len(values), 2**20))
    return all(bool(test(block).all()) for block in blocks)
