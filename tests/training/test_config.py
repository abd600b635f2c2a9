from __future__ import annotations

import inspect
import re
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from recsys.core.errors import ConfigError
from recsys.fitting.engine import EngineConfig
from training.config import TrainingConfig, parse_config, range_of, read_config, render_config


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
        ({"timeofday": {"bucket_starts": [5, 24]}}, ["'timeofday.bucket_starts' is 24", "in [0, 23]"]),
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


def numbers(kind: type[Any], path: str = "") -> list[tuple[str, type, str]]:
    """Key path, type and documentation of every number in a settings dataclass."""
    found = []
    for each in fields(kind):
        hint = get_type_hints(kind)[each.name]
        inner = f"{path}.{each.name}" if path else each.name
        if is_dataclass(hint):
            found += numbers(hint, inner)  # type: ignore[arg-type]
        else:
            scalar = get_args(hint)[0] if get_origin(hint) is tuple else hint
            if scalar in (int, float):
                found.append((inner, scalar, documented(kind, each.name)))
    return found


def documented(kind: type[Any], name: str) -> str:
    """What a docstring's attribute section says of a name."""
    text = re.sub(r"\n {8,}", " ", inspect.getdoc(kind) or "")
    return next((line for line in text.splitlines() if re.match(rf"\s+(\w+, )*{name}(, \w+)*:", line)), "")


@pytest.mark.parametrize(("path", "kind", "text"), numbers(EngineConfig))
def test_ranges_are_those_that_the_models_document(path: str, kind: type, text: str) -> None:
    told = re.search(r"(in [\[(]\S+, \S+[\])]|(?<![-=])>=? \d+)", text.removesuffix("."))
    if told is None:
        assert path.startswith(("als.event_weights", "timeofday.bucket_starts", "replaceable_cosine")), path
    else:
        assert str(range_of(path, kind)) == told.group(1), text
