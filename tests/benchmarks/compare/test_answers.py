from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from benchmarks.compare.answers import N_SHOWN, TOLERANCE, AnswerComparison, AnswerPage, compare

LIST: dict[str, Any] = {
    "recommendation_id": "a-1",
    "model_version": "one",
    "next_page_token": "token of one",
    "placement": "for_you",
    "fallback_used": False,
    "missing_ids": [],
    "head_share": 0.5,
    "items": [
        {"item_id": "i1", "score": 0.5, "rank": 1, "source": "als", "reasons": [{"code": "popular", "text": "sold"}]},
        {"item_id": "i2", "score": 0.25, "rank": 2, "source": "ease", "reasons": []},
    ],
}


def pages(*bodies: dict[str, Any], status: int = 200) -> list[AnswerPage]:
    return [AnswerPage(status, body) for body in bodies]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The list with another value at a path such as `items.0.score`."""
    body = deepcopy(LIST)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place: Any = body
    for step in way:
        place = place[step]
    place[last] = value
    return body


def against(body: dict[str, Any], **options: Any) -> AnswerComparison:
    return compare(pages(LIST), pages(body), **options)


def test_equal_lists_are_equal() -> None:
    found = against(deepcopy(LIST))
    assert found.is_equal
    assert found.differences == []
    assert found.max_score_difference == 0


@pytest.mark.parametrize("name", ["recommendation_id", "model_version", "next_page_token"])
def test_fields_that_identify_a_server_a_bundle_or_a_call_may_differ(name: str) -> None:
    assert against(changed(name, "other")).is_equal


@pytest.mark.parametrize("sign", [-1, 1])
def test_scores_are_equal_within_the_tolerance_and_their_difference_is_stated(sign: int) -> None:
    near = against(changed("items.1.score", 0.25 + sign * TOLERANCE / 2))
    assert near.is_equal
    assert near.max_score_difference == pytest.approx(TOLERANCE / 2)
    far = against(changed("items.1.score", 0.25 + sign * TOLERANCE * 2))
    assert [difference.path for difference in far.differences] == ["page 1.items[1].score"]
    assert far.max_score_difference == pytest.approx(TOLERANCE * 2)


def test_large_scores_are_equal_within_a_share_of_them() -> None:
    large, near, far = (pages({"score": score}) for score in (1e6, 1e6 + 5, 1e6 + 20))
    assert compare(large, near).is_equal
    assert not compare(large, far).is_equal


def test_a_score_that_is_not_a_number_differs() -> None:
    assert not against(changed("items.1.score", float("nan"))).is_equal
    assert not against(changed("items.1.score", None)).is_equal


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("items.0.item_id", "i3"),
        ("items.0.source", "popular"),
        ("items.0.reasons.0.text", "sells"),
        ("items.0.reasons", []),
        ("fallback_used", True),
        ("fallback_used", 0),
        ("missing_ids", ["i9"]),
        ("head_share", 0.6),
        ("next_page_token", None),
        ("items", LIST["items"][:1]),
        ("items", LIST["items"][::-1]),
        ("an_added_field", 1),
    ],
)
def test_anything_else_that_differs_is_found(path: str, value: Any) -> None:
    left = against(changed(path, value))
    right = compare(pages(changed(path, value)), pages(LIST))
    assert not left.is_equal
    assert left.n_differences == right.n_differences > 0


def test_the_path_and_both_values_are_stated() -> None:
    found = against(changed("items.0.item_id", "i3"))
    assert [str(difference) for difference in found.differences] == ["page 1.items[0].item_id: 'i1' != 'i3'"]


def test_a_page_that_one_side_lacks_is_a_difference() -> None:
    two = pages(LIST, LIST)
    lost, gained = compare(two, two[:1]), compare(two[:1], two)
    assert [str(difference) for difference in lost.differences] == ["page 2: 'present' != 'missing'"]
    assert [str(difference) for difference in gained.differences] == ["page 2: 'missing' != 'present'"]


def test_later_pages_are_compared_too() -> None:
    found = compare(pages(LIST, LIST), pages(LIST, changed("items.0.item_id", "i3")))
    assert [difference.path for difference in found.differences] == ["page 2.items[0].item_id"]


def test_problems_are_compared_by_status_and_fields_not_by_wording() -> None:
    problem = {"detail": "limit is 0", "errors": [{"field": "limit", "message": "limit is 0"}]}
    other = {"detail": "not a limit: 0", "errors": [{"field": "limit", "message": "not a limit: 0"}]}
    assert compare(pages(problem, status=422), pages(other, status=422)).is_equal
    assert not compare(pages(problem, status=422), pages(other, status=400)).is_equal
    elsewhere = {"detail": "", "errors": [{"field": "as_of"}]}
    assert not compare(pages(problem, status=422), pages(elsewhere, status=422)).is_equal


def test_a_field_with_another_name_is_compared_under_one() -> None:
    old, new = ([AnswerPage(200, {name: LIST["items"]})] for name in ("shelves", "lists"))
    assert not compare(old, new).is_equal
    assert compare(old, new, renamed={"shelves": "lists"}).is_equal
    assert compare(new, old, renamed={"shelves": "lists"}).is_equal


def test_a_field_may_be_left_out() -> None:
    other = changed("items.0.reasons.0.text", "sells")
    assert against(other, ignored=frozenset({"text", "recommendation_id", "model_version"})).is_equal


def test_many_differences_are_counted_and_the_first_are_kept() -> None:
    left, right = ([AnswerPage(200, {"values": [value] * 50})] for value in (0, 1))
    found = compare(left, right)
    assert found.n_differences == 50
    assert len(found.differences) == N_SHOWN
