"""The file of placements that is being served, and its exchange for a newer one without a pause."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from recsys.bundles.bundle import TABLE_FILES
from recsys.bundles.registry import current_version
from recsys.core.errors import ConfigError, RecsysError
from recsys.rules.loader import read_placements
from recsys.rules.placement_registry import BUILT_IN
from serving.runtime.settings import Settings

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""What differs between two versions of a file: when it was written, its size and its inode."""

NEVER: Final[Stamp] = (-1, -1, -1)


class PlacementFile:
    """Follows a file of placements; a version that is broken is refused, and the one before serves on.

    Args:
        path: the file, None for the lists that are built in.

    Attributes:
        book: what the last good version says.
        last_error: why the newest version is not served, None if it is.

    Raises:
        ConfigError: naming everything that is wrong with the file, but for filters: those want a catalogue.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = NEVER if path is None else _stamp(path)
        self.book = BUILT_IN if path is None else read_placements(path)
        self.last_error: str | None = None

    def look(self, schema: Mapping[str, pl.DataType] | None) -> bool:
        """Take up a newer version of the file, if it is good.

        Args:
            schema: columns of the catalogue that its filters must fit, None to read them later.

        Returns:
            Whether `book` is another now.
        """
        if self._path is None:
            return False
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.book = read_placements(self._path, schema)
        except ConfigError as error:
            self.last_error = f"the newest placements are refused, those before serve on: {error}"
            logger.error("%s", self.last_error)
            return False
        self.last_error = None
        logger.info("the placements of %s are being served", self._path)
        return True


def check_placements(settings: Settings) -> None:
    """Read the file of placements that the settings name, if any, and hold it against the current bundle, if any.

    Raises:
        ConfigError: naming everything that is wrong with the file.
    """
    if settings.placements is None:
        return
    try:
        version = current_version(settings.models)
        schema = (
            None if version is None else pl.read_parquet_schema(settings.models / version / TABLE_FILES["items_table"])
        )
    except (RecsysError, OSError, pl.exceptions.PolarsError):
        schema = None  # that there is no good bundle is told once it is opened
    read_placements(settings.placements, schema)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return NEVER
    return found.st_mtime_ns, found.st_size, found.st_ino
