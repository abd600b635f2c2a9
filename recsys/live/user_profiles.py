"""Attributes of users: the bundle's users table with the changes of the live log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from recsys.core.ids import UNKNOWN
from recsys.core.schema import PERSONALIZATION
from recsys.data.row_changes import RowDict, apply_patch
from recsys.fitting.engine import Engine


class UserProfiles:
    """User rows over one engine.

    Args:
        base: the bundle's engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        self._base = base
        self._changed: dict[str, RowDict] = {}
        self._has_timezones = any(zone is not None for zone in base.user_timezones)

    def apply(self, user_id: str, entry_type: str, body: Mapping[str, Any]) -> None:
        """Apply a change: `user_put`, `user_patch` or `user_delete`."""
        self._changed[user_id] = apply_patch(self.of(user_id), entry_type, body) or {}

    def erase(self, user_id: str) -> None:
        """Remove all attributes except an opt-out."""
        self._changed[user_id] = {PERSONALIZATION: False} if self.is_opted_out(user_id) else {}

    @property
    def changed(self) -> tuple[str, ...]:
        """Users whose attributes were changed or erased."""
        return tuple(self._changed)

    def has_changed(self, user_id: str) -> bool:
        """Return whether the attributes of a user were changed or erased."""
        return user_id in self._changed

    def of(self, user_id: str) -> RowDict:
        """Return all columns of a user, nulls included; empty for an unknown user."""
        known = self._changed.get(user_id)
        if known is not None:
            return known
        row = self._base.users.row(user_id)
        return self._base.users_table.row(row, named=True) if row != UNKNOWN else {}

    @property
    def has_timezones(self) -> bool:
        """Whether any user may live in another zone than the shop's."""
        return self._has_timezones or bool(self._changed)

    def timezone(self, user_id: str) -> str | None:
        """Return the user's own IANA zone, None for the shop's."""
        known = self._changed.get(user_id)
        if known is not None:
            return _zone(known.get("timezone"))
        row = self._base.users.row(user_id)
        return self._base.user_timezones[row] if row != UNKNOWN else None

    def is_opted_out(self, user_id: str) -> bool:
        """Return whether the user opted out of lists that need a history."""
        known = self._changed.get(user_id)
        if known is not None:
            return known.get(PERSONALIZATION) is False
        row = self._base.users.row(user_id)
        return row != UNKNOWN and bool(self._base.is_opted_out[row])


def _zone(name: Any) -> str | None:
    """Return the name of a known zone, else None: a log of another release must not fail a list."""
    if not isinstance(name, str):
        return None
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError, ValueError):
        return None
