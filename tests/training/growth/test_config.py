from __future__ import annotations

import pytest

from recsys.core.errors import ConfigError
from training.config import parse_config


def test_settings_of_reports_are_a_table_of_the_file() -> None:
    found = parse_config({"report": {"max_cart_loss": 0.7, "active_days": 180}}).report
    assert (found.max_cart_loss, found.active_days, found.window_days) == (0.7, 180, 28)
    with pytest.raises(ConfigError, match=r"'report.max_cart_loss' is 30, expected a number in \[0, 1\]"):
        parse_config({"report": {"max_cart_loss": 30}})
