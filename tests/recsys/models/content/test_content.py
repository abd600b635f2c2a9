from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from recsys.fitting.engine import Engine
from recsys.models.content.content import ContentConfig, ContentModel, fit_content
from tests.shop import SHELVES, table

CHINESE: dict[str, tuple[str, ...]] = {
    "手机壳": ("手机壳", "手机保护壳"),
    "数据线": ("手机数据线", "快充数据线"),
    "手表": ("智能手表", "运动手表"),
    "耳机": ("蓝牙耳机", "降噪耳机"),
    "保温杯": ("保温杯", "不锈钢保温杯"),
    "茶杯": ("陶瓷茶杯", "玻璃茶杯"),
    "绿茶": ("明前绿茶", "龙井绿茶"),
    "奶茶": ("速溶奶茶", "袋装奶茶"),
    "牛奶": ("纯牛奶", "低脂牛奶"),
    "洗面奶": ("氨基酸洗面奶", "控油洗面奶"),
    "钱包": ("真皮钱包", "手工皮具钱包"),
    "皮带": ("真皮皮带", "手工皮带"),
    "面包": ("全麦面包", "手撕面包"),
    "书包": ("儿童书包", "双肩书包"),
    "绘本": ("儿童绘本", "睡前绘本"),
}
WORDS = ("新款", "高级", "大容量", "家用", "限量版", "Pro", "学生", "可爱", "送礼", "便携")
BRANDS = ("星辰", "远山", "小树", "Acme", "茗山")


def _chinese_shop() -> tuple[pl.DataFrame, np.ndarray]:
    """Titles alone, fifteen kinds of goods: nothing else is said of them, and the words around them are shared."""
    rng = np.random.default_rng(7)
    titles, kinds = [], []
    for kind, (names, _) in enumerate(product(CHINESE.values(), range(12))):
        first, second = rng.choice(WORDS, 2, replace=False)
        titles.append(f"{rng.choice(BRANDS)} {first}{rng.choice(names)} {second}{rng.integers(1, 9)}号")
        kinds.append(kind // 12)
    rows = [{"item_id": f"商品{n}", "title": title} for n, title in enumerate(titles)]
    return table(rows, ITEMS), np.array(kinds)


def _fit(items: pl.DataFrame, config: ContentConfig | None = None, seed: int = 0) -> ContentModel:
    return fit_content(items, config or ContentConfig(n_dimensions=8), np.random.default_rng(seed))


def test_hand_computed_features() -> None:
    """Two of four items share a brand, two a tag: idf is `ln(4/2) + .05` in either block, times the block's weight."""
    rows = [
        {"item_id": "a", "brand": "甲", "tags": ["红"]},
        {"item_id": "b", "brand": "甲"},
        {"item_id": "c", "tags": ["红", "only here"]},
        {"item_id": "d"},
    ]
    model = _fit(table(rows, ITEMS), ContentConfig(brand_weight=0.6, tag_weight=0.8, n_dimensions=2))
    assert model.vocabulary == ("brand:甲", "tag:红")
    idf = np.log(2) + 0.05
    np.testing.assert_allclose(model.feature_weight, [0.6 * idf, 0.8 * idf], rtol=1e-6)
    expected = [[0.6, 0.8], [1, 0], [0, 1], [0, 0]]
    np.testing.assert_allclose(model.features.toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(model.similarity(0, np.arange(4, dtype=np.int32)), [1, 0.6, 0.8, 0], atol=1e-6)


def test_levels_of_a_path_are_features_of_their_own() -> None:
    rows = [{"item_id": str(n), "category": ["食品", kind]} for n, kind in enumerate("茶茶酒酒")]
    model = _fit(table(rows, ITEMS))
    assert model.vocabulary == ("category1:食品", "category2:食品 > 茶", "category2:食品 > 酒")
    cosine = model.similarity(0, np.arange(4, dtype=np.int32))
    assert cosine[1] == pytest.approx(1)
    assert 0 < cosine[2] < 0.1


values = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.sampled_from(["甲", "乙"]),
        "tags": st.lists(st.sampled_from(["红", "绿"]), max_size=2),
        "category": st.lists(st.sampled_from(["食品", "茶"]), max_size=2),
        "title": st.sampled_from(["绿茶 Tea", "红茶", ""]),
        "price": st.sampled_from([0.0, 1.0, 64.0]),
    },
)


