"""A generated shop of any size, to measure how time and memory grow; its figures say nothing about quality.

    python -m benchmarks.generated_shop --out data/large --events 20000000 --items 1000000 --users 2000000 --by-day

What matters for time and memory is as in real shops: a few items make most sales, a few users most events, sessions
have a few views and some end in an order, orders have items of types that go together, users return to favorites, and
each category has its hours. Events are generated day by day; with `--by-day` each day is a file of its own, so that
memory holds one day.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.files import file_digest
from recsys.core.schema import DatasetInfo
from training.ingest.dataset_folder import check_replaceable, write_folder

END: Final = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())
DAY_S: Final = 86_400
ZONE: Final = "Asia/Shanghai"

ITEMS_PER_TYPE: Final = 60
TYPES_PER_CATEGORY: Final = 12
BRANDS_PER_TYPE: Final = 8
N_TAGS: Final = 400

VIEWS: Final = 4.0
"""Mean number of views of a session."""

ORDER_SHARE: Final = 0.3
"""Share of sessions that end in an order."""

LINES: Final = 2.5
"""Mean number of items of an order."""

EVENTS_PER_SESSION: Final = VIEWS + ORDER_SHARE * LINES

FAVORITE_SHARE: Final = 0.3
LIKED_TYPE_SHARE: Final = 0.5
"""Shares of a user's favorite items, and of items of the type that the session is about, among views; among the later
lines of an order, the rest are of types that go with the first."""

N_FAVORITES: Final = 12
N_LIKED_TYPES: Final = 5
PARETO: Final = 2.2
"""Shape of the numbers of sessions of users: the smaller, the more unequal."""

SKEW: Final = 3.0
"""An item of a type is the one at `u^SKEW` of its ranks, with `u` uniform: the larger, the more unequal."""

TYPE_SKEW: Final = 1.5
"""The same for types, among all views and among the types that users like."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ShopSize:
    """How large a shop is.

    Attributes:
        n_events: events, about.
        n_items: items, at least `ITEMS_PER_TYPE`.
        n_users: users.
        n_days: days from the first to the last event.
        seed: of all draws.
    """

    n_events: int
    n_items: int
    n_users: int
    n_days: int = 365
    seed: int = 0

    @property
    def n_types(self) -> int:
        """Product types."""
        return max(self.n_items // ITEMS_PER_TYPE, 1)


def generate(size: ShopSize, out: Path, *, by_day: bool = False) -> DatasetInfo:
    """Write the tables of a shop into a folder, in place of an older one.

    Args:
        size: how large it is.
        out: the folder, as `ingest` writes it.
        by_day: write `events/day=YYYY-MM-DD/part-0.parquet` instead of one file.

    Raises:
        ConfigError: `out` has other files.
    """
    check_replaceable(out)
    rng = np.random.default_rng(size.seed)
    tables = {"items": _items(size, rng), "users": _users(size)}
    cumulated = np.cumsum(rng.pareto(PARETO, size.n_users) + 0.1)
    days = (_events(size, day, cumulated) for day in range(max(size.n_days - 1, 1)))
    if not by_day:
        return write_folder(tables | {"events": pl.concat(days)}, {}, ZONE, out)
    return _add_days(write_folder(tables, {}, ZONE, out), days, size, out)


def _add_days(info: DatasetInfo, days: Iterator[pl.DataFrame], size: ShopSize, out: Path) -> DatasetInfo:
    """Write a file of events per day, and count them in `dataset.json`."""
    digests, n_events = hashlib.sha256(info.fingerprint.encode()), 0
    for day, events in enumerate(days):
        name = datetime.fromtimestamp(_start_of(day, size), UTC).date()
        path = out / "events" / f"day={name}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        events.write_parquet(path, compression="zstd", compression_level=1)
        digests.update(file_digest(path).encode())
        n_events += len(events)
    found = replace(info, fingerprint=digests.hexdigest(), rows={**info.rows, "events": n_events})
    (out / "dataset.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def _items(size: ShopSize, rng: np.random.Generator) -> pl.DataFrame:
    """Items, type by type: the first of each type sell most."""
    item_type = _types_of(np.arange(size.n_items), size)
    brand = item_type * BRANDS_PER_TYPE + (rng.random(size.n_items) ** 2 * BRANDS_PER_TYPE).astype(np.int64)
    tags = (rng.random((size.n_items, 2)) ** 2 * N_TAGS).astype(np.int64)
    price = np.round(np.exp(rng.normal(3.0 + item_type % 7 / 3, 0.4)), 2)
    frame = pl.DataFrame({"row": np.arange(size.n_items), "type": item_type, "brand_row": brand, "price": price})
    category = pl.format("category {}", pl.col("type") // TYPES_PER_CATEGORY)
    return frame.with_columns(first=tags[:, 0], second=tags[:, 1]).select(
        item_id=pl.format("i{}", "row"),
        title=pl.format("brand {} type {} no. {}", "brand_row", "type", "row"),
        category=pl.concat_list(category, pl.format("type {}", "type")),
        tags=pl.concat_list(pl.format("tag {}", "first"), pl.format("tag {}", "second")),
        brand=pl.format("brand {}", "brand_row"),
        price="price",
    )


def _users(size: ShopSize) -> pl.DataFrame:
    return pl.DataFrame({"row": np.arange(size.n_users)}).select(user_id=pl.format("u{}", "row"))


def _start_of(day: int, size: ShopSize) -> int:
    """Return when a day begins, seconds since 1970."""
    return END - (size.n_days - day) * DAY_S


def _events(size: ShopSize, day: int, cumulated: npt.NDArray[np.float64]) -> pl.DataFrame:
    """Return the events of the sessions that begin on a day.

    Args:
        size: of the shop.
        day: number of the day.
        cumulated: float64 (n_users,), cumulated activity of the users.
    """
    rng = np.random.default_rng([size.seed, day])
    n_sessions = max(round(size.n_events / EVENTS_PER_SESSION / max(size.n_days - 1, 1)), 1)
    drawn = np.searchsorted(cumulated / cumulated[-1], rng.random(n_sessions))
    user = np.sort(drawn.clip(0, size.n_users - 1))
    wanted = _liked_type(user, rng.integers(N_LIKED_TYPES, size=n_sessions), size)
    start = _start_of(day, size) + _seconds_of_day(wanted // TYPES_PER_CATEGORY, rng)
    views = _views(user, wanted, rng.geometric(1 / VIEWS, n_sessions), size, rng)
    orders = _orders(user, views, rng.random(n_sessions) < ORDER_SHARE, size, rng)
    session = np.concatenate([views[0], orders[0]])
    item = np.concatenate([views[1], orders[1]])
    place = np.concatenate([_places(views[0]), _places(orders[0]) + 100])
    is_order = np.arange(len(session)) >= len(views[0])
    order = np.lexsort((place, session, start[session]))
    session, item, place, is_order = session[order], item[order], place[order], is_order[order]
    number = session + day * n_sessions
    frame = pl.DataFrame({"item": item, "user": user[session], "session": number, "is_order": is_order})
    time = pl.Series(((start[session] + 20 * place) * 1_000_000).astype("datetime64[us]")).dt.replace_time_zone("UTC")
    return frame.with_columns(timestamp=time).select(
        item_id=pl.format("i{}", "item"),
        event=pl.when("is_order").then(pl.lit("purchase")).otherwise(pl.lit("view_item")),
        timestamp="timestamp",
        user_id=pl.format("u{}", "user"),
        session_id=pl.format("s{}", "session"),
        basket_id=pl.when("is_order").then(pl.format("b{}", "session")),
        quantity=pl.when("is_order").then(pl.lit(1.0)),
    )


def _views(user: Rows, wanted: Rows, n_views: Rows, size: ShopSize, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return the session and the item of each view: one of the type that the session is about, a favorite, or any."""
    session = np.repeat(np.arange(len(user)), n_views)
    n, draw = len(session), rng.random(len(session))
    any_type = (rng.random(n) ** TYPE_SKEW * size.n_types).astype(np.int64)
    of_type = np.where(draw < LIKED_TYPE_SHARE + FAVORITE_SHARE, wanted[session], any_type)
    item = _items_of(of_type, rng.random(n), size)
    favorite = _favorites(user[session], rng.integers(N_FAVORITES, size=n), size)
    return session, np.where(draw < FAVORITE_SHARE, favorite, item)


def _orders(
    user: Rows, views: tuple[Rows, Rows], is_order: npt.NDArray[np.bool_], size: ShopSize, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Return the session and the item of each line: the first item viewed, then partners of its type and favorites."""
    session = np.flatnonzero(is_order)
    main = views[1][np.searchsorted(views[0], session)]
    line = np.repeat(np.arange(len(session)), rng.geometric(1 / LINES, len(session)))
    place = _places(line)
    partner = (_types_of(main, size)[line] * 7 + 3 * place) % size.n_types
    item = _items_of(partner, rng.random(len(line)), size)
    favorite = _favorites(user[session[line]], rng.integers(N_FAVORITES, size=len(line)), size)
    item = np.where(rng.random(len(line)) < FAVORITE_SHARE, favorite, item)
    return session[line], np.where(place == 0, main[line], item)


def _types_of(items: Rows, size: ShopSize) -> Rows:
    return np.minimum(items // ITEMS_PER_TYPE, size.n_types - 1)


def _items_of(item_type: Rows, draw: npt.NDArray[np.float64], size: ShopSize) -> Rows:
    """Return an item of each type, its best sellers most often."""
    return np.minimum(item_type * ITEMS_PER_TYPE + (draw**SKEW * ITEMS_PER_TYPE).astype(np.int64), size.n_items - 1)


def _hashed(*values: Rows | int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) that depends on some integers alone."""
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for value in values:
        mixed = (mixed ^ np.asarray(value, np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = mixed ^ (mixed >> np.uint64(29))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53)


def _liked_type(user: Rows, number: Rows, size: ShopSize) -> Rows:
    """Return one of the types that each user likes."""
    return (_hashed(user, number, size.seed, 1) ** TYPE_SKEW * size.n_types).astype(np.int64)


def _favorites(user: Rows, number: Rows, size: ShopSize) -> Rows:
    item_type = _liked_type(user, number % N_LIKED_TYPES, size)
    return _items_of(item_type, _hashed(user, number, size.seed, 2), size)


def _seconds_of_day(category: Rows, rng: np.random.Generator) -> Rows:
    """Return when in the day sessions begin: around the hour of their category."""
    peak = 7 + category * 5 % 15
    return ((peak * 3600 + rng.normal(0, 5400, len(category))) % DAY_S).astype(np.int64)


def _places(group: Rows) -> Rows:
    """Return the place of each entry in its group; equal ones follow each other."""
    is_first = np.concatenate([np.ones(len(group[:1]), np.bool_), group[1:] != group[:-1]])
    first = np.flatnonzero(is_first)
    return np.arange(len(group)) - np.repeat(first, np.diff(np.append(first, len(group))))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the size of the shop."""
    for name, default in (("events", 1_000_000), ("items", 50_000), ("users", 100_000), ("days", 365), ("seed", 0)):
        parser.add_argument(f"--{name}", type=lambda text: int(float(text)), default=default)


def main() -> None:
    """Generate a shop as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generated_shop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--by-day", action="store_true", help="write a file of events per day")
    add_options(parser)
    given = parser.parse_args()
    size = ShopSize(given.events, given.items, given.users, given.days, given.seed)
    info = generate(size, given.out, by_day=given.by_day)
    print(f"{given.out}: " + ", ".join(f"{count:,} {name}" for name, count in info.rows.items()))


if __name__ == "__main__":
    main()
