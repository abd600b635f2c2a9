"""Who is who: ids that were joined to one shopper, and those that were erased."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from recsys.eventlog.store import LogEntry

SESSION: Final = "\0session "
"""Begins the key of a shopper of whom only a session is known; ids hold no control characters, so it is nobody's id."""


def user_key(user_id: str | None, visitor_id: str | None = None, session_id: str | None = None) -> str | None:
    """Under what a shopper's events are kept: the user, else the visitor, as in the tables, else the session."""
    if user_id is not None:
        return user_id
    if visitor_id is not None:
        return visitor_id
    return None if session_id is None else SESSION + session_id


class Identities:
    """Merges and tombstones, in the order of the log.

    A merge points one id at another; chains are followed to their end. A merge that would close a circle is ignored.

    Args:
        merges: by id, the one that it was merged into, as the bundle's tables were joined.
    """

    def __init__(self, merges: Mapping[str, str] | None = None) -> None:
        self._into: dict[str, str] = {}
        self._sources: dict[str, set[str]] = defaultdict(set)
        self._erased: dict[str, float] = {}
        for source, target in (merges or {}).items():
            self.merge(source, target)

    def take(self, entry: LogEntry) -> bool:
        """Follow an entry of the log, if it is about identities; False if it is a merge that is ignored."""
        if entry.key is None:
            return True
        if entry.kind == "merge" and isinstance(into := entry.body.get("into"), str):
            return self.merge(entry.key, into)
        elif entry.kind == "unmerge":
            self.unmerge(entry.key)
        elif entry.kind == "erasure":
            self.erase(entry.key, entry.at)
        return True

    @property
    def merges(self) -> Mapping[str, str]:
        """By id, the one that it is merged into."""
        return self._into

    @property
    def erasures(self) -> Mapping[str, float]:
        """By id, the moment of its last erasure, seconds since 1970."""
        return self._erased

    def merge(self, source: str, target: str) -> bool:
        """Point `source` at `target`; an earlier merge of it is replaced. False if that would close a circle."""
        if target in self.aliases_of(source):
            return False
        self.unmerge(source)
        self._into[source] = target
        self._sources[target].add(source)
        return True

    def unmerge(self, source: str) -> None:
        """Let `source` stand for itself again."""
        target = self._into.pop(source, None)
        if target is not None:
            self._sources[target].discard(source)

    def erase(self, key: str, at: float) -> None:
        """Hide what is of before a moment (seconds since 1970)."""
        self._erased[key] = max(at, self.erased_at(key))

    def target(self, key: str) -> str:
        """The id at the end of the chain; the id itself where it was not merged."""
        while key in self._into:
            key = self._into[key]
        return key

    def aliases_of(self, target: str) -> tuple[str, ...]:
        """An id and all that were merged into it, directly or by a chain: itself first, the others in order."""
        if not self._sources.get(target):
            return (target,)
        found, waiting = [], [target]
        while waiting:
            key = waiting.pop()
            found.append(key)
            waiting.extend(self._sources.get(key, ()))
        return (target, *sorted(found[1:]))

    def erased_at(self, key: str) -> float:
        """When an id was erased, in seconds since 1970; minus infinity if it never was."""
        return self._erased.get(key, -math.inf)

    def ends(self, keys: Iterable[str]) -> dict[str, str]:
        """Of the given ids, those that stand for another, each with the end of its chain."""
        return {key: end for key in keys if (end := self.target(key)) != key}
