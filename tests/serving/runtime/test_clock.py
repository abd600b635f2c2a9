from __future__ import annotations

import time

from serving.runtime.clock import Clock


def test_the_wall_clock_ignores_the_data() -> None:
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


def test_data_clocks_of_one_server_agree() -> None:
    started = time.time() - 100
    early, late = Clock("data", started), Clock("data", started)
    early.start(1_000_000, started - 50)
    late.start(1_000_000, started - 50)
    assert abs(early.now() - late.now()) <= 1
    assert 1_000_100 <= early.now() <= 1_000_102
    early.start(2_000_000, started + 60)
    late.start(2_000_000, started + 60)
    assert 2_000_040 <= early.now() <= 2_000_042
    assert abs(early.now() - late.now()) <= 1


def test_a_data_clock_continues_from_the_live_log() -> None:
    clock = Clock("data", time.time(), logged_until=1_000_500.5)
    clock.start(1_000_000)
    assert 1_000_500 <= clock.now() <= 1_000_502
    old = Clock("data", time.time(), logged_until=time.time())
    old.start(1_000_000)
    assert old.now() <= 1_000_002
