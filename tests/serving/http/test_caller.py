"""Who makes a call, and the versions that calls name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.exceptions import HTTPException

from serving.http.caller import LOCAL, Caller, etag
from serving.runtime.auth import SCOPES, new_key

KEY, _ = new_key("Mei", ["view"], datetime(2026, 1, 1, tzinfo=UTC))


def caller(**headers: str) -> Caller:
    return Caller.of(KEY, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def test_the_name_is_that_of_the_key() -> None:
    assert (caller().name, caller().key_id, caller().scopes) == ("Mei", KEY.key_id, ("view",))
    nameless, _ = new_key("", ["view"], datetime(2026, 1, 1, tzinfo=UTC))
    assert Caller.of(nameless, []).name == nameless.key_id
    assert Caller.of(None, []) == Caller(LOCAL, "", SCOPES)


@pytest.mark.parametrize("value", ['"a"', 'W/"a"', '"b", "a"', "*", " * ", 'W/"b" ,"a"'])
def test_a_version_that_is_present(value: str) -> None:
    caller(if_match=value).require_version("a", "it")
    assert caller(if_none_match=value).has_version("a")


@pytest.mark.parametrize("value", ['"b"', "a", "", '"a', "\"'a'\"", "**"])
def test_a_version_that_is_not(value: str) -> None:
    with pytest.raises(HTTPException, match='its version is "a"') as error:
        caller(if_match=value).require_version("a", "draft x")
    assert error.value.status_code == 409
    assert not caller(if_none_match=value).has_version("a")


def test_a_change_names_a_version() -> None:
    with pytest.raises(HTTPException, match="If-Match") as error:
        caller().require_version("a", "draft x")
    assert error.value.status_code == 428
    assert not caller().has_version("a")


def test_the_header_of_a_version_can_be_sent_back() -> None:
    caller(if_match=etag("7")["ETag"]).require_version("7", "it")
