from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from recsys.core.config.ranges import PositiveInt, Share
from recsys.core.config.settings_table import SettingRow, describe, meanings, setting_types


@dataclass(frozen=True)
class Engine:
    """Settings of an engine.

    Attributes:
        horse_power, torque: how strong it is,
            in two lines: with a colon.
    """

    horse_power: PositiveInt = 90
    torque: Share = 0.5


@dataclass(frozen=True)
class Car:
    """Settings of a car.

    Attributes:
        color: of the paint.
        names: by language.
        owner: who drives.
        engine: the engine.
    """

    color: Literal["red", "blue"] = "red"
    names: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    engine: Engine = field(default_factory=lambda: Engine(horse_power=120))


def test_each_setting_is_one_row_with_the_default_of_its_own_place() -> None:
    strong = "how strong it is, in two lines: with a colon."
    assert describe(Car, "car") == [
        SettingRow("car.color", "text", '"red"', "one of 'blue', 'red'", "of the paint."),
        SettingRow("car.names", "table of texts", "{}", "", "by language."),
        SettingRow("car.owner", "text", "not set", "", "who drives."),
        SettingRow("car.engine.horse_power", "whole number", "120", ">= 1", strong),
        SettingRow("car.engine.torque", "number", "0.5", "in [0, 1]", strong),
    ]


def test_types_have_the_keys_of_the_file() -> None:
    assert list(setting_types(Car)) == ["color", "names", "owner", "engine.horse_power", "engine.torque"]


def test_a_class_without_the_section_has_no_meanings() -> None:
    assert meanings(SettingRow)["key"] == "its key in a TOML file, with the tables that it is in."
    assert meanings(int) == {}
