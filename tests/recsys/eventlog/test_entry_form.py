from __future__ import annotations

from typing import Any

import pytest

from recsys.eventlog.entry_form import fault_of
from recsys.eventlog.store import EntryType, LogEntry


@pytest.mark.parametrize(
    ("entry_type", "key", "body", "fault"),
    [
        ("event", None, {"item_id": [5]}, None),
        ("item_put", "i", {"offers": None, "attributes": {"leaf": [1]}}, None),
        ("item_put", "i", {"offers": 5}, "offers is '5': expected a list of objects"),
        ("item_patch", "i", {"offers": [{}, 5]}, "offers is '[{}, 5]': expected a list of objects"),
        ("item_patch", None, {}, "key is 'None': expected an id"),
        ("item_delete", "i", {"offers": 5}, None),
        ("user_put", "u", {"attributes": "x"}, "attributes is 'x': expected an object"),
        ("user_delete", None, {}, "key is 'None': expected an id"),
        ("merge", "u", {"into": "v"}, None),
        ("merge", "u", {}, "into is 'None': expected an id"),
        ("unmerge", None, {}, "key is 'None': expected an id"),
        ("erasure", "u", {}, None),
        ("impression", None, {"items": [{"item_id": "i"}]}, None),
        ("impression", None, {}, None),
        ("impression", None, {"items": 5}, "items is '5': expected a list of objects"),
        ("impression", None, {"shown": [{"recommendation_id": "r", "at": 1}]}, None),
        ("impression", None, {"shown": []}, None),
        (
            "impression",
            None,
            {"shown": [{"at": 1}]},
            "shown is \"[{'at': 1}]\": expected a list of objects with",
        ),
    ],
)
def test_what_readers_rely_on_is_checked(
    entry_type: EntryType, key: str | None, body: dict[str, Any], fault: str | None
) -> None:
    found = fault_of(LogEntry(entry_type, key, 1.0, 1.0, body))
    assert found is None if fault is None else str(found).startswith(fault)


def test_the_number_that_a_list_was_made_with_is_a_number() -> None:
    wrong = LogEntry("impression", "r", 1.0, 1.0, {"items": []}, made_with="x")  # type: ignore[arg-type]
    assert fault_of(wrong) == "made_with is 'x': expected the number of an entry"
    assert fault_of(LogEntry("impression", "r", 1.0, 1.0, {"items": []}, made_with=0)) is None


@pytest.mark.parametrize("time", ["noon", b"x", None, 1e300, -1e300, float("nan")])
def test_times_are_seconds(time: Any) -> None:
    expected = f"is {str(time)!r}: expected seconds since 1970"
    assert fault_of(LogEntry("event", None, time, 1.0, {})) == f"at {expected}"
    assert fault_of(LogEntry("event", None, 1.0, time, {})) == f"received_at {expected}"
