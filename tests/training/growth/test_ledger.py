from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys.core.placements import PLACEMENTS
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.training.growth.planted import START, event, write_tables
from training.growth.config import GrowthConfig
from training.growth.history import ShopHistory, read_history
from training.growth.ledger import head_items, ledger

CONFIG = GrowthConfig(window_days=14)


def shop(folder: Path, *, with_dates: bool = True) -> ShopHistory:
    """Before the window, `hit` sells as much as all others; in it, 6 of 10 lines are of the tail and 2 of `fresh`."""
    rows = [event("u", "purchase", n, "hit" if n % 2 else f"t{n}", basket_id=f"a{n}") for n in range(20)]
    rows += [event("u", "purchase", 30 + k, "hit", basket_id=f"b{k}") for k in range(4)]
    rows += [event("u", "purchase", 34 + k, "fresh" if k < 2 else f"t{k}", basket_id=f"c{k}") for k in range(6)]
    rows.append(event("v", "view_item", 41.9))
    items = [{"item_id": "fresh", "created_at": START + timedelta(days=25)}, {"item_id": "hit", "created_at": START}]
    return read_history(write_tables(folder, rows, items if with_dates else [{"item_id": "hit"}]))


def test_the_head_is_the_fewest_items_with_half_of_the_lines() -> None:
    lines = pl.DataFrame({"item_id": ["a"] * 5 + ["b"] * 3 + ["c", "d"]})
    assert head_items(lines, 0.5) == {"a"}
    assert head_items(lines, 0.51) == {"a", "b"}
    assert head_items(lines.clear(), 0.5) == frozenset()


def test_what_sells_of_each_part(tmp_path: Path) -> None:
    history = shop(tmp_path)
    tail, new = ledger(history, history.observed.last(14), CONFIG, PLACEMENTS)
    assert tail.sold is not None
    assert tail.sold.value == 0.6
    assert new.sold is not None
    assert new.sold.value == 0.2
    assert (tail.n_items, tail.n_catalog, new.n_items) == (13, 14, 1)
    assert tail.promised["long_tail"] == 1.0
    assert tail.promised["discover"] == PLACEMENTS["discover"].tail_share
    assert new.promised["for_you"] == PLACEMENTS["for_you"].new_share
    assert tail.exposures == new.exposures == ()
    given, _ = ledger(history, history.observed.last(14), CONFIG, {}, head=frozenset({"fresh", "t2", "t3", "t4", "t5"}))
    assert given.sold is not None
    assert given.sold.value == 0.4


def test_items_without_dates_are_not_known_to_be_new(tmp_path: Path) -> None:
    history = shop(tmp_path, with_dates=False)
    _, new = ledger(history, history.observed.last(14), CONFIG, PLACEMENTS)
    assert (new.n_items, new.sold, new.exposures) == (None, None, ())


def test_lists_of_the_log(tmp_path: Path) -> None:
    history = shop(tmp_path)
    at = (START + timedelta(days=35)).timestamp()
    body = {
        "placement": "discover",
        "model_version": "v",
        "items": [{"item_id": each} for each in ("hit", "t2", "fresh", "t9")],
    }
    with closing(SqliteStore(tmp_path / "store.sqlite")) as log:
        log.append([LogEntry("impression", "r", at, at, body), LogEntry("impression", "s", 0.0, 0.0, body)])
        tail, new = ledger(history, history.observed.last(14), CONFIG, PLACEMENTS, log=log)
    assert [(each.placement, each.impressions, each.shown.value) for each in tail.exposures] == [("discover", 4, 0.75)]
    assert [each.shown.value for each in new.exposures] == [0.25]
