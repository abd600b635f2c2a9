from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.core.config.ranges import Number, range_text, unwrap
from recsys.core.config.settings_table import setting_types
from recsys.core.config.toml_reader import check_config
from recsys.core.errors import ConfigError
from recsys.fitting.engine import EngineConfig
from training.config import TrainingConfig, parse_config, read_config, render_config, settings_reference
from training.gate import GateConfig
from training.ingest.ingest import IngestConfig


def test_every_default_is_written_and_read_back() -> None:
    assert parse_config(tomllib.loads(render_config(TrainingConfig()))) == TrainingConfig()


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        """
        seed = 7
        [als]
        alpha = 4                       # a whole number will do where a number is wanted
        event_weights.refund = -2.0
        [copurchase.direction]
        min_z = 2.5
        [timeofday]
        bucket_starts = [6, 12, 18]
        [ingest]
        timezone = "Asia/Shanghai"
        columns = { "会员号" = "user_id" }
        """
    )
    config = read_config(path)
    assert config.engine.seed == 7
    assert config.engine.als.alpha == 4.0
    assert isinstance(config.engine.als.alpha, float)
    assert config.engine.als.event_weights.refund == -2.0
    assert config.engine.als.n_factors == EngineConfig().als.n_factors
    assert config.engine.copurchase.direction.min_z == 2.5
    assert config.engine.timeofday.bucket_starts == (6, 12, 18)
    assert config.ingest.timezone == "Asia/Shanghai"
    assert config.ingest.columns == {"会员号": "user_id"}


def test_no_file_is_all_defaults() -> None:
    assert read_config(None) == TrainingConfig()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"als": {"n_factor": 3}}, ["'als.n_factor'", "(3)", "do you mean 'als.n_factors'"]),
        ({"ingst": {}}, ["'ingst'", "do you mean 'ingest'"]),
        ({"copurchase": {"direction": {"minz": 1}}}, ["'copurchase.direction.min_z'"]),
        ({"qwertz": 1}, ["'qwertz'", "known are seed, "]),
        ({"als": 3}, ["'als' is 3", "expected a table"]),
        ({"seed": True}, ["'seed' is True", "a whole number"]),
        ({"seed": 1.5}, ["'seed' is 1.5", "a whole number"]),
        ({"seed": -1}, ["'seed' is -1", ">= 0"]),
        ({"als": {"alpha": "3"}}, ["'als.alpha' is '3'", "a number"]),
        ({"als": {"alpha": 0}}, ["'als.alpha' is 0", "> 0"]),
        ({"als": {"alpha": float("nan")}}, ["'als.alpha' is nan", "> 0"]),
        ({"als": {"event_weights": {"refund": float("-inf")}}}, ["'als.event_weights.refund' is -inf", "finite"]),
        ({"popularity": {"head_share": 1}}, ["'popularity.head_share' is 1", "in (0, 1)"]),
        ({"timeofday": {"bucket_starts": []}}, ["'timeofday.bucket_starts' is []", "at least one"]),
        ({"timeofday": {"bucket_starts": [5, 24]}}, ["'timeofday.bucket_starts[1]' is 24", "in [0, 23]"]),
        ({"timeofday": {"bucket_starts": [5, 3]}}, ["'timeofday.bucket_starts' is [5, 3]", "ascending"]),
        ({"ingest": {"max_reject_share": 2.0}}, ["'ingest.max_reject_share' is 2.0", "in [0, 1]"]),
        ({"ingest": {"columns": {"a": 3}}}, ["'ingest.columns.a' is 3", "a text"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(document: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(document)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"seed = ", "is not TOML"), (b"\xff\xfe", "is not TOML"), (b"sed = 1", "do you mean 'seed'")],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"shop\.toml.*" + words):
        read_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        read_config(tmp_path / "nowhere.toml")


def test_a_table_keeps_the_defaults_of_its_own_setting() -> None:
    trees = parse_config({"ranker": {"pair_trees": {"n_rounds": 50}}}).engine.ranker.pair_trees
    assert trees == replace(EngineConfig().ranker.pair_trees, n_rounds=50)


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(ConfigError, match=r"'seed' is -1.*'als.alpha' is 0.*'gate.metric' is 'recall'"):
        parse_config({"seed": -1, "als": {"alpha": 0}, "gate": {"metric": "recall"}})


def test_the_reference_has_every_setting_with_its_meaning() -> None:
    rows = {row.key: row for row in settings_reference()}
    written = tomllib.loads(render_config(TrainingConfig()).replace("# ", "").replace(" is not set", ' = "not set"'))
    assert set(rows) == set(_keys(written))
    assert [row.key for row in rows.values() if not row.meaning] == []


def _keys(table: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("config_class", [EngineConfig, IngestConfig, GateConfig])
def test_every_number_has_a_declared_range_and_its_default_is_valid(config_class: type[Any]) -> None:
    check_config(config_class(), "")
    free = [
        key
        for key, kind in setting_types(config_class).items()
        if isinstance(unwrap(kind)[0], Number) and range_text(kind) in ("", "finite")
    ]
    assert all(key.startswith("als.event_weights.") for key in free), free
