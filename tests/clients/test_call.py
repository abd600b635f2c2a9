from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from recsys_client.call import UNSET, Call
from recsys_client.models import Alive


def call(path: str = "/v1/x", path_values: dict[str, str] | None = None, query: Any = None, body: Any = None) -> Any:
    return Call("POST", path, Alive, path_values or {}, query or {}, body)


@pytest.mark.parametrize(
    ("item_id", "path"),
    [
        ("纸巾/3层", "%E7%BA%B8%E5%B7%BE%2F3%E5%B1%82"),
        ("two words", "two%20words"),
        ("50%", "50%25"),
        ("{b}", "%7Bb%7D"),
    ],
)
def test_ids_are_percent_encoded_as_a_whole(item_id: str, path: str) -> None:
    assert call("/v1/items/{item_id}/recommendations", {"item_id": item_id}).url == f"/v1/items/{path}/recommendations"


def test_parameters_that_are_not_given_are_left_out() -> None:
    query = {"log": False, "limit": 3, "user_id": None, "as_of": datetime(2024, 1, 1, tzinfo=UTC), "filter": "a = 'ü'"}
    url = call(query=query).url
    assert url == "/v1/x?log=false&limit=3&as_of=2024-01-01T00%3A00%3A00%2B00%3A00&filter=a+%3D+%27%C3%BC%27"
    assert call().url == "/v1/x"


def test_fields_that_are_unset_are_left_out_and_none_is_null() -> None:
    body = {"price": None, "title": UNSET, "created_at": datetime(2024, 1, 1, tzinfo=UTC)}
    assert json.loads(call(body=body).content) == {"price": None, "created_at": "2024-01-01T00:00:00+00:00"}
    assert call().content is None
    with pytest.raises(TypeError, match="set cannot be sent as JSON"):
        assert call(body={"tags": {1}}).content


def test_arguments_are_found_by_name() -> None:
    given = call(path_values={"a": "1"}, query={"b": 2}, body={"c": 3, "d": UNSET})
    assert [given.argument(name) for name in "abcde"] == ["1", 2, 3, None, None]
