from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from recsys.core.errors import RequestError, StoreBusyError, StoreError, UnknownItemError
from serving.problems import MAX_ECHO, FieldError, InvalidRequestError, NotReadyError, failure_of, shown

FIELD = FieldError("limit", "limit is 0: expected an integer from 1 to 100", "0")


@pytest.mark.parametrize(
    ("error", "status", "fields"),
    [
        (InvalidRequestError([FIELD, FIELD]), 422, ["limit", "limit"]),
        (RequestError("filter", "the filter is wrong"), 422, ["filter"]),
        (UnknownItemError("i"), 404, ["item_id"]),
        (NotReadyError("no bundle", 3), 503, []),
        (StoreBusyError(1, 2, 3), 503, []),
        (StoreError("disk full"), 503, []),
        (HTTPException(409, "conflict"), 409, []),
        (ValueError("a secret"), 500, []),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, fields: list[str]) -> None:
    failure = failure_of(error)
    body = json.loads(failure.body)
    assert list(body) == ["type", "title", "status", "detail", "errors"]
    assert (failure.problem.status, body["status"], body["type"]) == (status, status, "about:blank")
    assert [each["field"] for each in body["errors"]] == fields
    assert ("Retry-After" in failure.headers) == (status == 503)


def test_headers_of_an_error_are_kept() -> None:
    assert failure_of(NotReadyError("no bundle", 3)).headers == {"Retry-After": "3"}
    assert failure_of(HTTPException(405, "no", {"Allow": "GET"})).headers == {"Allow": "GET"}


def test_details_of_the_server_are_logged_and_not_returned(caplog: pytest.LogCaptureFixture) -> None:
    for error in (ValueError("a secret"), StoreError("a secret path")):
        assert "secret" not in failure_of(error).body.decode()
    assert "a secret path" in caplog.text
    assert "ValueError: a secret" in caplog.text


def test_a_message_joins_all_errors() -> None:
    other = FieldError("as_of", "as_of is x: expected a time", "x")
    assert str(InvalidRequestError([FIELD, other])) == f"{FIELD.message}; {other.message}"


@given(st.text(st.characters(), max_size=200) | st.just("\ud800"))
def test_texts_of_callers_can_always_be_returned(text: str) -> None:
    assert len(shown(text)) <= MAX_ECHO
    assert msgspec.json.decode(msgspec.json.encode(shown(text))) == shown(text)
