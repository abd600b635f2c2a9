from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsys_client.retries import Retries, is_retried, retry_after_s

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_pauses_grow_up_to_a_limit_and_follow_retry_after() -> None:
    longest = Retries(base_s=0.1, max_pause_s=0.3, chance=lambda: 1.0)
    assert [longest.pause_s(attempt, None) for attempt in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert longest.pause_s(0, 2.0) == pytest.approx(2.1)
    assert Retries(chance=lambda: 0.0).pause_s(5, None) == 0


def test_the_last_attempt_and_the_deadline_end_a_call() -> None:
    retries = Retries(attempts=3, base_s=0.1, deadline_s=5, chance=lambda: 1.0)
    assert retries.again(0, None, 0.0) == pytest.approx(0.1)
    assert retries.again(2, None, 0.0) is None
    assert retries.again(0, None, 4.95) is None
    assert retries.again(0, 10.0, 0.0) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Mon, 01 Jan 2024 00:00:30 GMT", 30.0),
        ("Sun, 31 Dec 2023 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


def test_what_is_sent_again() -> None:
    assert [status for status in range(400, 600) if is_retried(status, is_safe=False)] == [429, 503]
    assert [status for status in range(400, 600) if is_retried(status, is_safe=True)] == [429, 500, 502, 503, 504]
