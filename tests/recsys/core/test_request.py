from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from recsys.core.request import DEFAULT_LIMIT, MAX_LIMIT, Request


def test_a_request_is_for_an_anonymous_user_unless_stated() -> None:
    request = Request("for_you", 0)
    assert (request.user_id, request.visitor_id, request.session_id) == (None, None, None)
    assert (request.limit, request.item_ids, dict(request.context)) == (DEFAULT_LIMIT, (), {})
    assert request.filter is None
    assert 1 <= DEFAULT_LIMIT <= MAX_LIMIT


def test_a_request_cannot_be_changed() -> None:
    request = Request("for_you", 0)
    with pytest.raises(FrozenInstanceError):
        request.limit = 3  # type: ignore[misc]


def test_requests_with_equal_fields_are_equal() -> None:
    assert Request("for_you", 7, user_id="u") == Request("for_you", 7, user_id="u")
    assert Request("for_you", 7, user_id="u") != Request("for_you", 8, user_id="u")
