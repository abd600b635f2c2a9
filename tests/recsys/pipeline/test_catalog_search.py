"""Search of items and users, against a scan of all of them."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import SESSION
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline import catalog_search
from recsys.pipeline.catalog_search import ItemSearch, folded, users_with_prefix

WORDS = st.lists(
    st.sampled_from(["手机", "星辰", "case", "CASE", "咖啡", "味", "phone", "2", "ｐhone", "x", "-", "纸"]), max_size=3
)


@pytest.fixture(scope="module")
def search(shop_engine: Engine) -> ItemSearch:
    return ItemSearch.of(shop_engine)


def scan(engine: Engine, query: str) -> set[int]:
    brands = engine.items_table["brand"].fill_null("").to_list()
    texts = [folded(f"{engine.items.ids[row]}\n{engine.titles[row]}\n{brands[row]}") for row in range(engine.n_items)]
    return {row for row, text in enumerate(texts) if all(word in text for word in folded(query).split())}


@given(WORDS)
def test_a_search_finds_what_a_scan_finds(search: ItemSearch, shop_engine: Engine, words: list[str]) -> None:
    found = search.find(shop_engine, " ".join(words), 1000)
    assert found.is_complete
    assert len(found.item_idx) == len(set(found.item_idx))
    assert set(found.item_idx) == scan(shop_engine, " ".join(words))


def test_the_best_sellers_come_first(search: ItemSearch, shop_engine: Engine) -> None:
    assert search.find(shop_engine, "", 5).item_idx == shop_engine.by_popularity[:5].tolist()
    ranks = {row: rank for rank, row in enumerate(shop_engine.by_popularity.tolist())}
    found = [ranks[row] for row in search.find(shop_engine, "手机", 3).item_idx]
    assert found == sorted(found)
    assert search.find(shop_engine, "phone-3", 3).item_idx[0] == shop_engine.items.row("phone-3")


def test_case_width_and_composition_do_not_count(search: ItemSearch, shop_engine: Engine) -> None:
    plain = search.find(shop_engine, "slim case", 9).item_idx
    assert plain
    assert (
        plain
        == search.find(shop_engine, "ＳＬＩＭ　Case", 9).item_idx
        == search.find(shop_engine, "CASE sLim", 9).item_idx
    )
    assert search.find(shop_engine, "no such thing", 9).item_idx == []
    assert search.find(shop_engine, "\ud800", 9).item_idx == []


def test_comparisons_are_bounded(search: ItemSearch, shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_search, "MAX_COMPARED", 3)
    found = search.find(shop_engine, "味 q", 9)
    assert (found.item_idx, found.is_complete) == ([], False)


def test_changes_of_the_live_log_are_found_at_once(shop_engine: Engine) -> None:
    search, live = ItemSearch.of(shop_engine), LiveView(shop_engine)

    def apply(seq: int, kind: str, key: str, body: dict[str, object]) -> None:
        live.apply([StoredEntry(seq, LogEntry(kind, key, 1.0, 1.0, body))])  # type: ignore[arg-type]

    def found(query: str) -> list[str]:
        return [live.engine.items.ids[row] for row in search.find(live.engine, query, 9).item_idx]

    assert found("手工皮革钱包") == []
    apply(1, "item_put", "new-1", {"title": "手工皮革钱包", "brand": "匠心"})
    assert found("手工皮革钱包") == found("匠心 new-1") == ["new-1"]
    apply(2, "item_patch", "phone-3", {"title": "另一部手机"})
    assert (found("另一部"), "phone-3" in found("远山手机")) == (["phone-3"], False)
    apply(3, "item_delete", "phone-3", {})
    assert found("另一部") == found("phone-3") == []
    apply(4, "item_put", "phone-3", {"title": "远山手机 Max"})
    assert found("远山手机 max") == ["phone-3"]


def test_users_by_the_beginning_of_their_ids(shop_engine: Engine) -> None:
    ids = shop_engine.users.ids
    for prefix in ("", "u", "u01", "u010", "用户", "zzz"):
        expected = [user_id for user_id in ids if user_id.startswith(prefix) and not user_id.startswith(SESSION)]
        assert users_with_prefix(ids, prefix, 1000, lambda _: False) == expected
    assert users_with_prefix(ids, "u", 3, lambda user_id: user_id == "u005") == ["u006", "u007", "u008"]
    many = [f"{SESSION}{n:05d}" for n in range(20_000)] + ["a"]
    assert users_with_prefix(many, "", 3, lambda _: False) == ["a"], "sessions are no users"


def test_a_rare_word_in_many_items_takes_milliseconds(shop_engine: Engine) -> None:
    """92,000 items with titles of 60 bytes; the slowest search is for what is in none of them."""
    text = "手机壳 item title with several words and a number {} 星辰\n".format
    parts = [text(number).encode() + b"\0" for number in range(92_000)]
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    starts = np.concatenate([[0], lengths.cumsum()])[:-1]
    large = ItemSearch(b"".join(parts), starts, np.zeros(len(parts), np.int32))
    took = []
    for query in ("zebra", "星辰手机", "91999x", "words number") * 3:
        started = perf_counter()
        large.find(shop_engine, query, 20)
        took.append(perf_counter() - started)
    assert min(took) < 0.01
    assert sorted(took)[len(took) // 2] < 0.1
