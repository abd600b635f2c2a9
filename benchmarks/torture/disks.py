"""A disk that is full, at any moment, and one that cannot be written at all."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.torture.attack import Arena, Outcome, rounds, tracebacks
from benchmarks.torture.callers import Callers, call, lost_or_doubled
from recsys.bundles.registry import LIVE_LOG
from recsys.eventlog.sqlite import SqliteStore

FULL_S: Final = 60
PAGE_KB: Final = 4
START_KB: Final = 12
"""Room for the server's own output, and none for a live log."""


def full_disk(arena: Arena, seconds: float) -> Outcome:
    """Let the live log grow until no byte fits: events are refused, lists and erasures answer, nothing is lost."""
    tries = checked = lost = failed = 0
    faults: list[str] = []
    for number in rounds(seconds):
        room = arena.room(f"full-{number}")
        callers = Callers(f"d{number}", arena.items[0], 2)
        with arena.server(room, max_file_kb=arena.random.randrange(60, 1_500) * PAGE_KB) as server:
            callers.start(server.port)
            deadline = time.monotonic() + FULL_S
            while not callers.statuses[503] and time.monotonic() < deadline:
                time.sleep(0.05)
            erased, reply = call(server.port, "DELETE", "/v1/users/u")
            listed, _ = call(server.port, "GET", "/v1/users/u/recommendations")
            callers.join()
        tries += 1
        checked += len(callers.acknowledged)
        if erased == 200 and reply["removed"]:
            wrong = _events_before(room / LIVE_LOG, reply["seq"]) > 0
        else:
            lost += lost_or_doubled(callers.acknowledged, room / LIVE_LOG)
            wrong = erased not in (200, 503)
        wrong = wrong or listed != 200 or callers.statuses[503] == 0 or callers.statuses[500] > 0
        if wrong or tracebacks(room / "log"):
            failed += 1
            faults.append(
                f"erasure {erased}, list {listed}, events {dict(callers.statuses)},"
                f" {tracebacks(room / 'log')} tracebacks"
            )
        with arena.server(room) as server:
            again = Callers(f"again{number}", arena.items[0], 1)
            again.start(server.port)
            time.sleep(0.5)
            again.join()
        failed += not again.acknowledged
        lost += lost_or_doubled(again.acknowledged, room / LIVE_LOG)
        checked += len(again.acknowledged)
    return Outcome("full disks", tries, checked, lost, failed, "; ".join(faults[:1]))


def _events_before(path: Path, seq: int) -> int:
    """Return the number of events that were stored before an erasure and are still there."""
    with closing(SqliteStore(path)) as store:
        found = store.read_after(0, 1_000_000, without=("erasure", "impression"))
    return sum(each.seq < seq for each in found)


def unwritable_disk(arena: Arena, seconds: float) -> Outcome:
    """Start on a disk without room for a live log: the server ends with one clear error."""
    room, tries, failed = arena.room("unwritable"), 0, 0
    for _ in rounds(min(seconds, 1.0)):
        tries += 1
        try:
            with arena.server(room, max_file_kb=START_KB):
                failed += 1
        except SystemExit as error:
            failed += "live log" not in str(error)
    return Outcome("unwritable disks", tries, tries, 0, failed)
