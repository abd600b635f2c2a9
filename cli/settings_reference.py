"""Writes docs/settings.md from the declarations of the settings: `python -m cli.settings_reference`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo
from typer.main import get_command

from cli.app import build_app
from recsys.core.config.settings_table import SettingRow, describe, toml_value
from recsys.fitting.engine import EngineConfig
from serving.runtime.settings import Settings, variable_of
from training.gate import GateConfig
from training.growth.config import GrowthConfig
from training.ingest.catalog_state import CatalogConfig
from training.ingest.ingest import IngestConfig
from training.spark.config import SparkConfig

PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"
TABLES: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("ingest", IngestConfig),
    ("catalog", CatalogConfig),
    ("gate", GateConfig),
    ("report", GrowthConfig),
    ("spark", SparkConfig),
    ("", EngineConfig),
)
"""Tables of the settings file in the order of the page; the settings of the models are at its top level."""

TYPES: Final = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}
BOUNDS: Final = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

HEAD: Final = """\
# Settings

After reading this page you can change the settings of the jobs and of the server.
The page is generated from the code by `python -m cli.settings_reference`.

## Settings of the jobs

`recsys ingest`, `train`, `tune` and `evaluate` read one TOML file, named by `--config`. A key that is missing has its
default. An unknown key, a wrong type or a value out of range is an error that names the key.

```toml
seed = 1

[ingest]
timezone = "Asia/Shanghai"

[als]
n_factors = 64
half_life_days = 30.0
```

`recsys train --print-config` prints the settings in use as such a file. `recsys tune` writes one. The defaults suit
most shops: set the time zone, and leave the other settings to `recsys tune`.
"""

SERVER: Final = """\
## Settings of the server

The server reads environment variables. The options of `recsys serve` take precedence.

```console
$ RECSYS_MODELS=models/shop RECSYS_WORKERS=2 recsys serve --port 8080
```
"""

COMMAND_LINE: Final = "## Variables of the command line\n"


class SettingsRow(NamedTuple):
    """A line of a table: one setting."""

    name: str
    kind: str
    default: str
    range: str
    meaning: str


def render() -> str:
    """Returns the page."""
    parts = [HEAD]
    for name, config in TABLES:
        parts += sections(describe(config, name))
    parts += [SERVER, table("Variable", variables()), COMMAND_LINE, table("Variable", options())]
    return "\n".join(parts)


def sections(settings: Iterable[SettingRow]) -> Iterator[str]:
    """Yields a heading and a table for each table of the settings file."""
    for name, rows in groupby(settings, key=lambda row: row.key.rpartition(".")[0]):
        heading = f"### `[{name}]`" if name else "### Top level"
        lines = [SettingsRow(row.key.rpartition(".")[2], row.type, row.default, row.range, row.meaning) for row in rows]
        yield f"{heading}\n\n{table('Key', lines)}"


def variables() -> list[SettingsRow]:
    """Returns the rows of the server's environment variables."""
    return [
        SettingsRow(
            variable_of(name),
            kind_of(info.annotation),
            literal(info.default),
            bounds(info),
            info.description or "",
        )
        for name, info in Settings.model_fields.items()
    ]


def options() -> list[SettingsRow]:
    """Returns the rows of the variables that the command line itself reads."""
    found: dict[str, SettingsRow] = {}
    waiting: list[Any] = [get_command(build_app())]
    while waiting:
        command = waiting.pop(0)
        waiting += getattr(command, "commands", {}).values()
        for option in command.params:
            if option.envvar is not None:
                kind, text = "true or false" if option.is_flag else "path", f"option `{option.opts[0]}`: {option.help}"
                found.setdefault(option.envvar, SettingsRow(option.envvar, kind, literal(option.default), "", text))
    return list(found.values())


def kind_of(annotation: Any) -> str:
    """Returns the type of a setting of the server for readers.

    >>> kind_of(float), kind_of(Path | None), kind_of(Literal["wall", "data"])
    ('number', 'path', '`wall` or `data`')
    """
    choices = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in choices)
    return TYPES.get(choices[0] if choices else annotation, "path")


def bounds(info: FieldInfo) -> str:
    """Returns the range of a setting of the server, such as `>= 1, <= 256`."""
    return ", ".join(
        f"{sign} {value:,}" if isinstance(value, int) else f"{sign} {value:g}"
        for constraint in info.metadata
        for name, sign in BOUNDS.items()
        if (value := getattr(constraint, name, None)) is not None
    )


def literal(value: Any) -> str:
    """Returns a default value as TOML writes it."""
    return "not set" if value is None else toml_value(str(value) if isinstance(value, Path) else value)


def table(first: str, rows: list[SettingsRow]) -> str:
    """Returns a Markdown table without its empty columns."""
    cells = [(f"`{row.name}`", row.kind, code(row.default), row.range, sentence(row.meaning)) for row in rows]
    titles = (first, "Type", "Default", "Range", "Meaning")
    shown = [place for place in range(len(titles)) if any(row[place] for row in cells)]
    lines = [
        [titles[place] for place in shown],
        ["---"] * len(shown),
        *([row[place] for place in shown] for row in cells),
    ]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def code(default: str) -> str:
    """Returns a default marked as code."""
    return default if default == "not set" else f"`{default}`"


def sentence(text: str) -> str:
    """Returns a text with a capital first letter."""
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
