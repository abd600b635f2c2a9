from __future__ import annotations

import time

from serving.clock import Clock


def test_the_wall_clock_heeds_no_data() -> None:
    clock = Clock("wall")
    clock.start(0)
    assert abs(clock.now() - time.time()) <= 2


def test_the_data_clock_starts_at_the_end_of_the_data_and_never_goes_back() -> None:
    clock = Clock("data")
    assert clock.now() == 0
    clock.start(1_000_000)
    assert 1_000_000 <= clock.now() <= 1_000_002
    clock.start(2_000_000)
    assert 2_000_000 <= clock.now() <= 2_000_002
    clock.start(1_500_000)
    assert clock.now() >= 2_000_000
