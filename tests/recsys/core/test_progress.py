from __future__ import annotations

import time

import pytest

from recsys.core.progress import HALF_OF_STAGES, HALF_OF_STEPS, Stopwatch, track

Reports = list[tuple[str, float]]


@pytest.fixture
def reports() -> Reports:
    return []


def test_a_loop_passes_its_values_on_and_reports_a_bounded_number_of_times(reports: Reports) -> None:
    values = list(range(1000))
    assert list(track(values, "loop", lambda stage, share=0.0: reports.append((stage, share)))) == values
    assert [share for _, share in reports] == [place / 20 for place in range(20)]
    assert list(track([], "loop", lambda stage, share=0.0: pytest.fail("an empty loop has no progress"))) == []


def test_the_time_of_each_stage_is_taken(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 6.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    stopwatch = Stopwatch(lambda stage, share=0.0: reports.append((stage, share)), n_stages=2)
    stopwatch("read")
    stopwatch("fit")
    assert stopwatch.stop() == {"read": 2.0, "fit": 3.0}
    assert reports == [("read", 0.0), ("fit", 0.5), ("done", 1.0)]


def test_steps_of_a_stage_move_its_share_on(reports: Reports) -> None:
    stopwatch = Stopwatch(lambda stage, share=0.0: reports.append((stage, share)), n_stages=2)
    stopwatch("fit")
    stopwatch.step("als")
    stopwatch.step("als", 0.5)
    stopwatch.step("als")
    stopwatch.step("ease", 1.0)
    half = HALF_OF_STEPS
    assert reports == [
        ("fit", 0.0),
        ("fit: als", 0.0),
        ("fit: als", 0.5 / (0.5 + half) / 2),
        ("fit: als", 1 / (1 + half) / 2),
        ("fit: ease", 3 / (3 + half) / 2),
    ]


def test_a_stage_that_is_reported_again_goes_on(reports: Reports) -> None:
    stopwatch = Stopwatch(lambda stage, share=0.0: reports.append((stage, share)))
    for share in (0.0, 0.5):
        stopwatch("read", share)
    stopwatch("fit")
    assert list(stopwatch.seconds) == ["read"]
    assert reports[1:] == [("read", 0.5 / (0.5 + HALF_OF_STAGES)), ("fit", 1 / (1 + HALF_OF_STAGES))]


@pytest.mark.parametrize("n_stages", [None, 3])
def test_progress_never_goes_back_and_ends_at_one(n_stages: int | None, reports: Reports) -> None:
    stopwatch = Stopwatch(lambda stage, share=0.0: reports.append((stage, share)), n_stages)
    for stage in ("a", "b", "c"):
        stopwatch(stage)
        for label in ("x", "y", "x"):
            for _ in track(range(50), label, stopwatch.step):
                pass
    stopwatch.stop()
    shares = [share for _, share in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
