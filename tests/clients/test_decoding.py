from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from recsys_client.decoding import decode


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Whole:
    parts: list[Part]
    at: datetime
    by_name: dict[str, int | None]
    kind: Literal["a", "b"]
    one: Part | None = None
    free: Any = None


GIVEN: dict[str, Any] = {
    "parts": [{"name": "x", "score": 1}],
    "at": "2024-06-30T00:00:00Z",
    "by_name": {"a": 1, "b": None},
    "kind": "a",
    "newer_field": 1,
}


def test_json_becomes_dataclasses() -> None:
    found = decode(Whole, GIVEN | {"one": {"name": "y", "score": 0.5}, "free": [1]})
    assert found == Whole(
        parts=[Part(name="x", score=1.0)],
        at=datetime(2024, 6, 30, tzinfo=UTC),
        by_name={"a": 1, "b": None},
        kind="a",
        one=Part(name="y", score=0.5),
        free=[1],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": {}}, r"Whole\.parts is \{\}: expected list"),
        ({"parts": [{"name": "x", "score": "1"}]}, r"Whole\.parts\[0\]\.score is '1'"),
        ({"parts": [{"name": "x", "score": True}]}, r"Whole\.parts\[0\]\.score is True"),
        ({"parts": [{"name": "x"}]}, r"Whole\.parts\[0\]: .*score"),
        ({"at": "soon"}, "soon"),
        ({"by_name": {"a": "1"}}, r"Whole\.by_name\.a is '1': expected int"),
        ({"one": 3}, r"Whole\.one is 3: expected dict"),
    ],
)
def test_other_json_is_refused_with_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(Whole, GIVEN | change)
