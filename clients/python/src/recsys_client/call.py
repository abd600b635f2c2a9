"""One call of the API, as a request of HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

T = TypeVar("T")


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = 0


UNSET: Final = Unset.UNSET
"""Stands for a field that is left out of a body; None is sent as `null`."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call.

    Attributes:
        method: of HTTP.
        path: with `{names}`.
        answer: the type of the answer.
        path_values: parameters of the path, by name.
        query: parameters of the query; those that are None are left out.
        body: JSON, or fields of which those that are `UNSET` are left out; None without a body.
        is_safe: whether it can be sent again after a failure that leaves open whether it was carried out.
    """

    method: str
    path: str
    answer: type[T]
    path_values: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    is_safe: bool = True

    @property
    def url(self) -> str:
        """Return the path and the query, percent-encoded."""
        path = self.path
        for name, value in self.path_values.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        given = {name: _text(value) for name, value in self.query.items() if value is not None}
        return f"{path}?{urlencode(given)}" if given else path

    @property
    def content(self) -> bytes | None:
        """Return the body as JSON, None without one."""
        if self.body is None:
            return None
        given = self.body
        if isinstance(given, Mapping):
            given = {name: value for name, value in given.items() if value is not UNSET}
        return json.dumps(given, ensure_ascii=False, default=_plain).encode()

    def argument(self, name: str) -> Any:
        """Return a parameter or a field by its name, None if it is not given."""
        body = self.body if isinstance(self.body, Mapping) else {}
        found = next((each[name] for each in (self.path_values, self.query, body) if name in each), None)
        return None if found is UNSET else found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: expected texts, numbers, lists or dicts")
