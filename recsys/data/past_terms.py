"""Earlier prices and availability of items whose rows have changed since the bundle was trained."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class PastTerms(NamedTuple):
    """The price and availability of an item in the catalog, before a change.

    Attributes:
        since: from when on they are known, seconds since 1970.
        until: the moment of the change.
        price: NaN for unknown.
        available: whether the item could be bought; None for an item that the catalog did not have.
    """

    since: float
    until: float
    price: float
    available: bool | None


PastTermsOf = Mapping[int, list[PastTerms]]
"""By row, the terms before each change, in the order of the log."""

NO_PAST_TERMS: Final[PastTermsOf] = MappingProxyType({})
