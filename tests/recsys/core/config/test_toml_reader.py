from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from recsys.core.config.ranges import ASCENDING, SINGLE, UNIQUE, PositiveFloat, PositiveInt, Share, Text
from recsys.core.config.toml_reader import MAX_FILE_BYTES, Faults, check_config, fields_of, read_fields, read_toml
from recsys.core.errors import ConfigError


@dataclass(frozen=True)
class Oven:
    degrees: PositiveFloat = 180.0
    fan: bool = False


@dataclass(frozen=True)
class Topping:
    name: Text
    share: Share


@dataclass(frozen=True)
class Cake:
    eggs: PositiveInt = 3
    oven: Oven = field(default_factory=lambda: Oven(fan=True))
    size: Literal["small", "large"] = "small"
    title: str | None = None
    minutes: Annotated[tuple[PositiveInt, ...], Meta(min_length=1, extra={ASCENDING: True})] = (40,)
    guests: Annotated[tuple[Text, ...], Meta(max_length=2, extra={SINGLE: True, UNIQUE: True})] = ()
    toppings: tuple[Topping, ...] = ()
    prices: Annotated[Mapping[str, PositiveFloat], Meta(min_length=1)] = field(default_factory=lambda: {"slice": 2.0})


def read(document: Mapping[str, Any]) -> Cake:
    faults = Faults()
    found = read_fields(fields_of(Cake), document, "cake", faults)
    faults.check()
    return Cake(**found)


def test_every_kind_of_value_is_read() -> None:
    cake = read(
        {
            "eggs": 4,
            "oven": {"degrees": 200},
            "size": "large",
            "title": "红丝绒",
            "minutes": [30, 45],
            "guests": "Ada",
            "toppings": [{"name": "cream", "share": 1}],
            "prices": {"slice": 3},
        }
    )
    assert cake == Cake(
        4, Oven(200.0, True), "large", "红丝绒", (30, 45), ("Ada",), (Topping("cream", 1.0),), {"slice": 3.0}
    )
    assert isinstance(cake.oven.degrees, float)


def test_a_table_that_is_left_out_and_a_key_that_is_left_out_have_the_default_of_the_setting() -> None:
    assert read({}) == Cake()
    assert read({"oven": {}}).oven == Oven(fan=True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"egs": 1}, "'cake.egs' (1) is not a known key: do you mean 'cake.eggs'?"),
        ({"oven": {"degree": 1}}, "'cake.oven.degree' (1) is not a known key: do you mean 'cake.oven.degrees'?"),
        ({"oven": {"xyz": 1}}, "known are degrees, fan"),
        ({"oven": 3}, "'cake.oven' is 3, expected a table {degrees = …, fan = …}"),
        ({"eggs": 0}, "'cake.eggs' is 0, expected a whole number >= 1"),
        ({"eggs": True}, "'cake.eggs' is True, expected a whole number >= 1"),
        ({"eggs": 1.0}, "'cake.eggs' is 1.0, expected a whole number >= 1"),
        ({"oven": {"fan": 1}}, "'cake.oven.fan' is 1, expected true or false"),
        ({"oven": {"degrees": float("inf")}}, "'cake.oven.degrees' is inf, expected a number > 0"),
        ({"size": "huge"}, "'cake.size' is 'huge', expected one of 'large', 'small'"),
        ({"size": ["small"]}, "'cake.size' is ['small'], expected one of"),
        ({"title": 3}, "'cake.title' is 3, expected a text"),
        ({"minutes": []}, "'cake.minutes' is [], expected a list of whole numbers with at least one entry"),
        ({"minutes": [2, 1]}, "'cake.minutes' is [2, 1], expected ascending values, each once"),
        ({"minutes": [1, 0]}, "'cake.minutes[1]' is 0, expected a whole number >= 1"),
        ({"minutes": 3}, "'cake.minutes' is 3, expected a list of whole numbers"),
        ({"guests": " "}, "'cake.guests' is ' ', expected a text"),
        ({"guests": ["a", "a"]}, "'cake.guests' is ['a', 'a'], expected each value once"),
        ({"guests": ["a", "b", "c"]}, "expected a list of texts with 0 to 2 entries"),
        ({"toppings": [{"name": "a"}]}, "'cake.toppings[0]' lacks 'share', expected a table {name = …, share = …}"),
        ({"toppings": [3]}, "'cake.toppings[0]' is 3, expected a table {name = …, share = …}"),
        ({"prices": {}}, "'cake.prices' is {}, expected a table of numbers with at least one entry"),
        ({"prices": {"slice": 0}}, "'cake.prices.slice' is 0, expected a number > 0"),
        ({"title": 3, "eggs": 0}, "'cake.title' is 3, expected a text; 'cake.eggs' is 0"),
        ({"size": "x" * 500}, "x…, expected one of"),
    ],
)
def test_each_fault_has_its_key_the_value_and_the_remedy(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(document)
    assert message in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_is_either_read_or_refused(value: Any) -> None:
    for name in Cake.__dataclass_fields__:
        faults = Faults()
        found = read_fields(fields_of(Cake), {name: value}, "cake", faults)
        assert bool(faults.messages) != (name in found)
        assert all(message.startswith(f"'cake.{name}") for message in faults.messages)


def test_settings_that_were_built_in_python_are_checked() -> None:
    check_config(Cake(), "cake")
    with pytest.raises(ConfigError, match=r"'cake.oven.degrees' is -1.0, expected a number > 0"):
        check_config(Cake(oven=Oven(-1.0)), "cake")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"eggs = ", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"egs = 1", "do you mean"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "bytes are too many"),
    ],
)
def test_a_file_that_is_refused_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "cake.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"cake\.toml.*{message}"):
        read_toml(path, read)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        read_toml(tmp_path / "nowhere.toml", read)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "cake.toml"
    path.write_bytes(b"\xef\xbb\xbfeggs = 1")
    assert read_toml(path, lambda table: table) == {"eggs": 1}
