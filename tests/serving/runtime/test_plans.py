from __future__ import annotations

from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from serving.runtime.plans import Plans


def test_a_file_that_is_no_plan_stops_the_server(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"plan\.json is not a plan"):
        Plans(path, lambda: pytest.fail("the log is not needed"))
    assert Plans(None, lambda: pytest.fail("the log is not needed")).plan is None
