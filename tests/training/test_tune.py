from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cli.tune import parse_settings
from recsys.core.errors import ConfigError
from recsys.fitting.blend import BlendConfig
from tests.jobs import write_shop
from tests.shop import ShopTables, small_config
from training.config import read_config
from training.tune import SPACE, Setting, TuneReport, check_settings, tune, with_values

BASE = replace(small_config(), ranker=replace(small_config().ranker, enabled=False), blend=BlendConfig(enabled=False))
"""Nothing is learned from the past but by the search itself."""

SOUGHT = {"repeat.decay_days": SPACE["repeat.decay_days"], "als.n_factors": Setting(4, 16)}
HOLDOUT_DAYS = 14


@pytest.fixture(scope="module")
def data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


def _tune(data: Path, trials: int = 2, study: Path | None = None, **others: object) -> TuneReport:
    wanted = {"settings": SOUGHT, "holdout_days": HOLDOUT_DAYS, "trials": trials, "study_file": study} | others
    return tune(data, BASE, **wanted)  # type: ignore[arg-type]


def test_every_range_is_one_that_training_takes() -> None:
    check_settings(SPACE)
    for name, setting in SPACE.items():
        with_values(BASE, {name: setting.low})
        with_values(BASE, {name: setting.high})


def test_a_study_goes_on_where_it_ended(data: Path, tmp_path: Path) -> None:
    first = _tune(data, 2, tmp_path / "study")
    second = _tune(data, 1, tmp_path / "study")
    assert (first.n_trials, second.n_trials) == (2, 3)
    assert second.base == first.base
    assert second.best.value >= first.best.value
    with pytest.raises(ConfigError, match="a study of another shop"):
        _tune(data, 1, tmp_path / "study", metric="discovery.ndcg@20")


def test_the_file_reads_back_and_holds_what_was_found(data: Path, tmp_path: Path) -> None:
    spoiled = with_values(BASE, {"repeat.decay_power": 40.0, "repeat.decay_days": 0.001})
    span = {"repeat.decay_power": Setting(0.4, 0.6)}
    report = tune(data, spoiled, settings=span, holdout_days=HOLDOUT_DAYS, trials=2)
    assert report.is_better == (report.difference.low > 0)
    path = tmp_path / "best.toml"
    path.write_text(report.toml(), encoding="utf-8")
    assert read_config(path).engine == report.config
    assert report.config == (with_values(spoiled, report.changed) if report.is_better else spoiled)
    assert report.metric in path.read_text(encoding="utf-8")


def test_nothing_better_keeps_the_settings_it_began_with(data: Path) -> None:
    report = _tune(data, 1, settings={"copurchase.direction.min_z": Setting(3.0, 3.1)})
    assert not report.is_better
    assert report.config == BASE
    assert "No trial is significantly better" in report.toml()


def test_the_report_window_is_not_read(data: Path, shop_tables: ShopTables, tmp_path: Path) -> None:
    """Every purchase of the last two weeks becomes another item's; the search sees no difference."""
    events = shop_tables.events
    day = events["timestamp"].max().replace(hour=0, minute=0, second=0)  # type: ignore[union-attr]
    is_late = pl.col("timestamp") > day - pl.duration(days=HOLDOUT_DAYS - 2)
    other = pl.when(is_late).then(pl.lit(events["item_id"][0])).otherwise("item_id").alias("item_id")
    changed = write_shop(replace(shop_tables, events=events.with_columns(other)), tmp_path / "data")
    first, second = _tune(data), _tune(changed)
    assert (first.base, first.best, first.changed) == (second.base, second.best, second.changed)


def test_a_trial_that_fails_is_counted_and_the_search_goes_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import tune as job

    calls = []

    def sometimes(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise ConfigError("diverged")
        return asked(*arguments)  # type: ignore[arg-type]

    asked = job.measure
    monkeypatch.setattr(job, "measure", sometimes)
    report = _tune(data, 2)
    assert (report.n_trials, report.n_failed) == (1, 1)


def test_ctrl_c_ends_with_what_was_found(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import tune as job

    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    def begin(*arguments: object) -> object:
        monkeypatch.setattr(job, "measure", stop)
        return asked(*arguments)  # type: ignore[arg-type]

    asked = job.measure
    monkeypatch.setattr(job, "measure", begin)
    report = _tune(data, 5)
    assert (report.n_trials, report.is_better, report.config) == (0, False, BASE)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "no setting"),
        ({"als.n_factor": Setting(1, 2)}, "do you mean 'als.n_factors'"),
        ({"als.alpha": Setting(-1.0, 2.0)}, "expected ascending numbers > 0"),
        ({"als.alpha": Setting(2.0, 1.0)}, "ascending numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Setting], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_settings(settings)


def test_settings_are_read_as_they_are_typed() -> None:
    assert parse_settings("als.alpha, als.n_factors=8:64,repeat.decay_power=0.5:1") == {
        "als.alpha": SPACE["als.alpha"],
        "als.n_factors": Setting(8, 64),
        "repeat.decay_power": Setting(0.5, 1),
    }
    for text in ("als.beta", "als.alpha=3", "als.alpha=a:b"):
        with pytest.raises(ConfigError, match="--settings"):
            parse_settings(text)