@given(st.lists(values, min_size=1, max_size=8))
def test_cosines_are_those_of_bags_of_features(rows: list[dict[str, Any]]) -> None:
    """The reference writes each item's features into a dictionary."""
    items = table([{"item_id": str(n), **row} for n, row in enumerate(rows)], ITEMS)
    model = _fit(items, ContentConfig(n_dimensions=4))
    weights = dict(zip(model.vocabulary, model.feature_weight.tolist(), strict=True))
    bags = [{name: weights[name] for name in _features_of(row) if name in weights} for row in rows]
    for i, one in enumerate(bags):
        cosines = model.similarity(i, np.arange(len(rows), dtype=np.int32))
        for j, other in enumerate(bags):
            product_ = sum(value * other.get(name, 0) for name, value in one.items())
            length = (sum(v * v for v in one.values()) * sum(v * v for v in other.values())) ** 0.5
            assert cosines[j] == pytest.approx(product_ / length if length else 0, abs=1e-5)


def _features_of(row: dict[str, Any]) -> set[str]:
    path = row.get("category", [])
    found = {f"category{n + 1}:{' > '.join(path[: n + 1])}" for n in range(len(path))}
    found |= {f"tag:{tag}" for tag in row.get("tags", [])}
    found |= {
        "绿茶 Tea": {"title:绿茶", "title:tea"},
        "红茶": {"title:红茶"},
    }.get(row.get("title", ""), set())
    if row.get("price"):
        found.add(f"price:{round(np.log2(row['price']))}")
    if "brand" in row:
        found.add(f"brand:{row['brand']}")
        if path:
            found.add(f"cross:{' > '.join(path)} × {row['brand']}")
    return found


def test_the_embedding_is_the_best_of_its_rank() -> None:
    """The reference is numpy's dense singular value decomposition."""
    items, _ = _chinese_shop()
    model = _fit(items, ContentConfig(n_dimensions=16))
    dense = model.features.toarray().astype(np.float64)
    singular = np.linalg.svd(dense, compute_uv=False)
    captured = np.linalg.norm(dense @ model.projection) ** 2
    np.testing.assert_allclose(model.projection.T @ model.projection, np.eye(16), atol=1e-5)
    assert captured <= (singular[:16] ** 2).sum() * (1 + 1e-5)
    assert captured >= 0.97 * (singular[:16] ** 2).sum()
    np.testing.assert_allclose(np.linalg.norm(model.embedding, axis=1), 1, atol=1e-5)


def test_new_items_are_embedded_like_equal_items(shop_engine: Engine) -> None:
    table_ = shop_engine.items_table
    np.testing.assert_allclose(shop_engine.content.embed(table_), np.asarray(shop_engine.content.embedding), atol=2e-5)
    shelf = SHELVES["wallets"]
    new = {"item_id": "新", "title": "手工皮具 钱包 迷你", "category": list(shelf.path), "brand": "匠心"}
    columns = dict(table_.schema)
    cosine = np.asarray(shop_engine.content.embedding) @ shop_engine.content.embed(table([new], columns))[0]
    nearest = [shop_engine.items.ids[row] for row in np.argsort(-cosine)[:4]]
    assert set(nearest) <= set(shelf.ids)
    unheard_of = table([{"item_id": "?", "title": "zzz", "brand": "nobody"}], columns)
    assert not shop_engine.content.embed(unheard_of).any()


def _share_of_own_kind(model: ContentModel, kinds: np.ndarray, k: int = 5) -> float:
    cosine = (model.features @ model.features.T).toarray()
    np.fill_diagonal(cosine, -1)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return float((kinds[nearest] == kinds[:, None]).mean())


def test_chinese_titles_suffice_to_find_similar_items() -> None:
    """Of the five nearest by title, .93 are of the same kind; chance is .06.

    Single characters in place of pairs get .96 on these short titles, both together the same.
    """
    items, kinds = _chinese_shop()
    chance = 11 / (len(kinds) - 1)
    assert _share_of_own_kind(_fit(items), kinds) > 12 * chance


def test_prices_and_attributes_count_and_ids_do_not() -> None:
    columns = ITEMS | {"size": pl.String(), "link": pl.String(), "weight": pl.Float64(), "uses": pl.List(pl.String())}
    rows = [
        {"item_id": str(n), "size": "XL", "link": f"/{n}", "weight": 1.0, "uses": ["送礼", "家用"]} for n in range(6)
    ]
    model = _fit(table(rows, columns), ContentConfig(max_attribute_values=5, n_dimensions=4))
    assert model.vocabulary == ("attribute:size:XL", "attribute:uses:家用", "attribute:uses:送礼")
    shown = fit_content(table(rows, columns), ContentConfig(n_dimensions=4, min_items=1), np.random.default_rng(0))
    assert "attribute:link:/3" in shown.vocabulary


@pytest.mark.parametrize("n_items", [0, 1, 3])
def test_items_without_known_fields_have_no_features(n_items: int) -> None:
    model = _fit(table([{"item_id": str(n)} for n in range(n_items)], ITEMS))
    assert model.embedding.shape == (n_items, 8)
    assert not model.embedding.any()
    assert model.vocabulary == ()
