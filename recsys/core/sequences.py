"""A long tuple with a few more values and a few replaced ones, read without a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, overload


@dataclass(frozen=True, eq=False)
class ExtendedSequence(Sequence[str]):
    """Texts of a fixed number, whose parts may grow meanwhile.

    Attributes:
        base: the first ones.
        more: those after `base`.
        length: number of all; further ones of `more` do not count.
        replaced: values by position that replace the others.
    """

    base: Sequence[str]
    more: Sequence[str]
    length: int
    replaced: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def texts(
        cls, base: Sequence[str], more: Sequence[str], length: int, replaced: Mapping[int, str] | None = None
    ) -> tuple[str, ...]:
        """Build a sequence, typed as a tuple."""
        return cast(tuple[str, ...], cls(base, more, length, {} if replaced is None else replaced))

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(self.length)))
        if not -self.length <= index < self.length:
            raise IndexError(index)
        index = index + self.length if index < 0 else int(index)
        value = self.replaced.get(index)
        if value is not None:
            return value
        n = len(self.base)
        return self.base[index] if index < n else self.more[index - n]

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(self.length))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))
