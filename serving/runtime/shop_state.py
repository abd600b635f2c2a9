"""Where the state of a shop is: its keys, its placements with their history, and its experiments."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS, Document, FileDocument, present
from recsys.core.errors import ConfigError
from recsys.drafts.history import PlacementHistory
from recsys.eventlog.opening import is_database, open_documents
from serving.runtime.placement_file import PlacementFile
from serving.runtime.settings import Settings, variable_of

if TYPE_CHECKING:
    from recsys.eventlog.postgres.documents import PostgresDocuments

LOOK_S: Final = 0.05
"""Pause between two looks at whether the database has changed, which it notifies."""


class ShopState:
    """The documents of one shop: files that the settings name, and of a database those that they do not name.

    Each process opens its own, after any fork.

    Args:
        settings: as started.

    Attributes:
        keys: the callers' keys, None if no key is required; with a database, they are: a database that lost them, or
            another one, must not open a server to everybody.

    Raises:
        ConfigError: the live log is not in a database.
        StoreError: the database cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = _open_database(settings)
        self._placements = self._in_database(PLACEMENTS, settings.placements is None)
        self._experiments = self._in_database(EXPERIMENTS, settings.experiments is None)
        self.keys = self._in_database(KEYS, settings.keys is None)
        if settings.keys is not None:
            self.keys = FileDocument(settings.keys)

    def placement_file(self) -> PlacementFile:
        """Return what follows the placements and experiments.

        Raises:
            ConfigError: names everything that is wrong with a document.
        """
        settings = self._settings
        return PlacementFile(
            self._placements or settings.placements_path,
            self._experiments or settings.experiments,
            is_optional=settings.placements is None,
            may_lack_experiments=self._experiments is not None,
        )

    def history(self) -> PlacementHistory:
        """Return the placements with their history."""
        if self._placements is not None:
            return PlacementHistory(self._placements)
        return PlacementHistory(self._settings.placements_path, self._settings.drafts_folder)

    @property
    def placements(self) -> Document | None:
        """The document of placements; None if there is none now, for the built-in ones."""
        if self._placements is not None:
            return present(self._placements, is_optional=True)
        path = self._settings.placements_file
        return None if path is None else FileDocument(path)

    @property
    def experiments(self) -> Document | None:
        """The document of experiments; None if there is none now."""
        if self._experiments is not None:
            return present(self._experiments, is_optional=True)
        path = self._settings.experiments
        return None if path is None else FileDocument(path)

    @property
    def version(self) -> int:
        """A number that is another one after each change in the database; always 0 without one: files are looked at."""
        return 0 if self._database is None else self._database.version

    async def pause(self, seen: int, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Pause until documents should be looked at again: some seconds, or less where the database has changed.

        Args:
            seen: `version` before the last look.
            seconds: the longest pause.
            sleep: makes a pause.
        """
        if self._database is None:
            await sleep(seconds)
        deadline = time.monotonic() + seconds
        while self._database is not None and self.version == seen and (rest := deadline - time.monotonic()) > 0:
            await sleep(min(rest, LOOK_S))

    def close(self) -> None:
        """Close the connections to the database."""
        if self._database is not None:
            self._database.close()

    def _in_database(self, name: str, is_wanted: bool) -> Document | None:
        return self._database / name if self._database is not None and is_wanted else None


def _open_database(settings: Settings) -> PostgresDocuments | None:
    """Open the documents of the database, None if there are files instead.

    Raises:
        ConfigError: the live log, whose database it is, is a file.
        StoreError: it cannot be opened.
    """
    if settings.state == "files":
        return None
    if not is_database(settings.log_location):
        raise ConfigError(
            f"setting 'state' is {settings.state!r}, and the live log is a file: set {variable_of('store')} to"
            " postgresql://user@host/name"
        )
    return open_documents(settings.log_location)
