from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recsys.bundles.bundle import read_manifest
from recsys.bundles.registry import current_version, versions
from recsys.core.errors import ConfigError
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.models.temporal.repeat import RepeatConfig
from tests.jobs import NOW, write_shop
from tests.shop import ShopTables, small_config
from training import train as train_job
from training.config import parse_config, read_config
from training.gate import GATE_METRICS, GateConfig, GateResult, compare, skipped
from training.train import train

BLEND = replace(small_config(), ranker=replace(small_config().ranker, enabled=False))
HARMFUL = replace(
    BLEND, repeat=RepeatConfig(decay_days=1e-4, decay_power=9.0), history=replace(BLEND.history, max_events=1)
)
GATE = GateConfig(holdout_days=14)


@pytest.fixture(scope="module")
def data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


@pytest.mark.parametrize("metric", GATE_METRICS)
def test_settings_are_no_worse_than_themselves(metric: str, shop_dataset: Dataset) -> None:
    verdict = compare(shop_dataset, BLEND, replace(BLEND, seed=0), replace(GATE, metric=metric))
    assert verdict.decision == "passed"
    assert verdict.figures["difference"] == {"value": 0, "low": 0, "high": 0}
    assert verdict.figures["n_queries"] > 0
    assert 0 < verdict.figures["new"]["value"] <= 1


def test_worse_settings_are_refused_and_better_ones_pass(shop_dataset: Dataset) -> None:
    worse = compare(shop_dataset, BLEND, HARMFUL, GATE)
    assert worse.decision == "refused"
    assert worse.figures["difference"]["high"] < 0
    better = compare(shop_dataset, HARMFUL, BLEND, GATE)
    assert better.decision == "passed"
    assert better.figures["difference"]["low"] > 0
    assert better.figures["new"] == worse.figures["current"]


def test_a_shop_of_one_day_has_nothing_to_ask(shop_dataset: Dataset) -> None:
    day = shop_dataset.until(int(shop_dataset.events.timestamp[0]) + 3600)
    verdict = compare(day, BLEND, HARMFUL, GATE)
    assert verdict.decision == "skipped"
    assert "longer history" in verdict.why


def test_a_refused_bundle_is_kept_and_does_not_serve(data: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    first = train(data, models, BLEND, now=NOW, gate=GATE)
    assert (first.gate["decision"], first.gate["why"]) == ("skipped", "there is no current bundle")
    refused = train(data, models, HARMFUL, now=NOW.replace(hour=13), gate=GATE, keep=1)
    assert current_version(models) == first.version
    assert versions(models) == (first.version, refused.version)
    for part in (refused.version, "next_basket.recall@10", "--activate-worse", "recsys models activate"):
        assert part in refused.refused
    held = read_manifest(models / refused.version).metrics["gate"]
    assert held["decision"] == "refused"
    assert held["figures"]["difference"]["high"] < 0
    told = train(data, models, HARMFUL, now=NOW.replace(hour=14), gate=GATE, activate_worse=True)
    assert (told.gate["decision"], told.refused) == ("overridden", "")
    assert current_version(models) == told.version
    same = train(data, models, HARMFUL, now=NOW.replace(hour=15), gate=GATE)
    assert same.gate["why"] == "the settings are unchanged"
    off = train(data, models, BLEND, now=NOW.replace(hour=16), gate=replace(GATE, enabled=False))
    assert off.gate["why"] == "the gate is off"


def test_a_gate_that_fails_leaves_the_last_good_bundle(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    first = train(data, models, BLEND, now=NOW, gate=GATE)

    def fail(*_: object, **__: object) -> GateResult:
        raise MemoryError

    monkeypatch.setattr(train_job, "compare", fail)
    with pytest.raises(MemoryError):
        train(data, models, HARMFUL, now=NOW.replace(hour=13), gate=GATE)
    assert (current_version(models), versions(models)) == (first.version, (first.version,))


def test_settings_of_another_release_are_no_obstacle(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    train(data, models, BLEND, now=NOW)

    def unreadable(document: object) -> EngineConfig:
        raise ConfigError("'als.n_topics' (3) is not a known key")

    monkeypatch.setattr(train_job, "parse_config", unreadable)
    report = train(data, models, HARMFUL, now=NOW.replace(hour=13), gate=GATE)
    assert report.gate["decision"] == "skipped"
    assert "als.n_topics" in report.gate["why"]


def test_the_gate_is_set_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[gate]\nmetric = "discovery.ndcg@20"\nholdout_days = 7\n')
    assert read_config(path).gate == GateConfig(metric="discovery.ndcg@20", holdout_days=7)
    with pytest.raises(ConfigError, match=r"'gate\.metric' is 'ctr', expected one of 'complements"):
        parse_config({"gate": {"metric": "ctr"}})
    with pytest.raises(ConfigError, match=r"'gate\.holdout_days' is 0"):
        parse_config({"gate": {"holdout_days": 0}})


def test_a_skipped_gate_says_why() -> None:
    assert skipped("because").to_dict() == {"decision": "skipped", "why": "because", "figures": {}}
