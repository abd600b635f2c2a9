from __future__ import annotations

import inspect

import pytest

from recsys.core import errors
from recsys.core.errors import FilterError, RecsysError, RequestError, StoreBusyError, UnknownItemError


def test_every_error_is_of_the_family_and_has_a_description() -> None:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, Exception)]
    assert len(classes) >= 9
    for each in classes:
        assert issubclass(each, RecsysError)
        assert each.__doc__


def test_a_request_error_names_its_field() -> None:
    error = RequestError("limit", "0 is out of range: choose 1 to 100")
    assert (error.field, str(error)) == ("limit", "0 is out of range: choose 1 to 100")


@pytest.mark.parametrize("position", [0, 7])
def test_a_filter_error_is_a_request_error_with_a_position(position: int) -> None:
    error = FilterError("expected a number", position)
    assert isinstance(error, RequestError)
    assert (error.field, error.position) == ("filter", position)
    assert FilterError("expected text", 0, "context.region").field == "context.region"


def test_messages_state_the_value_and_the_remedy() -> None:
    assert "'tea'" in str(UnknownItemError("tea"))
    busy = StoreBusyError(9, 5, 10)
    assert busy.n_waiting == 9
    assert str(busy) == "9 entries wait, and 5 more would exceed 10: send them again later"
