"""The file of placements that is being served, and its replacement by a newer one without a pause."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl

from recsys.bundles.bundle import TABLE_FILES
from recsys.bundles.registry import current_version
from recsys.core.documents import Document, Place, document_of, present
from recsys.core.errors import ConfigError, RecsysError
from recsys.data.row_changes import ATTRIBUTES, promote_dtype
from recsys.drafts.history import NOTHING, digest
from recsys.eventlog.opening import LogLocation, is_database, open_log
from recsys.eventlog.store import ITEM_CHANGES
from recsys.experiments.state import states_of
from recsys.rules.loader import read_placements
from recsys.rules.placement_registry import BUILT_IN, PlacementRegistry
from recsys.rules.variant_loader import read_with_experiments
from serving.runtime.settings import Settings

logger = logging.getLogger(__name__)


class PlacementFile:
    """Follows the files of placements and of experiments; a broken version is refused, the one before still served.

    Args:
        placements: the file of placements, None for the built-in lists.
        experiments: the file of experiments, None for none; its states are followed too.
        is_optional: whether the file of placements may be missing, for the built-in lists.
        may_lack_experiments: whether the file of experiments may be missing, for none.

    Attributes:
        book: the placements of the last good version.
        version: SHA-256 of the file of placements of that version, as hexadecimal text.
        last_error: why the newest version is not served, None if it is.

    Raises:
        ConfigError: names everything that is wrong with a file, except filters: those need a catalog.
    """

    def __init__(
        self,
        placements: Place | None,
        experiments: Place | None = None,
        *,
        is_optional: bool = False,
        may_lack_experiments: bool = False,
    ) -> None:
        self._placements = None if placements is None else document_of(placements)
        self._experiments = None if experiments is None else document_of(experiments)
        self._is_optional, self._may_lack_experiments = is_optional, may_lack_experiments
        self._seen = self._signature()
        self.version, self.book = self._read()
        self.last_error: str | None = None

    def poll(self, schemas: Sequence[Mapping[str, pl.DataType]] = ()) -> bool:
        """Read a newer version of the file, if there is one, and serve it if it is good.

        Args:
            schemas: columns of the catalog of each bundle, to check the filters; none to check them later.

        Returns:
            Whether `book` has changed.
        """
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            (self.version, self.book), *_ = [self._read(schema) for schema in schemas or (None,)]
        except ConfigError as error:
            self.last_error = f"the newest placements are refused, the earlier ones are still served: {error}"
            logger.error("%s", self.last_error)
            return False
        self.last_error = None
        logger.info("the placements of %s are being served", self._placements or self._experiments)
        return True

    def _read(self, schema: Mapping[str, pl.DataType] | None = None) -> tuple[str, PlacementRegistry]:
        placements = present(self._placements, is_optional=self._is_optional)
        experiments = present(self._experiments, is_optional=self._may_lack_experiments)
        registry = read_lists(placements, experiments, schema)
        return NOTHING if placements is None else digest(placements.read()), registry

    def _signature(self) -> tuple[Hashable | None, ...]:
        documents = [self._placements]
        if self._experiments is not None:
            documents += [self._experiments, states_of(self._experiments)]
        return tuple(None if each is None else each.signature() for each in documents)


def read_lists(
    placements: Document | None, experiments: Document | None, schema: Mapping[str, pl.DataType] | None = None
) -> PlacementRegistry:
    """Read the lists of a shop, with those of its experiments if there are any.

    Raises:
        ConfigError: names everything that is wrong with a file.
    """
    if experiments is not None:
        return read_with_experiments(placements, experiments, schema)
    return BUILT_IN if placements is None else read_placements(placements, schema)


def check_placements(settings: Settings, placements: Document | None, experiments: Document | None) -> None:
    """Check the files of placements and experiments with the catalog of the current bundle of the settings, if any.

    Raises:
        ConfigError: names everything that is wrong with the file.
        StoreError: the live log cannot be opened.
    """
    if placements is None and experiments is None:
        return
    try:
        version = current_version(settings.models)
        schema = (
            None if version is None else pl.read_parquet_schema(settings.models / version / TABLE_FILES["items_table"])
        )
    except (RecsysError, OSError, pl.exceptions.PolarsError):
        schema = None  # a missing or broken bundle is reported when it is opened
    try:
        read_lists(placements, experiments, schema)
    except ConfigError:
        added = {} if schema is None else _added_columns(settings.log_location)
        if not added:
            raise
        read_lists(placements, experiments, {**added, **(schema or {})})


def _added_columns(location: LogLocation) -> dict[str, pl.DataType]:
    """Return the columns that changes of items in the live log have added: filters may name them too."""
    added: dict[str, pl.DataType] = {}
    if is_database(location) or Path(location).is_file():
        with closing(open_log(location)) as log:
            for stored in log.read_types(ITEM_CHANGES):
                attributes = stored.entry.body.get(ATTRIBUTES)
                for name, value in attributes.items() if isinstance(attributes, dict) else ():
                    added[name] = promote_dtype(added.get(name, pl.Null()), value)
    return added
