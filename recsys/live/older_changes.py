"""Changes of the live log that are older than the bundle's catalog files, which win over them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from recsys.core.ids import UNKNOWN
from recsys.data.row_changes import change_time
from recsys.eventlog.store import LogEntry
from recsys.fitting.engine import Engine

NO_CONTENT: Final = ("item_id", "available")


def outdated_parts(base: Engine, entry: LogEntry) -> tuple[bool, bool]:
    """Return whether the bundle's row of an item is newer than a change, and whether its offers are.

    The row is from its `updated_at`, else from the moment of its file; a row that is in the events alone is from no
    file. Where the catalog is complete, every other item is not on sale as of the file.

    Args:
        base: the bundle's engine.
        entry: the change of an item.
    """
    at, shop = change_time(entry.body, entry.received_at), base.dataset_info
    row = base.items.row(entry.key or "")
    known: Mapping[str, Any] = {} if row == UNKNOWN else base.items_table.row(row, named=True)
    updated_at = known.get("updated_at")
    if isinstance(updated_at, datetime):
        return at < updated_at.timestamp(), at < shop.offers_from
    is_in_file = any(value is not None for name, value in known.items() if name not in NO_CONTENT)
    is_known = is_in_file or shop.is_catalog_complete
    return is_known and at < shop.items_from, at < shop.offers_from
