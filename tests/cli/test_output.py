from __future__ import annotations

import time

import pytest

from cli.output import count_progress


def test_counts_show_the_rate_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interrupted run had finished is no part of the rate."""
    clock = iter([100.0, 100.0, 110.0, 115.0, 120.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with count_progress("for_you lists") as on_count:
        on_count(1000, 5000)
        on_count(3000, 5000)
        on_count(3001, 5000)
        on_count(5000, 5000)
    assert capsys.readouterr().err.splitlines() == [
        " 20% 1,000 of 5,000 for_you lists",
        " 60% 3,000 of 5,000 for_you lists, 200 per second, 10 s left",
        "100% 5,000 of 5,000 for_you lists, 200 per second, 0 s left",
    ]
