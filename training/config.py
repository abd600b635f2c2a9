"""The TOML file of settings that the jobs read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from recsys.core.config.settings_table import SettingRow, describe, toml_value
from recsys.core.config.toml_reader import Faults, fields_of, join, read_fields, read_toml
from recsys.fitting.engine import EngineConfig
from training.gate import GateConfig
from training.growth.config import GrowthConfig
from training.ingest.catalog_state import CatalogConfig
from training.ingest.ingest import IngestConfig
from training.spark.config import SparkConfig

ENGINE: Final = "engine"


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of one file.

    Attributes:
        engine: top-level keys, and one table per model.
        ingest: the table `[ingest]`.
        catalog: the table `[catalog]`, of `recsys ingest` too.
        gate: the table `[gate]`.
        report: the table `[report]`.
        spark: the table `[spark]`.
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    report: GrowthConfig = field(default_factory=GrowthConfig)
    spark: SparkConfig = field(default_factory=SparkConfig)


def read_config(path: Path | None) -> TrainingConfig:
    """Read a file of settings; settings that it leaves out, or all without a file, have their defaults.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    return TrainingConfig() if path is None else read_toml(path, parse_config)


def parse_config(document: Mapping[str, Any]) -> TrainingConfig:
    """Read the settings of a parsed file.

    >>> parse_config({"als": {"n_factors": 32}}).engine.als.n_factors
    32
    >>> parse_config({"als": {"n_factor": 32}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'als.n_factor' (32) is not a known key: do you mean 'als.n_factors'?
    """
    faults = Faults()
    tables = [each for each in fields_of(TrainingConfig) if each.name != ENGINE]
    found = read_fields([*fields_of(EngineConfig), *tables], document, "", faults)
    faults.check()
    own = {each.name: found.pop(each.name) for each in tables if each.name in found}
    return TrainingConfig(engine=EngineConfig(**found), **own)


def render_config(config: TrainingConfig) -> str:
    """Write all settings as a TOML file that `read_config` reads back."""
    return "\n".join(line for path, section in _sections(config) for line in _lines(section, path)) + "\n"


def settings_reference() -> list[SettingRow]:
    """List every setting that a file may have."""
    return [row for path, section in _sections(TrainingConfig()) for row in describe(type(section), path)]


def _sections(config: TrainingConfig) -> Iterator[tuple[str, Any]]:
    for each in fields(config):
        yield "" if each.name == ENGINE else each.name, getattr(config, each.name)


def _lines(section: Any, path: str) -> Iterator[str]:
    values = {each.name: getattr(section, each.name) for each in fields(section)}
    tables = {name: value for name, value in values.items() if is_dataclass(value) or isinstance(value, Mapping)}
    if path:
        yield f"\n[{path}]"
    for name, value in values.items():
        if name not in tables:
            yield f"# {name} is not set" if value is None else f"{name} = {toml_value(value)}"
    for name, table in tables.items():
        if isinstance(table, Mapping):
            yield f"\n[{join(path, name)}]"
            yield from (f"{toml_value(key)} = {toml_value(value)}" for key, value in table.items())
        else:
            yield from _lines(table, join(path, name))
