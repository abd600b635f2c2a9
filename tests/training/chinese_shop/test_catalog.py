from __future__ import annotations

from training.chinese_shop.catalog import NEW, STAGES, build_goods


def test_ids_are_unique_and_groups_are_consecutive() -> None:
    goods = build_goods()
    assert len(set(goods.ids)) == len(goods.items) == sum(map(len, goods.of_group.values()))
    for rows in goods.of_group.values():
        assert rows.tolist() == list(range(rows[0], rows[-1] + 1))


def test_every_item_has_a_chinese_title_a_type_and_a_price() -> None:
    goods = build_goods()
    for item in goods.items:
        assert any("\u4e00" <= sign <= "\u9fff" for sign in item.title)
        assert len(item.path) == 3
        assert item.price > 0
    assert len({item.title for item in goods.items}) == len(goods.items)


def test_a_phone_has_its_own_case_and_film() -> None:
    goods = build_goods()
    for kind in ("case", "film"):
        for phone, part in zip(goods.of_group["phone"], goods.of_group[kind], strict=True):
            assert goods.items[part].title.startswith(goods.items[phone].title)


def test_stages_are_tags_and_new_items_are_marked() -> None:
    goods = build_goods()
    stages = [goods.items[row].tags[0] for row in goods.of_group["milk_powder"]]
    assert stages == list(STAGES) * 4
    assert all("新品" in goods.items[row].tags for row in goods.of_group[NEW])
