from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from recsys.fitting.engine import Engine
from recsys.pipeline.user_segments import all_segments
from recsys.planner.life_stages import NO_STAGE, life_stages
from recsys.segments.life_cycle import STAGES
from recsys.segments.table import NO_SEGMENTS
from tests.shop import SILENT_USER, USERS_WITH_HISTORY


def test_stages_are_those_of_the_segments(shop_engine: Engine) -> None:
    now = shop_engine.dataset_info.end
    users = [*USERS_WITH_HISTORY, SILENT_USER, "stranger"]
    table = dict(all_segments(shop_engine, now).select("user_id", "life_cycle").iter_rows())
    expected = [NO_STAGE if table.get(user) is None else STAGES.index(table[user]) for user in users]
    assert life_stages(shop_engine, users, now).tolist() == expected
    assert len(set(expected)) > 1


def test_without_segments_there_are_none(shop_engine: Engine) -> None:
    bare = replace(shop_engine, segments=NO_SEGMENTS)
    now = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp())
    assert life_stages(bare, USERS_WITH_HISTORY[:2], now).tolist() == [NO_STAGE] * 2
    assert life_stages(shop_engine, [], now).tolist() == []
