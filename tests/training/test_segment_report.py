"""The numbers of a table of segments."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.schema import SEGMENTS
from recsys.pipeline.recommender import Recommender
from tests.shop import USERS_WITH_HISTORY
from training.segment_report import check_out, report_segments, write_segments

ROWS = [
    {"user_id": "a", "life_cycle": "active", "is_high_value": True, "churn_probability": 0.2, "lifetime_value": 30.0},
    {"user_id": "b", "life_cycle": "active", "is_slowing": True, "churn_probability": 0.4, "interests": ["茶", "杯"]},
    {"user_id": "c", "life_cycle": "lost"},
    {"user_id": "d"},
]


def _table(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user_id": pl.String(), **SEGMENTS})


def test_stages_are_counted_in_the_order_of_the_rules(shop_models: Path) -> None:
    recommender = Recommender.of_bundle(shop_models)
    report = report_segments(recommender, _table(ROWS), "now", None)
    lost, active, unknown = report.stages
    assert [each.life_cycle for each in report.stages] == ["lost", "active", "unknown"]
    assert (active.n_users, active.share, active.n_high_value, active.n_slowing) == (2, 0.5, 1, 1)
    assert active.churn_probability == pytest.approx(0.3)
    assert (active.lifetime_value, lost.lifetime_value, lost.churn_probability) == (30.0, None, None)
    assert (unknown.n_users, report.n_users, report.known["interests"]) == (1, 4, 1)
    assert report_segments(recommender, _table([]), "now", None).stages == ()


def test_lists_are_joined_in_csv(tmp_path: Path) -> None:
    write_segments(_table(ROWS), tmp_path / "new" / "s.CSV")
    assert pl.read_csv(tmp_path / "new" / "s.CSV")["interests"].to_list() == [None, "茶 | 杯", None, None]


def test_other_endings_are_refused() -> None:
    check_out(None)
    with pytest.raises(ConfigError, match=r"expected a file that ends in \.parquet or \.csv"):
        check_out(Path("s.json"))


def test_the_segments_of_a_bundle_follow_the_moment(shop_models: Path) -> None:
    recommender = Recommender.of_bundle(shop_models)
    early = recommender.segments(as_of=datetime(2024, 3, 20, tzinfo=UTC))
    assert set(early["life_cycle"].drop_nulls()) <= {"new_visitor", "new_week", "new_month"}
    some = recommender.segments(user_ids=[USERS_WITH_HISTORY[3], "nobody", USERS_WITH_HISTORY[1]])
    assert some["user_id"].to_list() == [USERS_WITH_HISTORY[3], USERS_WITH_HISTORY[1]]
    whole = recommender.segments()
    for user_id in some["user_id"]:
        assert some.filter(user_id=user_id).equals(whole.filter(user_id=user_id))
