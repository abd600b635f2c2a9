"""Writes docs/settings.md from the declarations of the settings: `python scripts/settings_reference.py`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo
from typer.main import get_command

from cli.main import build_app
from recsys.fitting.engine import EngineConfig
from serving.runtime.settings import ENV_PREFIX, METRICS_DIR, Settings
from training.config import range_of
from training.gate import GateConfig
from training.ingest.ingest import IngestConfig

PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"
TABLES: Final[tuple[tuple[str, type[Any]], ...]] = (("ingest", IngestConfig), ("gate", GateConfig), ("", EngineConfig))
"""Tables of the settings file in the order of the page; the settings of the models are at its top level."""

TYPES: Final = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
RANGE_AT_END: Final = re.compile(r", (>=?|<=?|in [\[(])[^,:;]*(, [\d.]+[\])])?\.$")
BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}

HEAD: Final = """\
# Settings

After reading this page you can change the settings of the jobs and of the server.
The page is generated from the code by `python scripts/settings_reference.py`.

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


class Row(NamedTuple):
    """One setting: a line of a table."""

    name: str
    kind: str
    default: str
    meaning: str


def render() -> str:
    """Returns the page."""
    parts = [HEAD]
    for path, config in TABLES:
        parts += sections(config, path)
    parts += [SERVER, table("Variable", variables()), COMMAND_LINE, table("Variable", options())]
    return "\n".join(parts)


def sections(config: Any, path: str) -> Iterator[str]:
    """Yields a heading and a table for a settings class, then those of the classes inside it."""
    nested = {name: kind for name, kind in get_type_hints(config).items() if is_dataclass(kind)}
    rows = [setting(config, each, path) for each in fields(config) if each.name not in nested]
    heading = f"### `[{path}]`" if path else "### Top level"
    summary = (inspect.getdoc(config) or "").partition("\n")[0]
    yield f"{heading}\n\n{summary}\n\n{table('Key', rows)}"
    for name, kind in nested.items():
        yield from sections(kind, f"{path}.{name}" if path else name)


def setting(config: Any, each: Field[Any], path: str) -> Row:
    """Returns the row of one field of a settings class."""
    kind = get_type_hints(config)[each.name]
    full = f"{path}.{each.name}" if path else each.name
    default = each.default if each.default_factory is MISSING else each.default_factory()
    scalar = scalar_of(kind)
    bound = f" {range_of(full, scalar)}" if scalar in (int, float) else ""
    return Row(each.name, type_name(kind) + bound, literal(default), meanings(config).get(each.name, ""))


def variables() -> list[Row]:
    """Returns the rows of the server's environment variables."""
    texts = meanings(Settings)
    return [
        Row(
            METRICS_DIR if name == "metrics_dir" else ENV_PREFIX + name.upper(),
            type_name(info.annotation) + bounds(info),
            literal(info.default),
            texts[name],
        )
        for name, info in Settings.model_fields.items()
    ]


def options() -> list[Row]:
    """Returns the rows of the variables that the command line itself reads."""
    found: dict[str, Row] = {}
    waiting: list[Any] = [get_command(build_app())]
    while waiting:
        command = waiting.pop(0)
        waiting += getattr(command, "commands", {}).values()
        for option in command.params:
            if option.envvar is not None:
                kind, text = "true or false" if option.is_flag else "path", f"Option `{option.opts[0]}`. {option.help}"
                found.setdefault(option.envvar, Row(option.envvar, kind, literal(option.default), text))
    return list(found.values())


def meanings(documented: type[Any]) -> dict[str, str]:
    """Returns the text of each attribute in the `Attributes` section of a class."""
    _, _, section = (inspect.getdoc(documented) or "").partition("\nAttributes:\n")
    entries = re.findall(r"^ {4}(\w[\w, ]*): ((?:.+\n?)(?: {8,}.+\n?)*)", section, re.MULTILINE)
    return {name: sentence(text) for names, text in entries for name in names.split(", ")}


def sentence(text: str) -> str:
    r"""Returns a text of a docstring as one line with a capital, without the range that the type column has.

    >>> sentence("length of a factor vector,\n    >= 1.")
    'Length of a factor vector.'
    """
    line = RANGE_AT_END.sub(".", " ".join(text.split()))
    return line[:1].upper() + line[1:]


def scalar_of(kind: Any) -> Any:
    """Returns the type of the values inside a list, a mapping or an optional type."""
    inner = [each for each in get_args(kind) if each not in (NoneType, Ellipsis)]
    return scalar_of(inner[-1]) if inner and get_origin(kind) is not Literal else kind


def type_name(kind: Any) -> str:
    """Returns the name of a type for readers.

    >>> type_name(tuple[int, ...]), type_name(float | None), type_name(Literal["wall", "data"])
    ('list: whole number', 'number', '`wall` or `data`')
    """
    origin, inner = get_origin(kind), [each for each in get_args(kind) if each is not NoneType]
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in inner)
    if origin in (Union, UnionType):
        return type_name(inner[0])
    if origin is tuple:
        return f"list: {type_name(inner[0])}"
    return f"table: {type_name(inner[1])}" if origin is not None else TYPES[kind]


def bounds(info: FieldInfo) -> str:
    """Returns the range of a field of the server's settings, as ` ≥ 1 and ≤ 256`."""
    found = [
        f"{sign} {value:,}" if isinstance(value, int) else f"{sign} {value:g}"
        for constraint in info.metadata
        for name, sign in BOUNDS.items()
        if (value := getattr(constraint, name, None)) is not None
    ]
    return " " + " and ".join(found) if found else ""


def literal(value: Any) -> str:
    """Returns a default as TOML writes it."""
    if value is None or (isinstance(value, Mapping) and not value):
        return "not set"
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)}`"


def table(first: str, rows: list[Row]) -> str:
    """Returns a Markdown table; the last column is left out if no row has a meaning."""
    has_meaning = any(row.meaning for row in rows)
    titles = (first, "Type", "Default", "Meaning")[: 3 + has_meaning]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        cells = (f"`{row.name}`", row.kind, row.default, row.meaning)[: len(titles)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
