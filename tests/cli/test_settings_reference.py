"""The settings reference is complete and current."""

from __future__ import annotations

import re
from dataclasses import replace

from cli.settings_reference import PAGE, SettingsRow, render, sections, table
from recsys.core.config.settings_table import describe
from recsys.fitting.engine import EngineConfig
from training.gate import GateConfig
from training.growth.config import GrowthConfig
from training.ingest.catalog_state import CatalogConfig
from training.ingest.ingest import IngestConfig
from training.spark.config import SparkConfig


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m cli.settings_reference`"


def test_every_setting_is_on_the_page() -> None:
    settings = [
        *describe(IngestConfig, "ingest"),
        *describe(CatalogConfig, "catalog"),
        *describe(GateConfig, "gate"),
        *describe(GrowthConfig, "report"),
        *describe(SparkConfig, "spark"),
        *describe(EngineConfig),
    ]
    assert len(settings) > 90
    found = {
        f"{name}.{key}".lstrip(".")
        for name, body in re.findall(r"^### (?:`\[([\w.]+)\]`|Top level)\n(.*?)(?=^##)", PAGE.read_text(), re.M | re.S)
        for key in re.findall(r"^\| `(\w+)` \|", body, re.M)
    }
    assert found == {row.key for row in settings}


def test_a_table_has_no_empty_column() -> None:
    rows = [SettingsRow("a", "text", "not set", "", "first|second."), SettingsRow("b", "number", "1.0", "", "third.")]
    assert table("Key", rows) == (
        "| Key | Type | Default | Meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `a` | text | not set | First\\|second. |\n"
        "| `b` | number | `1.0` | Third. |\n"
    )


def test_a_new_setting_changes_the_page() -> None:
    rows = describe(GateConfig, "gate")
    added = replace(rows[0], key="gate.new_setting")
    assert "| `new_setting` |" in "\n".join(sections([*rows, added]))
    assert "new_setting" not in PAGE.read_text(encoding="utf-8")
