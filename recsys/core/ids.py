"""Maps between the shop's ids (strings) and rows of arrays (int32)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import RequestError

T = TypeVar("T")

UNKNOWN = -1
"""Row of an id that is not in the map."""

NO_ITEM = UNKNOWN
"""Row that fills a list past its last item."""

SESSION: Final = "\0session "
"""Prefix of the key of a user with only a session; ids contain no control characters, so no id has it."""


@dataclass(frozen=True)
class IdMap:
    """A frozen, two-way map between ids and rows.

    >>> items = IdMap.of(["tea", "cup", "tea"])
    >>> items.ids, items.row("tea"), items.row("pot")
    (('cup', 'tea'), 1, -1)

    Attributes:
        ids: distinct ids, in the order of their rows.
    """

    ids: tuple[str, ...]

    @classmethod
    def of(cls, ids: Iterable[str]) -> IdMap:
        """Map distinct ids in the order of their code points, so that equal sets give equal maps."""
        return cls(tuple(sorted(set(ids))))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    def row(self, id_: str) -> int:
        """Return the row of an id, `UNKNOWN` if it is not in the map."""
        return self._rows.get(id_, UNKNOWN)

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the rows of ids, int32 (n,), `UNKNOWN` for those that are not in the map."""
        get = self._rows.get
        return np.fromiter((get(id_, UNKNOWN) for id_ in ids), np.int32)

    def encode(self, ids: pl.Series) -> npt.NDArray[np.int32]:
        """Return the rows of a column of ids, `UNKNOWN` for nulls and unknown ids; for millions of rows."""
        rows = pl.DataFrame({"id": self.ids}, {"id": pl.String}).with_columns(
            pl.int_range(pl.len(), dtype=pl.Int32).alias("row")
        )
        joined = ids.rename("id").to_frame().join(rows, on="id", how="left", maintain_order="left")
        return joined["row"].fill_null(UNKNOWN).to_numpy()


@dataclass(frozen=True)
class ExtendedIdMap(IdMap):
    """A map with more ids after its own and some ids hidden, built without a pass over all ids.

    Attributes:
        known: the extended map; its rows stay.
        added: rows of the additional ids; rows past the end of `ids` do not count.
        hidden: ids that are unknown, though their rows stay theirs.
    """

    known: IdMap
    added: Mapping[str, int]
    hidden: Set[str]

    def row(self, id_: str) -> int:
        """See `IdMap.row`; `UNKNOWN` for a hidden id."""
        if id_ in self.hidden:
            return UNKNOWN
        row = self.known.row(id_)
        row = row if row != UNKNOWN else self.added.get(id_, UNKNOWN)
        return row if row < len(self.ids) else UNKNOWN

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int32]:
        """See `IdMap.rows`."""
        return np.fromiter((self.row(id_) for id_ in ids), np.int32)


def not_text(name: str, values: Iterable[T]) -> Iterable[T]:
    """Return values that are not a text, which is itself an iterable of texts.

    Raises:
        RequestError: naming the argument.
    """
    if isinstance(values, str):
        raise RequestError(name, f"{name} is the text {values!r}: expected a list of ids, such as [{values!r}]")
    return values


def checked_ids(name: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Check that ids are several texts.

    Raises:
        RequestError: naming the argument.
    """
    found = tuple(not_text(name, ids))
    for each in found:
        if not isinstance(each, str):
            raise RequestError(name, f"{name} has {each!r}: expected ids as text, such as {str(each)!r}")
    return found
