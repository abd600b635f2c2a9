"""Identities: ids that are merged into one user, and ids that were erased."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from recsys.core.ids import SESSION
from recsys.eventlog.store import LogEntry


def user_key(user_id: str | None, visitor_id: str | None = None, session_id: str | None = None) -> str | None:
    """Return the key of a user's events: the user id, else the visitor id, else a key for the session."""
    if user_id is not None:
        return user_id
    if visitor_id is not None:
        return visitor_id
    return None if session_id is None else SESSION + session_id


class Identities:
    """Merges and erasures, applied in the order of the log.

    A merge points one id at another; chains are followed to their root. A merge that would close a cycle is ignored.

    Args:
        merges: by id, the id that it is merged into, as in the bundle's tables.
    """

    def __init__(self, merges: Mapping[str, str] | None = None) -> None:
        self._into: dict[str, str] = {}
        self._sources: dict[str, dict[str, None]] = defaultdict(dict)
        self._erased: dict[str, float] = {}
        for source, target in (merges or {}).items():
            self.merge(source, target)

    def apply(self, entry: LogEntry) -> bool:
        """Apply an entry of the log, of any type; False if it is a merge that is ignored."""
        if entry.key is None:
            return True
        if entry.entry_type == "merge" and isinstance(into := entry.body.get("into"), str):
            return self.merge(entry.key, into)
        elif entry.entry_type == "unmerge":
            self.unmerge(entry.key)
        elif entry.entry_type == "erasure":
            self.erase(entry.key, entry.at)
        return True

    @property
    def merges(self) -> Mapping[str, str]:
        """The id that each merged id points at."""
        return self._into

    @property
    def erasures(self) -> Mapping[str, float]:
        """Time of the last erasure by id, seconds since 1970."""
        return self._erased

    def merge(self, source: str, target: str) -> bool:
        """Point `source` at `target` instead of an earlier target; False if that would close a cycle."""
        if self.leads_to(target, source):
            return False
        self.unmerge(source)
        self._into[source] = target
        self._sources[target][source] = None
        return True

    def leads_to(self, key: str, other: str) -> bool:
        """Return whether an id is another, or is merged into it, directly or by a chain."""
        while key != other and key in self._into:
            key = self._into[key]
        return key == other

    def unmerge(self, source: str) -> None:
        """Undo the merge of `source`."""
        target = self._into.pop(source, None)
        if target is not None:
            self._sources[target].pop(source, None)

    def erase(self, key: str, at: float) -> None:
        """Hide events before a moment (seconds since 1970)."""
        self._erased[key] = max(at, self.erased_at(key))

    def target(self, key: str) -> str:
        """Return the root of an id's chain; the id itself if it is not merged."""
        while key in self._into:
            key = self._into[key]
        return key

    def aliases_of(self, target: str) -> tuple[str, ...]:
        """Return an id and all ids that are merged into it, directly or by a chain: itself first, the others sorted."""
        if not self._sources.get(target):
            return (target,)
        found, waiting = [], [target]
        while waiting:
            key = waiting.pop()
            found.append(key)
            waiting.extend(tuple(self._sources.get(key, ())))  # at once: another thread may merge meanwhile
        return (target, *sorted(found[1:]))

    def has_sources(self, target: str) -> bool:
        """Return whether any id is merged into one."""
        return bool(self._sources.get(target))

    def erased_at(self, key: str) -> float:
        """Return when an id was erased, in seconds since 1970; minus infinity if never."""
        return self._erased.get(key, -math.inf)

    def roots(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the merged ids among some, each with the root of its chain."""
        return {key: root for key in keys if (root := self.target(key)) != key}
