from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta
from msgspec import inspect as types

from recsys.core.config.ranges import (
    ASCENDING,
    Number,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Share,
    Text,
    expected_text,
    in_range,
    range_text,
    type_text,
)

Hours = Annotated[tuple[Annotated[int, Meta(ge=0, le=23)], ...], Meta(extra={ASCENDING: True})]


@pytest.mark.parametrize(
    ("annotation", "kind", "valid", "expected"),
    [
        (PositiveInt, "whole number", ">= 1", "a whole number >= 1"),
        (PositiveFloat, "number", "> 0", "a number > 0"),
        (Annotated[float, Meta(lt=2)], "number", "< 2", "a number < 2"),
        (PositiveShare, "number", "in (0, 1]", "a number in (0, 1]"),
        (Annotated[float, Meta(gt=0, lt=0.5)], "number", "in (0, 0.5)", "a number in (0, 0.5)"),
        (float, "number", "finite", "a number finite"),
        (int, "whole number", "", "a whole number"),
        (bool, "true or false", "", "true or false"),
        (Text, "text", "", "a text"),
        (str | None, "text", "", "a text"),
        (Literal["b", "a"], "text", "one of 'a', 'b'", "one of 'a', 'b'"),
        (Hours, "list of whole numbers", "in [0, 23], ascending", "a list of whole numbers"),
        (dict[str, Share], "table of numbers", "in [0, 1]", "a table of numbers"),
    ],
)
def test_types_and_ranges_in_words(annotation: Any, kind: str, valid: str, expected: str) -> None:
    declared = types.type_info(annotation)
    assert (type_text(declared), range_text(declared), expected_text(declared)) == (kind, valid, expected)


@pytest.mark.parametrize(
    ("annotation", "inside", "outside"),
    [
        (PositiveInt, [1, 7], [0, -1]),
        (PositiveShare, [0.1, 1], [0, 1.1]),
        (Share, [0, 1], [-0.1, 1.1]),
        (Annotated[float, Meta(gt=0, lt=0.5)], [0.1], [0, 0.5]),
        (float, [-1e300, 0], []),
    ],
)
def test_open_and_closed_ends_and_no_number_that_is_not_finite(
    annotation: Any, inside: list[float], outside: list[float]
) -> None:
    kind = types.type_info(annotation)
    assert isinstance(kind, Number)
    assert all(in_range(kind, number) for number in inside)
    assert not any(in_range(kind, number) for number in [*outside, math.nan, math.inf, -math.inf])
