"""Errors of drafts and placements as those of calls."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError, ConfigFault
from recsys.drafts.records import DraftConflictError, UnknownDraftError, UnknownVersionError
from serving.api.changes import as_problems, field_errors
from serving.problems import FieldError, InvalidRequestError


@pytest.mark.parametrize(
    ("error", "status"),
    [(UnknownDraftError("x"), 404), (UnknownVersionError("x"), 404), (DraftConflictError("x"), 409)],
)
def test_errors_have_a_status(error: Exception, status: int) -> None:
    with pytest.raises(HTTPException) as raised, as_problems():
        raise error
    assert (raised.value.status_code, raised.value.detail) == (status, "x")


def test_faults_become_fields() -> None:
    error = ConfigError("all", [ConfigFault("a.b", "one", "3"), ConfigFault("a", "two")])
    assert field_errors(error) == (FieldError("a.b", "one", "3"), FieldError("a", "two"))
    assert field_errors(ConfigError("all")) == (FieldError("toml", "all"),)
    with pytest.raises(InvalidRequestError, match="one; two"), as_problems():
        raise error
