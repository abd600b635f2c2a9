"""What is known of a shopper beside events: the bundle's table of users, changed by what the live log says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from recsys.core.ids import UNKNOWN
from recsys.core.schema import PERSONALIZATION
from recsys.data.row_changes import RowDict, apply_patch
from recsys.fitting.engine import Engine


class UserProfiles:
    """Rows of users over one engine.

    Args:
        base: the bundle's engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        self._base = base
        self._changed: dict[str, RowDict] = {}

    def apply(self, user_id: str, kind: str, body: Mapping[str, Any]) -> None:
        """Take a change: `user_put`, `user_patch` or `user_delete`."""
        self._changed[user_id] = apply_patch(self.of(user_id), kind, body) or {}

    def erase(self, user_id: str) -> None:
        """Forget everything but a wish to be left alone."""
        self._changed[user_id] = {PERSONALIZATION: False} if self.is_opted_out(user_id) else {}

    def of(self, user_id: str) -> RowDict:
        """All columns that are known of a user, nulls apart from none; empty for a stranger."""
        known = self._changed.get(user_id)
        if known is not None:
            return known
        row = self._base.users.row(user_id)
        return self._base.users_table.row(row, named=True) if row != UNKNOWN else {}

    def timezone(self, user_id: str) -> str | None:
        """The user's own zone, None for the shop's."""
        known = self._changed.get(user_id)
        if known is not None:
            return _zone(known.get("timezone"))
        row = self._base.users.row(user_id)
        return self._base.user_timezones[row] if row != UNKNOWN else None

    def is_opted_out(self, user_id: str) -> bool:
        """Whether the user wants only lists that need no history."""
        known = self._changed.get(user_id)
        if known is not None:
            return known.get(PERSONALIZATION) is False
        row = self._base.users.row(user_id)
        return row != UNKNOWN and bool(self._base.is_opted_out[row])


def _zone(name: Any) -> str | None:
    """A zone that exists, None for any other: a log that another release wrote must not stop a list."""
    if not isinstance(name, str):
        return None
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError, ValueError):
        return None
