"""Relative dates: `now()`, durations, and their arithmetic with times, against the same in Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import FilterError
from recsys.core.schema import TIMESTAMP
from recsys.filters import FilterCache, compile_filter

NOW: Final = datetime(2024, 5, 20, 12, tzinfo=UTC)
CREATED: Final = (NOW - timedelta(days=1), NOW - timedelta(days=20), None, NOW + timedelta(days=2))
ITEMS: Final = pl.DataFrame({"created_at": CREATED, "days": [1, 2, 3, 4]}, schema_overrides={"created_at": TIMESTAMP})
UNITS: Final = {"minute": 60, "hours": 3600, "DAYS": 86_400, "week": 604_800}


def kept(text: str, **user: object) -> list[bool]:
    return compile_filter(text, ITEMS.schema).mask(ITEMS, user, {"now()": NOW}).tolist()


@given(st.integers(0, 3000), st.sampled_from(sorted(UNITS)), st.sampled_from("<>"))
def test_a_moment_less_a_duration_equals_python(amount: int, unit: str, sign: str) -> None:
    limit = NOW - timedelta(seconds=amount * UNITS[unit])
    expected = [each is not None and (each > limit if sign == ">" else each < limit) for each in CREATED]
    assert kept(f"created_at {sign} now() - {amount} {unit}") == expected
    other = ">" if sign == "<" else "<"
    assert kept(f"now() - created_at {other} {amount} {unit}") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("created_at BETWEEN NOW( ) - 30 days AND now()", [True, True, False, False]),
        ("created_at + 36 hours > now()", [True, False, False, True]),
        ("created_at = now() - 1.0 day", [True, False, False, False]),
        ("now() - 1 day - 1 day - created_at > 2 weeks", [False, True, False, False]),
        ("days > 2", [False, False, True, True]),
        ("user.born + 180 days > now()", [True] * 4),
        ("now() - user.born < 2 weeks", [False] * 4),
        ("user.nothing > now() - 1 day", [False] * 4),
    ],
)
def test_what_is_kept(text: str, expected: list[bool]) -> None:
    assert kept(text, born="2024-03-01") == expected


def test_without_a_moment_nothing_is_newer_or_older() -> None:
    compiled = compile_filter("created_at > now() - 14 days OR created_at <= now() - 14 days", ITEMS.schema)
    assert not compiled.mask(ITEMS).any()
    assert compiled.depends_on == {"now()"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("created_at > now() - 14", "expected a time and a duration, as in now() - 14 days"),
        ("created_at * 2 days > now()", "* is not defined for"),
        ("created_at > now(1)", "now() with 1 arguments: expected 0"),
        ("now > created_at", "unknown column 'now'"),
        ("14 days", "expected a condition"),
        ("days > 3 days", "expected two values of one type"),
        ("created_at > now() - 99999999999 days", "at most a thousand years"),
        ("created_at - 'yesterday' > 1 day", "is not a time"),
        ("category - now() > 1 day", "unknown column"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text, ITEMS.schema)
    assert expected in str(caught.value)


def test_a_kept_mask_is_not_given_at_another_moment() -> None:
    cache, text = FilterCache(), "created_at > now() - 2 days"
    for days, expected in ((0, [True, False, False, True]), (1.5, [False, False, False, True]), (5, [False] * 4)):
        moment = {"now()": NOW + timedelta(days=days)}
        for _ in range(2):
            assert cache.mask(text, ITEMS, "state", {}, moment).tolist() == expected
