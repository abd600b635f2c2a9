"""A small invented shop whose habits are known: what every test of the library is tried on.

What is planted:

- a phone is bought with a case and a charger; a camera comes first, its memory cards follow, again and again;
- breakfast sells between 7 and 9 h, snacks between 19 and 21 h, by the shopper's own clock;
- `LEATHER_FANS`, and hardly anybody else, buy leathercraft;
- `WEEKLY_SHOPPERS` buy `WEEKLY_ITEM` every seven days, up to a week before the end;
- some items were never bought, some are variants of one product, one is not available, two are in no catalogue;
- ids hold slashes, spaces, emoji and Chinese.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recsys.core.schema import EVENTS, ITEMS, USERS
from recsys.data.dataset import Dataset, build_dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.ranker import RankerConfig, TreesConfig
from recsys.models.collaborative.als import ALSConfig
from recsys.models.content.content import ContentConfig
from recsys.models.content.hybrid import HybridConfig
from recsys.models.pairs.copurchase import CopurchaseConfig

TIMEZONE: Final = "Asia/Shanghai"
START: Final = int(datetime(2024, 3, 4, tzinfo=ZoneInfo(TIMEZONE)).timestamp())
N_DAYS: Final = 120
DAY_S: Final = 86_400
HOUR_S: Final = 3_600

ODD_USERS: Final = ("用户/一", "two words", "🛍️ shopper", "a/b/c?d=1&e=%2F", "ünïcode")
USERS_WITH_HISTORY: Final = (*ODD_USERS, *(f"u{n:03d}" for n in range(5, 60)))
OPTED_OUT: Final = "opted-out"
SILENT_USER: Final = "never-bought"
NEW_YORKER: Final = "u010"
VISITOR: Final = "visitor-7"
LEATHER_FANS: Final = USERS_WITH_HISTORY[:8]
CAMERA_OWNERS: Final = USERS_WITH_HISTORY[8:32]
WEEKLY_SHOPPERS: Final = USERS_WITH_HISTORY[32:44]
BROWSERS: Final = USERS_WITH_HISTORY[::3]

WEEKLY_ITEM: Final = "纸巾/3层"
PHONES: Final = ("phone-1", "phone-2-black", "phone-2-white", "phone-3")
CASES: Final = ("手机壳 1", "手机壳 2", "case-3", "case-4")
CHARGERS: Final = ("charger-1", "charger-2", "充电器🔌")
CAMERAS: Final = ("camera-1", "camera-2", "相机/三")
CARDS: Final = ("card-64", "card-128", "card-256", "存储卡 512")
EARPHONES: Final = ("🎧-pro", "🎧-lite", "耳机-03", "耳机-04")
VARIANTS: Final = {"phone-2-black": "phone-2", "phone-2-white": "phone-2", "🎧-pro": "🎧", "🎧-lite": "🎧"}
ORPHANS: Final = ("orphan-1", "orphan/2")
UNAVAILABLE: Final = "薯片-番茄"


@dataclass(frozen=True)
class Shelf:
    """Items of one product type."""

    path: tuple[str, ...]
    titles: Mapping[str, str]
    price: float
    brands: tuple[str, ...]
    tags: tuple[str, ...] = field(default=())

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.titles)


def _named(name: str, kinds: Sequence[str], prefix: str = "") -> dict[str, str]:
    return {f"{prefix or name}-{kind}": f"{name} {kind}味" for kind in kinds}


SHELVES: Final[Mapping[str, Shelf]] = {
    "phones": Shelf(
        ("电子产品", "手机", "智能手机"),
        dict(zip(PHONES, ("星辰手机 1", "星辰手机 2 黑色", "星辰手机 2 白色", "远山手机 Max"), strict=True)),
        3999.0,
        ("星辰", "星辰", "星辰", "远山"),
        ("5G",),
    ),
    "cases": Shelf(
        ("电子产品", "手机配件", "手机壳"),
        dict(zip(CASES, ("星辰手机壳 透明", "星辰手机壳 磨砂", "Slim Case", "Leather Case"), strict=True)),
        79.0,
        ("星辰", "壳王"),
    ),
    "chargers": Shelf(
        ("电子产品", "手机配件", "充电器"),
        dict(zip(CHARGERS, ("快充充电器 65W", "快充充电器 30W", "无线充电器"), strict=True)),
        99.0,
        ("星辰", "电友"),
    ),
    "earphones": Shelf(
        ("电子产品", "音频", "耳机"),
        dict(
            zip(
                EARPHONES,
                ("无线蓝牙耳机 Pro", "无线蓝牙耳机 Lite", "有线耳机", "头戴式耳机 降噪"),
                strict=True,
            )
        ),
        599.0,
        ("声海",),
        ("蓝牙",),
    ),
    "cameras": Shelf(
        ("电子产品", "摄影", "相机"),
        dict(zip(CAMERAS, ("微单相机 A7", "微单相机 R6", "拍立得相机"), strict=True)),
        6999.0,
        ("光影",),
    ),
    "cards": Shelf(
        ("电子产品", "摄影", "存储卡"),
        dict(zip(CARDS, ("SD 存储卡 64G", "SD 存储卡 128G", "SD 存储卡 256G", "SD 存储卡 512G"), strict=True)),
        129.0,
        ("光影", "速存"),
    ),
    "milk": Shelf(("食品", "早餐", "牛奶"), _named("鲜牛奶", ("原", "低脂", "高钙", "草莓")), 12.0, ("牧场", "晨光")),
    "bread": Shelf(
        ("食品", "早餐", "面包"), _named("吐司面包", ("全麦", "奶香", "红豆", "蒜香")), 9.0, ("晨光", "麦田")
    ),
    "coffee": Shelf(("食品", "早餐", "咖啡"), _named("挂耳咖啡", ("深烘", "中烘", "拿铁", "摩卡")), 39.0, ("山谷",)),
    "crisps": Shelf(("食品", "零食", "薯片"), _named("薯片", ("原", "番茄", "烧烤", "海苔")), 8.0, ("脆脆",)),
    "chocolate": Shelf(("食品", "零食", "巧克力"), _named("巧克力", ("黑", "牛奶", "榛子", "抹茶")), 25.0, ("可可",)),
    "nuts": Shelf(("食品", "零食", "坚果"), _named("坚果", ("盐焗", "原", "蜂蜜")), 35.0, ("果园",)),
    "tissues": Shelf(
        ("家居", "清洁", "纸巾"),
        {WEEKLY_ITEM: "抽纸 3层 100抽", "纸巾/4层": "抽纸 4层 80抽", "kitchen roll": "厨房纸 Kitchen Roll"},
        19.0,
        ("洁柔雨",),
    ),
    "detergent": Shelf(
        ("家居", "清洁", "洗衣液"), _named("洗衣液", ("薰衣草", "茉莉", "无香")), 45.0, ("洁柔雨", "蓝天")
    ),
    "wallets": Shelf(
        ("手工", "皮具", "钱包"),
        _named("手工皮具 钱包", ("植鞣", "疯马", "编织", "复古", "迷你", "长款"), "钱包"),
        188.0,
        ("匠心",),
        ("手工", "真皮", "小众"),
    ),
    "belts": Shelf(
        ("手工", "皮具", "皮带"),
        _named("手工皮具 皮带", ("植鞣", "疯马", "编织", "窄版", "复古"), "皮带"),
        158.0,
        ("匠心",),
        ("手工", "真皮", "小众"),
    ),
    "leather tools": Shelf(
        ("手工", "皮艺工具", "工具"),
        _named("皮艺工具 Leather Tools", ("菱斩", "裁刀", "蜡线", "边油", "削薄刀", "染料"), "皮艺"),
        66.0,
        ("匠心", "工坊"),
        ("手工", "小众"),
    ),
    "tea": Shelf(("食品", "茶饮", "绿茶"), _named("明前绿茶", ("龙井", "碧螺春", "毛尖", "云雾")), 88.0, ("茗山",)),
    "toys": Shelf(("玩具", "积木"), _named("积木 Blocks", ("小", "中", "大")), 129.0, ("小树",)),
    "books": Shelf(
        ("图书", "儿童", "绘本"), _named("儿童绘本", ("月亮", "森林", "海洋", "恐龙", "太空")), 29.0, ("小树",)
    ),
}
NEVER_BOUGHT: Final = ("吐司面包-蒜香", "明前绿茶-云雾", "儿童绘本-恐龙", "儿童绘本-太空", "皮艺-边油")
LEATHER: Final = tuple(
    item_id
    for shelf in ("wallets", "belts", "leather tools")
    for item_id in SHELVES[shelf].ids
    if item_id not in NEVER_BOUGHT
)


@dataclass(frozen=True)
class ShopTables:
    """The frames that the shop's `Dataset` is built from, with the columns of `recsys.core.schema` and `color`."""

    events: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame

    def dataset(self) -> Dataset:
        return build_dataset(self.events, self.items, self.users, timezone=TIMEZONE, fingerprint="shop")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A frame of all `columns`, null where a row says nothing."""
    return pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=dict(columns))


def dataset_of(
    events: Sequence[Mapping[str, Any]] = (),
    items: Sequence[Mapping[str, Any]] = (),
    users: Sequence[Mapping[str, Any]] = (),
    timezone: str = TIMEZONE,
) -> Dataset:
    """A dataset of a few rows; an event is a purchase unless it says otherwise."""
    bought = [{"event": "purchase", **event} for event in events]
    frames = table(bought, EVENTS), table(items, ITEMS), table(users, USERS)
    return build_dataset(*frames, timezone=timezone)


def copied_models(models: Path, folder: Path) -> Path:
    """Copy a folder of bundles without its live log: another test may write to that at the same time.

    A copy of a log that is open is no log, and closing a file of it ends SQLite's locks in the whole process.
    """
    ignored = shutil.ignore_patterns("*.sqlite*")
    return Path(shutil.copytree(models, folder, copy_function=shutil.copyfile, ignore=ignored))


def moment(days: float, hour: float = 0.0, timezone: str = TIMEZONE) -> int:
    """Seconds since 1970 of a local hour, `days` after the shop's first day; no zone here changes its clock then."""
    first = datetime.fromtimestamp(START, ZoneInfo(TIMEZONE)).replace(tzinfo=ZoneInfo(timezone))
    return int(first.timestamp() + days * DAY_S + hour * HOUR_S)


