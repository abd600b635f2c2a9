"""Comparison of the answers of two servers, field by field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TOLERANCE: Final = 1e-5
"""Absolute or relative, whichever allows more: sums in another order differ in their last digits."""

IGNORED: Final = frozenset({"recommendation_id", "model_version", "seq"})
"""Fields that name a server, a bundle or a call, and so differ between equal lists."""

OPAQUE: Final = frozenset({"next_page_token"})
"""Fields of which only their presence is compared."""

RENAMED: Final[Mapping[str, str]] = {}
"""Fields of an answer that have another name on one side: the old name, and the name they are compared under."""

OK: Final = 200
FAILED: Final = 500
N_SHOWN: Final = 20


@dataclass(frozen=True)
class AnswerPage:
    """One answer of a server.

    Attributes:
        status: of the response.
        body: its JSON.
    """

    status: int
    body: Any


@dataclass(frozen=True)
class Difference:
    """One place where two answers differ.

    Attributes:
        path: of the field, such as `page 1.items[3].score`.
        reference: what the answer of the reference has there.
        candidate: what the answer of the working tree has there.
    """

    path: str
    reference: Any
    candidate: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.reference!r} != {self.candidate!r}"


@dataclass
class AnswerComparison:
    """What the comparison of two answers found.

    Attributes:
        differences: the first `N_SHOWN` places that differ.
        n_differences: how many places differ.
        max_score_difference: largest absolute difference of two scores at the same index, 0 where all are equal.
    """

    differences: list[Difference] = field(default_factory=list)
    n_differences: int = 0
    max_score_difference: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether no index differs."""
        return self.n_differences == 0


def compare(
    reference: list[AnswerPage],
    candidate: list[AnswerPage],
    *,
    ignored: frozenset[str] = IGNORED,
    renamed: Mapping[str, str] = RENAMED,
) -> AnswerComparison:
    """Compare the pages that two servers gave for one request.

    Statuses must be equal. Bodies of successful answers must have the same fields; numbers may differ by `TOLERANCE`,
    everything else must be equal. Of a problem, only the names of the wrong fields count: its wording is not a list.

    Args:
        reference: pages of the reference, in order.
        candidate: pages of the working tree, in order.
        ignored: names of fields that are not compared.
        renamed: fields with another name on one side: old name to new name.
    """
    found = AnswerComparison()
    for number in range(max(len(reference), len(candidate))):
        name = f"page {number + 1}"
        if number >= min(len(reference), len(candidate)):
            _add(found, _missing(name, number < len(reference)))
            continue
        left, right = reference[number], candidate[number]
        if left.status != right.status:
            _add(found, Difference(f"{name}.status", left.status, right.status))
            continue
        values = [_normalized(_compared(page), ignored, renamed) for page in (left, right)]
        for path, a, b in _pairs(name, *values):
            _compare_leaf(found, path, a, b)
    return found


def _missing(name: str, in_reference: bool) -> Difference:
    return Difference(name, *(("present", "missing") if in_reference else ("missing", "present")))


def _compared(page: AnswerPage) -> Any:
    if page.status == OK or not isinstance(page.body, dict):
        return page.body
    return {"errors": [error.get("field") for error in page.body.get("errors", [])]}


def _normalized(value: Any, ignored: frozenset[str], renamed: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_normalized(each, ignored, renamed) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        renamed.get(name, name): (each is not None) if name in OPAQUE else _normalized(each, ignored, renamed)
        for name, each in value.items()
        if renamed.get(name, name) not in ignored
    }


_ABSENT: Final = "(absent)"


def _pairs(path: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the leaves of two values side by side."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in left | right:
            yield from _pairs(f"{path}.{name}", left.get(name, _ABSENT), right.get(name, _ABSENT))
    elif isinstance(left, list) and isinstance(right, list):
        for index in range(max(len(left), len(right))):
            sides = (values[index] if index < len(values) else _ABSENT for values in (left, right))
            yield from _pairs(f"{path}[{index}]", *sides)
    else:
        yield path, left, right


def _compare_leaf(found: AnswerComparison, path: str, left: Any, right: Any) -> None:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right))
    if numeric and path.endswith(".score"):
        found.max_score_difference = max(found.max_score_difference, abs(left - right))
    is_equal = math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numeric else _same(left, right)
    if not is_equal:
        _add(found, Difference(path, left, right))


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _add(found: AnswerComparison, difference: Difference) -> None:
    found.n_differences += 1
    if len(found.differences) < N_SHOWN:
        found.differences.append(difference)
