"""The tables of the generated shop, and the job that writes them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.progress import Progress, silent
from training.chinese_shop.catalog import NEW, Goods, Rows, build_goods
from training.chinese_shop.messages import messages_table
from training.chinese_shop.orders import HOUR_S, Lines, Shop, draw_orders
from training.chinese_shop.planted import DAY_S, END, PLANTED, START, TIMEZONE
from training.chinese_shop.promotions import Promotions, draw_promotions
from training.chinese_shop.shoppers import (
    CHANNEL_SHARES,
    CHANNELS,
    CITIES,
    Seconds,
    Shoppers,
    draw_shoppers,
    user_ids,
    users_table,
)
from training.ingest.ingest import IngestConfig, InputFiles, ingest

STAMP: Final = "demo.json"
DEFAULT_USERS: Final = 4000
MIN_USERS: Final = 10
MAX_USERS: Final = 200_000
VIEWED: Final = 0.6
BROWSED: Final = 0.5
CARTED: Final = 0.5
LEFT_IN_CART: Final = 0.1
LOST_CARTS: Final = 0.12
"""Carts that nobody pays for, per line of an order; a cart has one item."""

MIN_LOST_DAYS: Final = 3
OWN_CHANNEL: Final = 0.75
STORES: Final = 3
OLD_DAYS: Final = 500


@dataclass(frozen=True)
class ChineseShopConfig:
    """The size of the shop.

    Attributes:
        n_users: number of users, `MIN_USERS` to `MAX_USERS`.
        seed: seed of all draws, >= 0.
    """

    n_users: int = DEFAULT_USERS
    seed: int = 0

    def __post_init__(self) -> None:
        if not MIN_USERS <= self.n_users <= MAX_USERS:
            raise ConfigError(f"--users is {self.n_users}, expected {MIN_USERS} to {MAX_USERS:,} users")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}, expected 0 or more")


def build_chinese_shop(out: Path, config: ChineseShopConfig, progress: Progress = silent) -> bool:
    """Write the tables, through the same steps as any shop's files.

    Args:
        out: the folder of tables; unchanged if it already has this shop.
        config: the size.
        progress: receives the stages.

    Returns:
        Whether the tables were written.

    Raises:
        ConfigError: `out` cannot be replaced.
    """
    stamp = {"shop": "cn", **asdict(config), "planted": asdict(PLANTED)}
    if _stamp_of(out) == stamp:
        progress("done", 1.0)
        return False
    progress("drawing the shop", 0.0)
    tables = chinese_tables(config)
    now = datetime.fromtimestamp(END, UTC)
    with tempfile.TemporaryDirectory(prefix="recsys-demo-") as folder:
        paths = {name: Path(folder) / f"{name}.parquet" for name in tables}
        for name, frame in tables.items():
            frame.write_parquet(paths[name], compression="lz4")
        files = InputFiles(**paths, as_of=now)
        ingest_config = IngestConfig(timezone=TIMEZONE, max_reject_share=0.0)
        ingest(files, ingest_config, out, now, lambda stage, share=0.0: progress(stage, 0.3 + 0.7 * share))
    (out / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
    return True


def chinese_tables(config: ChineseShopConfig) -> dict[str, pl.DataFrame]:
    """Draw the tables of the shop; the same configuration gives the same tables.

    Returns:
        `events`, `items`, `users`, `offers` and `messages`, as a shop's files have them.
    """
    rng = np.random.default_rng(config.seed)
    goods = build_goods()
    shoppers = draw_shoppers(config.n_users, goods, rng)
    promotions = draw_promotions(goods, rng)
    purchases, wishes = draw_orders(Shop(goods, promotions, shoppers, rng))
    users = users_table(shoppers, rng)
    return {
        "events": _events(goods, promotions, shoppers, purchases, wishes, rng, np.random.default_rng((config.seed, 1))),
        "items": items_table(goods, promotions),
        "users": users,
        "offers": promotions.offers_table(),
        "messages": messages_table(shoppers, users, goods, rng),
    }


def items_table(goods: Goods, promotions: Promotions) -> pl.DataFrame:
    """Return the items table of the shop; new items are of the last four weeks."""
    n = len(goods.items)
    age = np.full(n, OLD_DAYS)
    age[goods.of_group[NEW]] = np.linspace(2, 26, len(goods.of_group[NEW])).astype(np.int64)
    return pl.DataFrame(
        {
            "item_id": goods.ids,
            "title": [item.title for item in goods.items],
            "category": [list(item.path) for item in goods.items],
            "tags": [list(item.tags) for item in goods.items],
            "brand": [item.brand for item in goods.items],
            "price": promotions.price(np.arange(n), np.full(n, END - 1)),
            "list_price": goods.price,
            "currency": ["CNY"] * n,
            "created_at": _times(END - age * DAY_S),
        }
    )


def _events(
    goods: Goods,
    promotions: Promotions,
    shoppers: Shoppers,
    purchases: Lines,
    wishes: Lines,
    rng: np.random.Generator,
    lost_rng: np.random.Generator,
) -> pl.DataFrame:
    """Return purchases with what came before them: views, carts, wishes, views of other items; and lost carts."""
    order, lines = _distinct(purchases)
    n = len(lines.user)
    channel = _channels(shoppers, lines.user, order, rng)
    viewed = np.flatnonzero(rng.random(n) < VIEWED)
    carted = np.flatnonzero(rng.random(n) < CARTED)
    browsed = np.flatnonzero(rng.random(n) < BROWSED)
    other = _same_group(goods, lines.item[browsed], rng)
    left = rng.random(len(browsed)) < LEFT_IN_CART
    before = rng.integers(120, HOUR_S // 2, n)

    def frame(event: str, rows: Rows, item: Rows, at: Seconds) -> pl.DataFrame:
        return pl.DataFrame(
            {"event": [event] * len(rows), "user": lines.user[rows], "item": item, "at": at, "order": order[rows]}
        ).with_columns(pl.Series("channel", channel[rows]))

    every = np.arange(n)
    parts = [
        frame("purchase", every, lines.item, lines.at),
        frame("view_item", viewed, lines.item[viewed], lines.at[viewed] - before[viewed]),
        frame("add_to_cart", carted, lines.item[carted], lines.at[carted] - before[carted] // 2),
        frame("view_item", browsed, other, lines.at[browsed] - before[browsed]),
        frame("add_to_cart", browsed[left], other[left], lines.at[browsed[left]] - before[browsed[left]] // 2),
    ]
    wished = {"user": wishes.user, "item": wishes.item, "at": wishes.at, "order": np.full(len(wishes.user), -1)}
    for name, later in (("view_item", -60), ("add_to_wishlist", 0)):
        shown = pl.DataFrame({"event": [name] * len(wishes.user), **wished}).with_columns(pl.col("at") + later)
        parts.append(shown.with_columns(pl.Series("channel", np.array(CHANNELS)[shoppers.channel[wishes.user]])))
    parts += _lost_carts(shoppers, goods, lines, int(order.max(initial=0)), lost_rng)
    is_inside = pl.col("at").is_between(START, END, closed="left")
    events = pl.concat(parts).filter(is_inside).sort("at", "user", "item", "event")
    return _named(events, goods, promotions, shoppers)


def _lost_carts(
    shoppers: Shoppers, goods: Goods, lines: Lines, n_orders: int, rng: np.random.Generator
) -> list[pl.DataFrame]:
    """Return visits some days around an order that end with an item in the cart, each a session of its own."""
    drawn = np.flatnonzero(rng.random(len(lines.user)) < LOST_CARTS)
    user, n = lines.user[drawn], len(drawn)
    away = rng.integers(MIN_LOST_DAYS, 3 * MIN_LOST_DAYS, n) * rng.choice((-1, 1), n) * DAY_S
    visit = {"user": user, "item": _same_group(goods, lines.item[drawn], rng), "at": lines.at[drawn] + away}
    visit |= {"order": n_orders + 1 + np.arange(n), "channel": np.array(CHANNELS)[shoppers.channel[user]]}
    names = pl.DataFrame({"event": ["view_item", "add_to_cart"]})
    later = pl.when(pl.col("event") == "add_to_cart").then(60).otherwise(0)
    shown = names.join(pl.DataFrame(visit), how="cross").with_columns(pl.col("at") + later)
    return [shown.select("event", "user", "item", "at", "order", "channel")]


def _named(events: pl.DataFrame, goods: Goods, promotions: Promotions, shoppers: Shoppers) -> pl.DataFrame:
    """Return events with ids, prices and places instead of rows."""
    user, item, at = (events[name].to_numpy() for name in ("user", "item", "at"))
    city = np.array(CITIES)[shoppers.city[user]]
    is_bought, in_store = pl.col("event") == "purchase", pl.col("channel") == CHANNELS[-1]
    number = pl.col("order").cast(pl.String).str.zfill(7)
    return events.with_columns(
        pl.Series("item_id", np.array(goods.ids)[item]),
        pl.Series("timestamp", _times(at)),
        pl.Series("user_id", np.array(user_ids(len(shoppers)))[user]),
        pl.Series("price", promotions.price(item, at)),
        pl.Series("region", city),
        pl.Series("store", [f"{name}{1 + row % STORES}店" for name, row in zip(city, user.tolist(), strict=True)]),
    ).select(
        "item_id",
        "event",
        "timestamp",
        "user_id",
        pl.when(pl.col("order") >= 0).then(pl.lit("s") + number).alias("session_id"),
        pl.when(is_bought).then(pl.lit("o") + number).alias("basket_id"),
        pl.format("e{}", pl.int_range(pl.len())).alias("event_id"),
        pl.when(is_bought).then(1.0).alias("quantity"),
        "price",
        pl.lit("CNY").alias("currency"),
        "channel",
        "region",
        pl.when(in_store).then("store").alias("store"),
    )


def _distinct(lines: Lines) -> tuple[Rows, Lines]:
    """Return each line once, and the number of its order: lines of one user and moment."""
    key = np.lexsort((lines.item, lines.user, lines.at))
    user, item, at = lines.user[key], lines.item[key], lines.at[key]
    is_new = np.ones(len(key), np.bool_)
    is_new[1:] = (user[1:] != user[:-1]) | (at[1:] != at[:-1])
    is_first = is_new.copy()
    is_first[1:] |= item[1:] != item[:-1]
    order = np.cumsum(is_new, dtype=np.int64)
    return order[is_first], Lines(user[is_first], item[is_first], at[is_first])


def _channels(shoppers: Shoppers, user: Rows, order: Rows, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return the channel of each line, one per order: mostly the user's own; it has no effect on anything."""
    n_orders = int(order.max(initial=0)) + 1
    own, other = rng.random(n_orders) < OWN_CHANNEL, rng.choice(len(CHANNELS), n_orders, p=CHANNEL_SHARES)
    return np.array(CHANNELS)[np.where(own[order], shoppers.channel[user], other[order])]


def _same_group(goods: Goods, item: Rows, rng: np.random.Generator) -> Rows:
    """Draw another item of the group of each item, or the same."""
    rows = goods.of_group.values()
    size, start = np.empty(len(goods.items), np.int64), np.empty(len(goods.items), np.int64)
    for group in rows:
        size[group], start[group] = len(group), group[0]
    drawn: Rows = start[item] + (rng.random(len(item)) * size[item]).astype(np.int64)
    return drawn


def _times(seconds: Seconds) -> pl.Series:
    return pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))


def _stamp_of(out: Path) -> object:
    try:
        return json.loads((out / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