def at(seconds: int) -> datetime:
    """An aware moment."""
    return datetime.fromtimestamp(seconds, UTC)


def small_config(seed: int = 0) -> EngineConfig:
    """Settings that fit the shop in a blink."""
    return EngineConfig(
        seed=seed,
        als=ALSConfig(n_factors=16),
        content=ContentConfig(n_dimensions=32),
        hybrid=HybridConfig(n_similar=50),
        copurchase=CopurchaseConfig(list_length=50, n_backoff=50),
        ranker=RankerConfig(
            min_queries=50,
            trees=TreesConfig(n_rounds=30, min_leaf=20),
            pair_trees=TreesConfig(n_rounds=30, min_leaf=20),
        ),
    )


def build_shop(seed: int = 20240304) -> ShopTables:
    """The shop, the same for the same seed."""
    clerk = _Clerk(np.random.default_rng(seed))
    for number, user_id in enumerate(USERS_WITH_HISTORY):
        clerk.groceries(user_id, number)
    for user_id in WEEKLY_SHOPPERS:
        clerk.weekly(user_id)
    for user_id in CAMERA_OWNERS:
        clerk.camera(user_id)
    for user_id in USERS_WITH_HISTORY[::2]:
        clerk.phone(user_id)
    for user_id in LEATHER_FANS:
        clerk.leathercraft(user_id)
    clerk.oddities()
    return ShopTables(table(clerk.rows, EVENTS), _items(), _users())


