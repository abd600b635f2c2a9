"""The one family of errors: each message gives the value found, what was expected and the remedy."""


class RecsysError(Exception):
    """Anything that this package raises on purpose."""


class DataError(RecsysError):
    """The shop's data cannot be used as it is."""


class ConfigError(RecsysError):
    """A setting is unknown, out of range or contradicts another."""


class BundleError(RecsysError):
    """A bundle is missing, altered, truncated or of another schema version."""


class StoreError(RecsysError):
    """The store of events cannot be opened, read or written."""


class StoreBusyError(StoreError):
    """More entries wait to be stored than the store takes.

    Attributes:
        n_waiting: entries that wait already.
    """

    def __init__(self, n_waiting: int, n_new: int, limit: int) -> None:
        super().__init__(f"{n_waiting} entries wait, {n_new} more would pass {limit}: send them again in a moment")
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
    """The item is in neither the catalogue nor the events that the bundle was trained on."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"item {item_id!r} is unknown to this bundle: check the id, or train again after adding it")
        self.item_id = item_id


class FilterError(RequestError):
    """A filter is not an expression that can be read, checked and evaluated.

    Attributes:
        position: 1-based character of the filter's text that the message is about, or 0 where the fault is in a value
            of the user's or the context's that the filter reads.
    """

    def __init__(self, message: str, position: int, field: str = "filter") -> None:
        super().__init__(field, message)
        self.position = position
