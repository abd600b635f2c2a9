"""The form of an entry: what its readers rely on, checked where an entry is read, as other programs may write to a log.

Values of single columns are not checked: one that does not fit its column is null in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from recsys.eventlog.store import EntryType, LogEntry

FIRST_SECOND: Final = datetime.min.replace(tzinfo=UTC).timestamp()
END_SECOND: Final = datetime.max.replace(tzinfo=UTC).timestamp()


def fault_of(entry: LogEntry) -> str | None:
    """Return the field whose value has another form than the entry's type requires, and what is expected there.

    Args:
        entry: as stored.

    Returns:
        None for an entry of the right form.
    """
    for name, value in (("at", entry.at), ("received_at", entry.received_at)):
        if not isinstance(value, float | int) or not FIRST_SECOND <= value < END_SECOND:
            return _fault(name, value, "seconds since 1970")
    check = _CHECKS.get(entry.entry_type)
    return None if check is None else check(entry)


def _of_change(entry: LogEntry) -> str | None:
    attributes, offers = entry.body.get("attributes"), entry.body.get("offers")
    if attributes is not None and not isinstance(attributes, Mapping):
        return _fault("attributes", attributes, "an object")
    if offers is not None and not _is_list_of_objects(offers):
        return _fault("offers", offers, "a list of objects")
    return _of_key(entry)


def _of_merge(entry: LogEntry) -> str | None:
    into = entry.body.get("into")
    return _of_key(entry) if isinstance(into, str) else _fault("into", into, "an id")


def _of_key(entry: LogEntry) -> str | None:
    return None if isinstance(entry.key, str) else _fault("key", entry.key, "an id")


def _of_impression(entry: LogEntry) -> str | None:
    items, shown = entry.body.get("items", []), entry.body.get("shown")
    made_with: object = entry.made_with
    if not _is_list_of_objects(items):
        return _fault("items", items, "a list of objects")
    if not isinstance(made_with, int | None):
        return _fault("made_with", made_with, "the number of an entry")
    if shown is None:
        return None
    is_whole = _is_list_of_objects(shown) and all(
        isinstance(each.get("recommendation_id"), str) and isinstance(each.get("at"), float | int) for each in shown
    )
    return None if is_whole else _fault("shown", shown, "a list of objects with recommendation_id and at")


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _fault(name: str, value: Any, expected: str) -> str:
    return f"{name} is {str(value)[:100]!r}: expected {expected}"


_CHECKS: Final[dict[EntryType, Callable[[LogEntry], str | None]]] = {
    "impression": _of_impression,
    "item_put": _of_change,
    "item_patch": _of_change,
    "item_delete": _of_key,
    "user_put": _of_change,
    "user_patch": _of_change,
    "user_delete": _of_key,
    "merge": _of_merge,
    "unmerge": _of_key,
    "erasure": _of_key,
}