class _Clerk:
    """Writes down events."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows: list[dict[str, Any]] = []
        self.n_baskets = 0

    def buy(self, user_id: str | None, seconds: int, item_ids: Sequence[str], **extra: Any) -> None:
        self.n_baskets += 1
        who = {"user_id": user_id, "basket_id": f"b{self.n_baskets}"} | extra
        browses = user_id in BROWSERS
        for item_id in dict.fromkeys(item_ids):
            if browses and self.rng.random() < 0.6:
                session = {"user_id": user_id, "item_id": item_id, "session_id": f"s{self.n_baskets}"}
                self._note({**session, "event": "view_item", "timestamp": at(seconds - 300)})
                self._note({**session, "event": "add_to_cart", "timestamp": at(seconds - 120)})
            quantity = float(self.rng.integers(1, 3))
            self._note({**who, "item_id": item_id, "event": "purchase", "timestamp": at(seconds), "quantity": quantity})

    def groceries(self, user_id: str, number: int) -> None:
        """Breakfast in the morning and snacks in the evening, each shopper with favourites."""
        zone = "America/New_York" if user_id == NEW_YORKER else TIMEZONE
        morning = self._favourites(("milk", "bread", "coffee", "tea"))
        evening = self._favourites(("crisps", "chocolate", "nuts", "detergent", "tissues"))
        books = self._favourites(("books", "earphones", "toys"))
        every_days = 40 if user_id in LEATHER_FANS else 8
        for day in range(number % 8, N_DAYS - 1, every_days):
            self.buy(user_id, self._minute(day, 7, zone), self._pick(morning, 3))
            basket = self._pick(evening, 3)
            if self.rng.random() < 0.15:
                basket += self._pick(books, 1)
            self.buy(user_id, self._minute(day + 1, 19, zone), basket)

    def weekly(self, user_id: str) -> None:
        for day in range(3, N_DAYS - 6, 7):
            self.buy(user_id, moment(day, 12), [WEEKLY_ITEM])

    def camera(self, user_id: str) -> None:
        """A camera with a card in the basket, further cards in the weeks after."""
        day = int(self.rng.integers(20, 70))
        self.buy(user_id, self._minute(day, 14), [str(self.rng.choice(CAMERAS)), str(self.rng.choice(CARDS))])
        for later in (4, 9, 15, 22):
            self.buy(user_id, self._minute(day + later, 14), [str(self.rng.choice(CARDS))])

    def phone(self, user_id: str) -> None:
        day = int(self.rng.integers(5, 100))
        accessories = [str(self.rng.choice(CASES)), str(self.rng.choice(CHARGERS))]
        self.buy(user_id, self._minute(day, 15), [str(self.rng.choice(PHONES)), *accessories])
        self.buy(user_id, self._minute(day + 10, 15), [str(self.rng.choice(CASES))])

    def leathercraft(self, user_id: str) -> None:
        for day in range(10, N_DAYS - 5, 18):
            self.buy(user_id, self._minute(day, 16), self._pick(list(LEATHER), 2))

    def oddities(self) -> None:
        """What is rare in a shop but happens."""
        user_id = USERS_WITH_HISTORY[20]
        for day in (30, 60, 90):
            self.buy(user_id, self._minute(day, 10), [ORPHANS[0], ORPHANS[1], "薯片-原"])
            self.buy(None, self._minute(day, 11), ["薯片-原", "巧克力-黑"])
            self.buy(None, self._minute(day, 12), ["薯片-原", "坚果-原"], visitor_id=VISITOR)
            self.buy(user_id, self._minute(day, 13), ["明前绿茶-龙井"], basket_id=None)
            self.buy(OPTED_OUT, self._minute(day, 18), ["薯片-原", "巧克力-黑"])
        seconds = self._minute(95, 10)
        for event in ("refund", "remove_from_cart", "add_to_wishlist", "begin_checkout", "view_item_list"):
            row = {"item_id": "洗衣液-茉莉", "event": event, "user_id": user_id, "timestamp": at(seconds)}
            self._note(row)

    def _note(self, row: dict[str, Any]) -> None:
        self.rows.append({"event_id": f"e{len(self.rows)}", **row})

    def _favourites(self, shelves: Sequence[str]) -> list[str]:
        chosen = [
            item_id
            for name in shelves
            for item_id in self.rng.permutation([i for i in SHELVES[name].ids if i not in NEVER_BOUGHT])[:2]
        ]
        return [str(item_id) for item_id in chosen]

    def _pick(self, item_ids: list[str], n: int) -> list[str]:
        return [str(item_id) for item_id in self.rng.choice(item_ids, n, replace=False)]

    def _minute(self, day: int, hour: int, zone: str = TIMEZONE) -> int:
        """A minute within the two hours from `hour`."""
        return moment(day, hour, zone) + 60 * int(self.rng.integers(0, 120))


def _items() -> pl.DataFrame:
    rows = [
        {
            "item_id": item_id,
            "item_group_id": VARIANTS.get(item_id),
            "title": title,
            "category": list(shelf.path),
            "tags": list(shelf.tags) or None,
            "brand": shelf.brands[place % len(shelf.brands)],
            "price": round(shelf.price * (1 + 0.1 * place), 2),
            "currency": "CNY",
            "available": item_id != UNAVAILABLE,
            "created_at": at(START - 30 * DAY_S),
            "color": ("黑色", "白色", None)[place % 3],
        }
        for shelf in SHELVES.values()
        for place, (item_id, title) in enumerate(shelf.titles.items())
    ]
    return table(rows, ITEMS | {"color": pl.String()})


def _users() -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {"user_id": user_id, "tags": ["会员"] if number % 2 else None}
        for number, user_id in enumerate(USERS_WITH_HISTORY[:50])
    ]
    rows += [{"user_id": SILENT_USER}, {"user_id": OPTED_OUT, "personalization": False}]
    for row in rows:
        if row["user_id"] == NEW_YORKER:
            row["timezone"] = "America/New_York"
    return table(rows, USERS)
