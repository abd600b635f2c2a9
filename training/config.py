"""One TOML file of settings for the jobs, read strictly: what it does not know, it refuses by name."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from recsys.core.errors import ConfigError
from recsys.fitting.engine import EngineConfig
from training.gate import GATE_METRICS, GateConfig
from training.ingest.ingest import IngestConfig

INGEST: Final = "ingest"
GATE: Final = "gate"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an open end does not belong to it."""

    low: float = -math.inf
    high: float = math.inf
    is_open: tuple[bool, bool] = (False, False)

    def holds(self, number: Any) -> bool:
        """Whether a number is finite and in the range."""
        above = number > self.low if self.is_open[0] else number >= self.low
        below = number < self.high if self.is_open[1] else number <= self.high
        return above and below and math.isfinite(number)

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in {'[('[self.is_open[0]]}{self.low:g}, {self.high:g}{'])'[self.is_open[1]]}"
        return f"{'>' if self.is_open[0] else '>='} {self.low:g}" if self.low > -math.inf else "finite"


COUNT: Final = Range(1)
POSITIVE: Final = Range(0, is_open=(True, False))
NOT_NEGATIVE: Final = Range(0)
SHARE: Final = Range(0, 1)

RANGES: Final[tuple[tuple[str, Range], ...]] = (
    ("seed", NOT_NEGATIVE),
    ("replaceable_cosine", SHARE),
    ("popularity.head_share", Range(0, 1, (True, True))),
    ("als.event_weights.*", Range()),
    ("content.*_weight", NOT_NEGATIVE),
    ("hybrid.*_share", SHARE),
    ("copurchase.popularity_discount", SHARE),
    ("copurchase.momentum_power", NOT_NEGATIVE),
    ("copurchase.n_backoff", NOT_NEGATIVE),
    ("copurchase.max_basket", Range(2)),
    ("copurchase.min_basket_share", SHARE),
    ("copurchase.direction.backward_share", Range(0, 0.5, (True, True))),
    ("copurchase.direction.min_price_ratio", COUNT),
    ("timeofday.bucket_starts", Range(0, 23)),
    ("ranker.min_queries", Range(2)),
    ("ranker.*trees.num_leaves", Range(2)),
    ("ranker.*trees.l2", NOT_NEGATIVE),
    ("ranker.short_share", SHARE),
    ("ranker.*_share", Range(0, 1, (True, False))),
    ("ingest.max_reject_share", SHARE),
    ("ingest.future_tolerance", NOT_NEGATIVE),
)
"""Where the range of a setting is not that of its type: whole numbers are >= 1 and others > 0."""

SCALARS: Final[dict[type, tuple[tuple[type, ...], str]]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
}


@dataclass(frozen=True)
class TrainingConfig:
    """What one file says.

    Attributes:
        engine: top-level keys and a table for each model.
        ingest: the table `[ingest]`.
        gate: the table `[gate]`.
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    gate: GateConfig = field(default_factory=GateConfig)


def read_config(path: Path | None) -> TrainingConfig:
    """Read a file of settings; what it leaves out has its default, and so has all where there is no file.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    if path is None:
        return TrainingConfig()
    try:
        return parse_config(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(document: Mapping[str, Any]) -> TrainingConfig:
    """Settings from a parsed file.

    >>> parse_config({"als": {"n_factors": 32}}).engine.als.n_factors
    32
    >>> parse_config({"als": {"n_factor": 32}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'als.n_factor' (32) is no setting: do you mean 'als.n_factors'?
    """
    of_engine = {name: value for name, value in document.items() if name not in (INGEST, GATE)}
    config = TrainingConfig(
        engine=_section(EngineConfig, of_engine, "", also=(INGEST, GATE)),
        ingest=_section(IngestConfig, document.get(INGEST, {}), INGEST),
        gate=_section(GateConfig, document.get(GATE, {}), GATE),
    )
    check_gate(config.gate)
    return config


def check_gate(gate: GateConfig) -> None:
    """Refuse a gate that asks what cannot be asked."""
    if gate.metric not in GATE_METRICS:
        raise ConfigError(f"'gate.metric' is {gate.metric!r}, expected one of {', '.join(GATE_METRICS)}")
    if gate.holdout_days < 1:
        raise ConfigError(f"'gate.holdout_days' is {gate.holdout_days}, expected a whole number >= 1")


def render_config(config: TrainingConfig) -> str:
    """All settings as a TOML file that `read_config` reads back."""
    sections = (_lines(config.engine, ""), _lines(config.ingest, INGEST), _lines(config.gate, GATE))
    return "\n".join(line for section in sections for line in section) + "\n"


def range_of(path: str, kind: type) -> Range:
    """The numbers that a setting may have, by its key path and type."""
    default = COUNT if kind is int else POSITIVE
    return next((allowed for pattern, allowed in RANGES if fnmatchcase(path, pattern)), default)


def _section(kind: type[Any], given: Any, path: str, also: tuple[str, ...] = ()) -> Any:
    """A settings dataclass from a table; `also` are names beside it, to suggest."""
    if not isinstance(given, Mapping):
        raise _refused(path, given, "a table")
    kinds = get_type_hints(kind)
    for name, value in given.items():
        if name not in kinds:
            raise _unknown(_join(path, name), value, [_join(path, known) for known in (*kinds, *also)])
    return kind(**{name: _value(kinds[name], value, _join(path, name)) for name, value in given.items()})


def _value(kind: Any, value: Any, path: str) -> Any:
    if is_dataclass(kind):
        return _section(kind, value, path)  # type: ignore[arg-type]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _value(next(choice for choice in inner if choice is not NoneType), value, path)
    if origin is tuple:
        return _ascending(inner[0], value, path)
    if origin is not None:
        return _mapping(inner[1], value, path)
    return _scalar(kind, value, path)


def _scalar(kind: type[Any], value: Any, path: str) -> Any:
    accepted, told = SCALARS[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _refused(path, value, told)
    if kind in (int, float) and not (allowed := range_of(path, kind)).holds(value):
        raise _refused(path, value, f"{told} {allowed}")
    return kind(value)


def _ascending(kind: type, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise _refused(path, value, "a list of at least one value")
    values = tuple(_scalar(kind, element, path) for element in value)
    if list(values) != sorted(set(values)):
        raise _refused(path, value, "ascending values, each once")
    return values


def _mapping(kind: type, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _refused(path, value, "a table")
    return {name: _scalar(kind, element, _join(path, name)) for name, element in value.items()}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refused(path: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"{path!r} is {value!r}, expected {expected}")


def _unknown(path: str, value: Any, known: list[str]) -> ConfigError:
    nearest = get_close_matches(path, known, n=1)
    remedy = f"do you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
    return ConfigError(f"{path!r} ({value!r}) is no setting: {remedy}")


def _lines(section: Any, path: str) -> Iterator[str]:
    values = {each.name: getattr(section, each.name) for each in fields(section)}
    tables = {name: value for name, value in values.items() if is_dataclass(value) or isinstance(value, Mapping)}
    if path:
        yield f"\n[{path}]"
    for name, value in values.items():
        if name not in tables:
            yield f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"
    for name, table in tables.items():
        if isinstance(table, Mapping):
            yield f"\n[{_join(path, name)}]"
            yield from (f"{_toml(key)} = {_toml(value)}" for key, value in table.items())
        else:
            yield from _lines(table, _join(path, name))


def _toml(value: Any) -> str:
    """TOML's texts, numbers, booleans and lists are written as JSON's."""
    return json.dumps(value, ensure_ascii=False)
