from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundles.bundle import Manifest, read_manifest
from recsys.bundles.registry import current_version, versions
from recsys.core.errors import DataError
from tests.jobs import NOW, write_shop
from tests.shop import ShopTables, small_config
from training.gate import GateConfig
from training.new_data import judge_data, refuse_collapse
from training.train import train

ROWS = {"events": 110_000, "users": 4_000, "items": 90}
GATE = GateConfig()


def manifest_of(**metrics: Any) -> Manifest:
    fields: dict[str, Any] = dict.fromkeys(Manifest.__dataclass_fields__)
    return Manifest(**fields | {"version": "v1", "metrics": metrics})


def search(value: float, n_held_out: int = 1000, metric: str = "recall@10") -> dict[str, Any]:
    return {"order": "ranker", "metric": metric, "n_held_out": n_held_out, "orders": {"ranker": value, "popularity": 0}}


@pytest.mark.parametrize("name", ROWS)
def test_what_fell_by_more_than_the_share_is_named(name: str) -> None:
    current = manifest_of(rows=ROWS)
    refuse_collapse(ROWS | {name: ROWS[name] // 2}, current, GATE)
    with pytest.raises(DataError) as refused:
        refuse_collapse(ROWS | {name: ROWS[name] // 2 - 1}, current, GATE)
    for part in (f"{name} fell from {ROWS[name]:,} to {ROWS[name] // 2 - 1:,}", "50%", "v1", "--accept-shrink"):
        assert part in str(refused.value)
    assert str(refused.value).count("fell from") == 1
    refuse_collapse(ROWS | {name: 1}, current, replace(GATE, max_shrink=1.0))
    with pytest.raises(DataError):
        refuse_collapse(ROWS | {name: int(ROWS[name] * 0.89)}, current, replace(GATE, max_shrink=0.1))


def test_a_bundle_without_a_table_has_lost_nothing_of_it() -> None:
    refuse_collapse(ROWS | {"users": 0}, manifest_of(rows=ROWS | {"users": 0}), GATE)
    refuse_collapse(ROWS, manifest_of(), GATE)


@pytest.mark.parametrize(
    ("was", "is_now", "decision"),
    [
        (search(0.2), search(0.2), "passed"),
        (search(0.2), search(0.3), "passed"),
        (search(0.2), search(0.15), "passed"),
        (search(0.2), search(0.1), "refused"),
        (search(0.2), search(0.0), "refused"),
        (search(0.2, 12), search(0.1, 12), "passed"),
        (search(0.0), search(0.0), "passed"),
        (search(0.2), search(0.1, metric="ndcg@10"), "skipped"),
        (search(0.2, 0), search(0.1), "skipped"),
    ],
)
def test_a_list_far_worse_than_before_is_refused(was: Any, is_now: Any, decision: str) -> None:
    current = manifest_of(blends={"next": was, "tail": search(0.1)})
    result = judge_data({"blends": {"next": is_now, "new": search(0.0)}}, current, GATE, activate_worse=False)
    assert result.decision == decision
    forced = judge_data({"blends": {"next": is_now}}, current, GATE, activate_worse=True)
    assert forced.decision == ("overridden" if decision == "refused" else decision)
    if decision == "refused":
        for part in ("for_you recall@10", "new data", "Check the export", "--activate-worse"):
            assert part in result.sentence("v2")


def test_a_bundle_of_an_older_release_has_nothing_to_compare() -> None:
    assert (
        judge_data({"blends": {"next": search(0.1)}}, manifest_of(), GATE, activate_worse=False).decision == "skipped"
    )


def test_rankers_are_compared_where_no_weights_were_searched() -> None:
    def rankers(value: float, n_requests: int) -> dict[str, Any]:
        return {"next": {"serves": True, "n_requests": n_requests, "ndcg@10": value, "ndcg@10_of_blend": value / 2}}

    current = manifest_of(rankers=rankers(0.7, 400))
    assert judge_data({"rankers": rankers(0.3, 400)}, current, GATE, activate_worse=False).decision == "refused"
    assert judge_data({"rankers": rankers(0.6, 400)}, current, GATE, activate_worse=False).decision == "passed"
    few = judge_data({"rankers": rankers(0.0, 10)}, current, GATE, activate_worse=False)
    assert few.decision == "skipped", "too few requests for a ranker: nothing was measured"


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_only_a_fall_is_refused(was: float, is_now: float, n: int) -> None:
    current = manifest_of(blends={"next": search(was, n)})
    result = judge_data({"blends": {"next": search(is_now, n)}}, current, GATE, activate_worse=False)
    assert result.decision in ("passed", "refused")
    assert result.decision == "passed" or is_now < 0.7 * was


@pytest.fixture(scope="module")
def healthy(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("healthy")
    data = write_shop(shop_tables, folder / "data")
    train(data, folder / "models", small_config(), now=NOW)
    return data, folder / "models"


def test_a_half_written_export_does_not_replace_a_healthy_shop(
    healthy: tuple[Path, Path], shop_tables: ShopTables, tmp_path: Path
) -> None:
    _, models = healthy
    before = current_version(models), versions(models)
    one = write_shop(replace(shop_tables, events=shop_tables.events.head(1)), tmp_path / "one")
    with pytest.raises(DataError, match="events fell from"):
        train(one, models, small_config(), now=NOW + timedelta(days=1), gate=replace(GATE, enabled=False))
    assert (current_version(models), versions(models)) == before
    report = train(one, tmp_path / "models", small_config(), now=NOW)
    assert report.is_new, "a first bundle has nothing to compare with"


def test_a_shrink_that_is_meant_is_accepted(
    healthy: tuple[Path, Path], shop_tables: ShopTables, tmp_path: Path
) -> None:
    data, _ = healthy
    models = tmp_path / "models"
    train(data, models, small_config(), now=NOW)
    few = write_shop(replace(shop_tables, events=shop_tables.events.head(200)), tmp_path / "few")
    report = train(few, models, small_config(), now=NOW + timedelta(days=1), accept_shrink=True)
    assert (report.refused, current_version(models)) == ("", report.version)


def test_scrambled_data_of_the_same_size_is_refused(
    healthy: tuple[Path, Path], shop_tables: ShopTables, tmp_path: Path
) -> None:
    _, models = healthy
    before = current_version(models)
    events = shop_tables.events
    scrambled = events.with_columns(events["item_id"].shuffle(seed=0), events["user_id"].shuffle(seed=1))
    bad = write_shop(replace(shop_tables, events=scrambled), tmp_path / "bad")
    report = train(bad, models, small_config(), now=NOW + timedelta(days=1))
    assert (report.gate["decision"], current_version(models)) == ("refused", before)
    assert "new data" in report.refused
    assert read_manifest(models / report.version).metrics["gate"]["decision"] == "refused"
    more = pl.concat([events, events.tail(50).with_columns(event_id=pl.lit(None, pl.String))])
    good = write_shop(replace(shop_tables, events=more), tmp_path / "good")
    report = train(good, models, small_config(), now=NOW + timedelta(days=2))
    assert (report.gate["decision"], current_version(models)) == ("passed", report.version)
