"""The random lists of the log, by which a changed list is valued before it serves, and their clicks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from recsys.core.progress import Progress, silent
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, read_entries
from recsys.experiments.definitions import CONTROL, WINNERS
from recsys.experiments.outcomes import CLICKS
from recsys.pipeline.recommender import Recommender

UNCHANGED: Final = (CONTROL, WINNERS)


@dataclass(frozen=True)
class LoggedList:
    """A random list of the log.

    Attributes:
        id: its `recommendation_id`.
        at: seconds since 1970.
        item_ids: in the order shown.
        user: its ids by column.
        log_seq: number of the last entry of the log that it was made with; None if the log does not have it.
    """

    id: str
    at: int
    item_ids: tuple[str, ...]
    user: dict[str, str]
    log_seq: int | None


@dataclass(frozen=True)
class RandomLists:
    """What the log has of one placement.

    Attributes:
        lists: those that were drawn at random with the current bundle, oldest first.
        left_out: number of all others, by the reason.
        clicked: ids of lists and items of all clicks that name a list.
    """

    lists: list[LoggedList]
    left_out: Counter[str]
    clicked: set[tuple[str, str]]


def read_random_lists(
    recommender: Recommender,
    store: EventStore,
    name: str,
    batch: int = READ_BATCH,
    on_progress: Progress = silent,
) -> RandomLists:
    """Read the random lists of a placement, and the clicks, in one pass over the log.

    Args:
        recommender: the current bundle.
        store: the live log.
        name: of the placement.
        batch: entries to read at a time.
        on_progress: gets the share that is read.
    """
    found = RandomLists([], Counter(), set())
    last_seq = max(store.last_seq(), 1)
    for entries in read_entries(store, batch):
        for stored in entries:
            entry = stored.entry
            if entry.entry_type == "impression" and entry.body.get("placement") == name and entry.key is not None:
                _keep(found, entry, entry.key, recommender.version)
            elif entry.entry_type == "event" and entry.body.get("event") in CLICKS:
                list_id = entry.body.get("recommendation_id")
                if list_id is not None:
                    found.clicked.add((list_id, entry.body.get("item_id", "")))
        if entries:
            on_progress("log", min(entries[-1].seq / last_seq, 1.0))
    return found


def _keep(found: RandomLists, entry: LogEntry, list_id: str, version: str) -> None:
    """Keep a list, or count why it is left out."""
    body, items = entry.body, entry.body.get("items", ())
    user = {key: body[key] for key in ("user_id", "visitor_id", "session_id") if body.get(key) is not None}
    is_first = all(item.get("position") in (None, place) for place, item in enumerate(items, 1))
    if body.get("model_version") != version:
        found.left_out["of another bundle"] += 1
    elif any(variant not in UNCHANGED for variant in (body.get("experiments") or {}).values()):
        found.left_out["of another variant"] += 1
    elif not any(item.get("propensity") for item in items):
        found.left_out["not random"] += 1
    elif not is_first or not user:
        found.left_out["later pages, or of nobody"] += 1
    else:
        ids = tuple(str(item.get("item_id")) for item in items)
        found.lists.append(LoggedList(list_id, int(entry.at), ids, user, entry.made_with))
