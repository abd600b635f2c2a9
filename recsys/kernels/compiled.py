"""Compilation of loops over arrays: by numba where it is installed; elsewhere their NumPy forms serve.

A kernel is compiled for one signature, when its module is imported: the first time that takes seconds, later it is read
from the cache beside the module, or in the user's cache folder where that cannot be written. Parts that a kernel calls
are in the same file, since the cache follows the date of that file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

try:
    import numba
    from numba import types
except ImportError:  # a platform without a wheel of numba
    numba = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])

IS_COMPILED: Final = numba is not None and not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
"""Whether loops are compiled; `NUMBA_DISABLE_JIT=1` in the environment asks for the NumPy forms."""

OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy"}
"""Loops run beside other threads, and divide as NumPy does."""

REORDERED: Final[dict[str, Any]] = {"fastmath": {"reassoc", "contract"}}
"""Sums may be computed in another order: several times as fast, and rounded differently."""

SCALARS: Final = {
    "bool": "boolean",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u8": "uint64",
    "f4": "float32",
    "f8": "float64",
}
"""Names of types in signatures."""


def compiled(signature: str, otherwise: F, *, reorders: bool = False) -> Callable[[Callable[..., Any]], F]:
    """Make a decorator that compiles a loop for one signature.

    Args:
        signature: the type of each argument, separated by spaces, named as in `SCALARS`, with one `:` per dimension of
            an array, as in `f4::`. Arrays are contiguous, and only read, unless `!` follows.
        otherwise: the NumPy form, which serves where nothing is compiled.
        reorders: whether sums may be computed in another order; see `REORDERED`.
    """
    options = OPTIONS | (REORDERED if reorders else {})

    def decorate(loop: Callable[..., Any]) -> F:
        if not IS_COMPILED:
            return otherwise
        arguments = tuple(_type(name) for name in signature.split())
        try:
            return cast(F, numba.njit(arguments, cache=True, **options)(loop))
        except RuntimeError:  # no folder for the cache can be written
            return cast(F, numba.njit(arguments, **options)(loop))

    return decorate


def part(loop: F) -> F:
    """Compile a loop that kernels of the same file call."""
    return cast(F, numba.njit(**OPTIONS)(loop)) if IS_COMPILED else loop


def reordered_part(loop: F) -> F:
    """Compile a loop whose sums may be computed in another order; see `REORDERED`."""
    return cast(F, numba.njit(**OPTIONS, **REORDERED)(loop)) if IS_COMPILED else loop


def _type(name: str) -> Any:
    dtype = getattr(types, SCALARS[name.rstrip(":!")])
    n_dimensions = name.count(":")
    return types.Array(dtype, n_dimensions, "C", readonly="!" not in name) if n_dimensions else dtype
