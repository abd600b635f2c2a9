"""Errors of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TOO_MANY: Final = 429
SERVER_ERRORS: Final = 500


class ClientError(Exception):
    """A call that has no answer."""


class UnreachableError(ClientError):
    """The engine cannot be reached: no connection, no answer in time, or a connection that broke."""


class ApiError(ClientError):
    """The engine has refused a call.

    Attributes:
        status: of HTTP.
        detail: what is wrong, in a sentence.
        errors: one object per field: `field`, `message`, `value`.
        retry_after: seconds to wait, None if the engine does not say.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.detail = str(problem.get("detail") or problem.get("title") or "no detail")
        self.errors: list[dict[str, Any]] = list(problem.get("errors") or [])
        self.retry_after = retry_after
        super().__init__(f"{status}: {self.detail}")

    @property
    def is_temporary(self) -> bool:
        """Whether the engine may answer later."""
        return self.status == TOO_MANY or self.status >= SERVER_ERRORS
