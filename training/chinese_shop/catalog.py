"""The goods of the generated shop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

N_PHONES: Final = 8
STAGES: Final = ("1段", "2段", "3段")
SIZES: Final = ("NB码", "S码", "M码", "L码", "XL码")
MILK_BRANDS: Final = ("贝恩", "优乐", "牧蓝", "金禾")
NAPPY_BRANDS: Final = ("柔安", "好梦", "云朵", "暖芽")
N_OUTFITS: Final = 4
NEW: Final = "new"
"""Group of items that are not sold yet."""


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        group: goods that are drawn together, such as `night`.
        path: category path.
        title: as the shop shows it.
        brand: its brand.
        price: its list price.
        tags: its tags.
    """

    group: str
    path: tuple[str, ...]
    title: str
    brand: str
    price: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Goods:
    """All items; rows are positions in `items`."""

    items: tuple[Item, ...]

    @cached_property
    def of_group(self) -> Mapping[str, Rows]:
        """The rows of each group, int64."""
        groups = np.array([item.group for item in self.items])
        return {str(name): np.flatnonzero(groups == name) for name in dict.fromkeys(groups.tolist())}

    @cached_property
    def price(self) -> npt.NDArray[np.float64]:
        """The list prices, float64 (n_items,)."""
        return np.array([item.price for item in self.items])

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids, such as `night-003`."""
        number: dict[str, int] = {}
        found = []
        for item in self.items:
            number[item.group] = number.get(item.group, 0) + 1
            found.append(f"{item.group}-{number[item.group]:03d}")
        return tuple(found)


def build_goods() -> Goods:
    """Build the catalog; it is the same for every seed."""
    return Goods((*_phones(), *_baby(), *_food(), *_leather(), *_clothes(), *_home(), *_seasonal(), *_new()))


def _phones() -> Iterator[Item]:
    brands = ("星辰", "远山", "云帆", "极光")
    names = [f"{brands[n % 4]}手机 {n // 4 + 1}{'代 Pro' if n % 2 else '代'}" for n in range(N_PHONES)]
    for n, name in enumerate(names):
        yield Item("phone", ("电子产品", "手机", "智能手机"), name, brands[n % 4], 1999.0 + 500 * n, ("5G",))
    for n, name in enumerate(names):
        yield Item("case", ("电子产品", "手机配件", "手机壳"), f"{name} 手机壳 磨砂", brands[n % 4], 59.0, ("防摔",))
    for name in names:
        yield Item("film", ("电子产品", "手机配件", "钢化膜"), f"{name} 钢化膜 两片装", "护屏", 29.0)
    for watt in (20, 33, 67):
        yield Item("charger", ("电子产品", "手机配件", "充电器"), f"快充充电器 {watt}W", "电友", 49.0 + watt)


def _baby() -> Iterator[Item]:
    for brand in MILK_BRANDS:
        for n, stage in enumerate(STAGES):
            title = f"{brand}婴儿配方奶粉 {stage} 900克"
            yield Item("milk_powder", ("母婴", "奶粉", "婴儿奶粉"), title, brand, 268.0 - 10 * n, (stage, "宝宝"))
    for brand in NAPPY_BRANDS:
        for n, size in enumerate(SIZES):
            title = f"{brand}纸尿裤 {size} 超薄透气"
            yield Item("nappies", ("母婴", "尿裤", "纸尿裤"), title, brand, 99.0 + 5 * n, (size, "宝宝"))
    for brand in NAPPY_BRANDS[:3]:
        yield Item("wipes", ("母婴", "护理", "湿巾"), f"{brand}婴儿湿巾 80抽", brand, 15.9, ("宝宝",))


def _food() -> Iterator[Item]:
    morning = {"鲜牛奶": ("牧场", 12.0, 5), "吐司面包": ("麦田", 9.9, 6), "挂耳咖啡": ("山谷", 39.0, 4)}
    night = {
        "薯片": ("脆脆", 8.5, 6),
        "混合坚果": ("果园", 35.0, 5),
        "巧克力": ("可可", 25.0, 5),
        "辣条": ("川味", 5.5, 4),
        "方便面": ("面将", 6.5, 4),
    }
    plain, spicy = ("原味", "低糖", "高钙", "草莓", "全麦", "红豆"), ("原味", "香辣", "海苔", "烧烤", "蜂蜜", "番茄")
    for group, types, tag, tastes in (("morning", morning, "早餐", plain), ("night", night, "夜宵", spicy)):
        for name, (brand, price, n) in types.items():
            for taste in tastes[:n]:
                yield Item(group, ("食品", tag, name), f"{name} {taste}", brand, price, (tag, taste))


def _leather() -> Iterator[Item]:
    types = {"皮料": (88.0, 6), "手缝工具": (45.0, 6), "蜡线": (18.0, 4), "皮具套件": (159.0, 6)}
    for name, (price, n) in types.items():
        for number in range(1, n + 1):
            yield Item("leather", ("手工", "皮艺", name), f"植鞣{name} {number}号", "匠心", price, ("手工", "小众"))


def _clothes() -> Iterator[Item]:
    types = {"top": ("上装", 129.0, 10), "bottom": ("下装", 159.0, 8), "accessory": ("配饰", 49.0, 6)}
    for group, (name, price, n) in types.items():
        for number in range(1, n + 1):
            yield Item(group, ("服装", "女装", name), f"{name} 新款{number}号", "素衣", price + 10 * number, ("穿搭",))


def _home() -> Iterator[Item]:
    types = ("抽纸", "洗衣液", "牙膏", "垃圾袋", "洗洁精", "毛巾", "衣架", "电池")
    for name in types:
        for number in range(1, 6):
            yield Item("home", ("家居", "日用", name), f"{name} {number}号装", f"家{number}", 9.9 + 4 * number)


def _seasonal() -> Iterator[Item]:
    for number in range(1, 7):
        yield Item("mooncakes", ("食品", "节令", "月饼"), f"月饼礼盒 {number}号", "明月", 98.0 + 20 * number, ("中秋",))
    for number in range(1, 7):
        yield Item("gifts", ("礼品", "节日", "礼盒"), f"情人礼盒 {number}号", "花间", 159.0 + 20 * number, ("七夕",))
    for number in (1, 2):
        yield Item("dehumidifiers", ("家电", "空气", "除湿机"), f"家用除湿机 {number}号", "清风", 899.0, ("回南天",))
    for number in (1, 2):
        yield Item("humidifiers", ("家电", "空气", "加湿器"), f"静音加湿器 {number}号", "清风", 199.0, ("供暖季",))


def _new() -> Iterator[Item]:
    """Items of the last four weeks that nobody has bought yet, in the style of others."""
    for number in (7, 8):
        yield Item(NEW, ("手工", "皮艺", "皮料"), f"植鞣皮料 {number}号 新品", "匠心", 98.0, ("手工", "小众", "新品"))
        yield Item(NEW, ("食品", "夜宵", "薯片"), f"薯片 限定口味{number}", "脆脆", 9.5, ("夜宵", "新品"))
        yield Item(NEW, ("服装", "女装", "上装"), f"上装 春夏新款{number}号", "素衣", 199.0, ("穿搭", "新品"))
