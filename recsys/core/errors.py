"""The family of errors; each message states the value found, what was expected and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class RecsysError(Exception):
    """An error that this package raises on purpose."""


class DataError(RecsysError):
    """The shop's data cannot be used as it is."""


@dataclass(frozen=True)
class ConfigFault:
    """One thing that is wrong with a file of settings.

    Attributes:
        field: its key in the file, "" for the whole file.
        message: the value found, what is expected and the remedy.
        value: the value found, cut if it is long; None if something is missing.
    """

    field: str
    message: str
    value: str | None = None


class ConfigError(RecsysError):
    """A setting is unknown, out of range or contradicts another setting.

    Attributes:
        faults: what is wrong, one by one, where a file was read; else empty.
    """

    def __init__(self, message: str, faults: Iterable[ConfigFault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class BundleError(RecsysError):
    """A bundle is missing, altered, truncated or of another schema version."""


class StoreError(RecsysError):
    """The event store cannot be opened, read or written."""


class StoreBusyError(StoreError):
    """Too many entries wait to be stored.

    Attributes:
        n_waiting: number of entries that wait already.
    """

    def __init__(self, n_waiting: int, n_new: int, limit: int) -> None:
        super().__init__(f"{n_waiting} entries wait, and {n_new} more would exceed {limit}: send them again later")
        self.n_waiting = n_waiting


class RequestError(RecsysError):
    """A request names a field or a value that cannot be served.

    Attributes:
        field: the name of the offending field, as the caller wrote it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UnknownItemError(RecsysError):
    """The item is in neither the catalog nor the events that the bundle was trained on."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"item {item_id!r} is unknown to this bundle: check the id, or train again after adding it")
        self.item_id = item_id


class FilterError(RequestError):
    """A filter cannot be parsed, checked or evaluated.

    Attributes:
        position: 1-based position of the error in the filter's text, or 0 if a value of the user or the context is
            wrong.
    """

    def __init__(self, message: str, position: int, field: str = "filter") -> None:
        super().__init__(field, message)
        self.position = position
