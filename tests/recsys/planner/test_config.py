from __future__ import annotations

from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from recsys.core.placements import PLACEMENTS
from recsys.planner.config import LISTS, HourConfig, PlanConfig, chosen_lists, parse_plan, read_plan


def test_an_empty_file_has_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("")
    assert read_plan(path) == PlanConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("list = ['for_you']", r"'list' .* is not a known key: do you mean 'lists'\?"),
        ("[caps]\nmessages_per_weak = 1", "do you mean 'caps.messages_per_week'"),
        ("holdout = 2", r"'holdout' is 2, expected a number in \[0, 1\]"),
        ("value = 'profit'", "expected one of 'auto', 'margin', 'orders', 'price'"),
        ("channels = []", "'channels'"),
        ("[hours]\nquiet_from = 24", "'hours.quiet_from' is 24"),
        ("[caps]\nmessages_per_week = 200000000", "'caps.messages_per_week' is 200000000"),
        ("[calibration]\nweeks = 100000", "'calibration.weeks' is 100000"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_plan(path)


def test_the_lists_of_a_plan() -> None:
    assert set(chosen_lists(PlanConfig(), PLACEMENTS)) == {*LISTS} & {*PLACEMENTS}
    assert chosen_lists(parse_plan({"lists": "discover"}), PLACEMENTS) == ("discover",)
    with pytest.raises(ConfigError, match=r"'lists\[1\]' is 'similar', which is not a known list for a user"):
        chosen_lists(parse_plan({"lists": ["discover", "similar"]}), PLACEMENTS)
    with pytest.raises(ConfigError, match="no list is left"):
        chosen_lists(PlanConfig(), {})


@pytest.mark.parametrize(
    ("hours", "allowed"),
    [((21, 8), range(8, 21)), ((0, 8), range(8, 24)), ((9, 9), range(24)), ((1, 0), (0,))],
)
def test_allowed_hours(hours: tuple[int, int], allowed: range) -> None:
    assert HourConfig(*hours).allowed() == tuple(allowed)
