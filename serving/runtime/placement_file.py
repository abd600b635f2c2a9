"""The file of placements that is being served, and its replacement by a newer one without a pause."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import polars as pl

from recsys.bundles.bundle import TABLE_FILES
from recsys.bundles.registry import current_version
from recsys.core.errors import ConfigError, RecsysError
from recsys.core.files import file_signature
from recsys.data.row_changes import ATTRIBUTES, promote_dtype
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import ITEM_CHANGES
from recsys.rules.loader import read_placements
from recsys.rules.placement_registry import BUILT_IN
from serving.runtime.settings import Settings

logger = logging.getLogger(__name__)


class PlacementFile:
    """Follows a file of placements; a broken version is refused, and the one before is still served.

    Args:
        path: the file, None for the built-in lists.

    Attributes:
        book: the placements of the last good version.
        last_error: why the newest version is not served, None if it is.

    Raises:
        ConfigError: names everything that is wrong with the file, except filters: those need a catalog.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = None if path is None else file_signature(path)
        self.book = BUILT_IN if path is None else read_placements(path)
        self.last_error: str | None = None

    def poll(self, schema: Mapping[str, pl.DataType] | None) -> bool:
        """Read a newer version of the file, if there is one, and serve it if it is good.

        Args:
            schema: columns of the catalog, to check the filters; None to check them later.

        Returns:
            Whether `book` has changed.
        """
        if self._path is None:
            return False
        signature = file_signature(self._path)
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            self.book = read_placements(self._path, schema)
        except ConfigError as error:
            self.last_error = f"the newest placements are refused, the earlier ones are still served: {error}"
            logger.error("%s", self.last_error)
            return False
        self.last_error = None
        logger.info("the placements of %s are being served", self._path)
        return True


def check_placements(settings: Settings) -> None:
    """Check the file of placements that the settings name, if any, with the catalog of the current bundle, if any.

    Raises:
        ConfigError: names everything that is wrong with the file.
        StoreError: the live log cannot be opened.
    """
    if settings.placements is None:
        return
    try:
        version = current_version(settings.models)
        schema = (
            None if version is None else pl.read_parquet_schema(settings.models / version / TABLE_FILES["items_table"])
        )
    except (RecsysError, OSError, pl.exceptions.PolarsError):
        schema = None  # a missing or broken bundle is reported when it is opened
    try:
        read_placements(settings.placements, schema)
    except ConfigError:
        added = {} if schema is None else _added_columns(settings.store_path)
        if not added:
            raise
        read_placements(settings.placements, {**added, **(schema or {})})


def _added_columns(path: Path) -> dict[str, pl.DataType]:
    """Return the columns that changes of items in the live log have added: filters may name them too."""
    added: dict[str, pl.DataType] = {}
    if path.is_file():
        with closing(SqliteStore(path)) as log:
            for stored in log.read_types(ITEM_CHANGES):
                attributes = stored.entry.body.get(ATTRIBUTES)
                for name, value in attributes.items() if isinstance(attributes, dict) else ():
                    added[name] = promote_dtype(added.get(name, pl.Null()), value)
    return added
