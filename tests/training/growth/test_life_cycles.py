from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.pipeline.recommender import Recommender
from recsys.segments.table import NO_SEGMENTS
from tests.jobs import write_shop
from tests.shop import OPTED_OUT, ShopTables
from training.growth.config import GrowthConfig
from training.growth.life_cycles import stage_of_people, stages
from training.growth.reports import growth_report, retention_report


@pytest.fixture(scope="module")
def recommender(shop_models: Path) -> Recommender:
    return Recommender.of_bundle(shop_models)


def test_every_user_is_in_one_stage(recommender: Recommender) -> None:
    as_of = datetime.fromtimestamp(recommender.data_end, UTC)
    found = stages(recommender, as_of)
    table = recommender.segments(as_of=as_of).drop_nulls("life_cycle")
    assert found is not None
    assert sum(each.people for each in found) == len(table)
    assert [each.people for each in found] == sorted((each.people for each in found), reverse=True)
    assert sum(each.slowing for each in found) == table["is_slowing"].sum()
    lost = stages(recommender, as_of + timedelta(days=400))
    assert lost is not None
    assert [each.name for each in lost] == ["lost"]


def test_without_segments_there_are_no_stages(recommender: Recommender) -> None:
    without = replace(recommender, engine=replace(recommender.engine, segments=NO_SEGMENTS))
    moment = datetime(2024, 7, 1, tzinfo=UTC)
    for each in (None, without):
        assert stages(each, moment) is None
        assert stage_of_people(each, moment) is None


def test_both_reports_know_the_stages_of_the_same_people(
    shop_tables: ShopTables, shop_models: Path, recommender: Recommender, tmp_path: Path
) -> None:
    data = write_shop(shop_tables, tmp_path / "data")
    kept = retention_report(data, GrowthConfig(), models=shop_models)
    assert kept.life_cycles
    grown = growth_report(data, GrowthConfig(), models=shop_models)
    assert grown.life_cycles
    window = grown.facts.window
    table = stage_of_people(recommender, datetime(window.first.year, window.first.month, window.first.day, tzinfo=UTC))
    assert table is not None
    assert {group.name for group in grown.life_cycles} - {""} <= set(table["life_cycle"])
    assert sum(group.people for group in grown.life_cycles) == grown.window.people
    named = sum(group.people for group in grown.life_cycles if group.name)
    assert named > 0.8 * grown.window.people
    assert OPTED_OUT not in recommender.segments()["user_id"]
