"""Callers that send events until the server is gone, and remember what was acknowledged."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.server_process import HOST
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import READ_BATCH, read_entries

PER_CALL: Final = 20
JSON_TYPE: Final = {"Content-Type": "application/json"}
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Callers:
    """Threads that send numbered events to a server, each once.

    Args:
        name: begins the ids of the events.
        item_id: of all events.
        count: number of threads.

    Attributes:
        acknowledged: ids of the events that the server has accepted.
        statuses: number of responses by status.
    """

    def __init__(self, name: str, item_id: str, count: int = 4) -> None:
        self._name, self._item_id, self._count = name, item_id, count
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.acknowledged: set[str] = set()
        self.statuses: Counter[int] = Counter()

    def start(self, port: int) -> None:
        """Send events until `join`, or until the server is gone."""
        self._threads = [threading.Thread(target=self._run, args=(port, n)) for n in range(self._count)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all threads have ended."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, port: int, caller: int) -> None:
        number = 0
        while not self._stopped.is_set():
            ids = [f"{self._name}-{caller}-{number}-{n}" for n in range(PER_CALL)]
            events = [{"event_id": id_, "event": "view_item", "item_id": self._item_id, "user_id": "u"} for id_ in ids]
            try:
                status, reply = call(port, "POST", "/v1/events", {"events": events})
            except (OSError, http.client.HTTPException, ValueError):
                return
            self.statuses[status] += 1
            if status == http.client.OK:
                self.acknowledged |= {each["event_id"] for each in reply["results"] if each["status"] == "accepted"}
            number += 1


def call(
    port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] = NO_HEADERS
) -> tuple[int, Any]:
    """Send one request; return the status and the decoded body."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), {**JSON_TYPE, **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")


def stored_ids(path: Path) -> Counter[str | None]:
    """Return how often each event id is in a live log."""
    with closing(SqliteStore(path)) as store:
        stored = (each.entry for entries in read_entries(store, READ_BATCH) for each in entries)
        return Counter(entry.key for entry in stored if entry.entry_type == "event")


def lost_or_doubled(acknowledged: set[str], path: Path) -> int:
    """Return the number of acknowledged events that a live log lacks, and of ids that it has twice."""
    found = stored_ids(path)
    return len(acknowledged - found.keys()) + sum(count > 1 for key, count in found.items() if key is not None)
