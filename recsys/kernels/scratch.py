"""Tables over the catalog that kernels write to and leave as they found them: nothing is cleared for a request."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
import numpy.typing as npt

NONE: Final = -1
"""Value of every entry between two calls of kernels."""


class _Tables(threading.local):
    positions: npt.NDArray[np.int32] = np.empty(0, np.int32)
    marks: npt.NDArray[np.int32] = np.empty(0, np.int32)


_tables = _Tables()


def positions_table(n_items: int) -> npt.NDArray[np.int32]:
    """Return this thread's table of positions, int32 (n_items or more,), all `NONE`."""
    if len(_tables.positions) < n_items:
        _tables.positions = np.full(n_items + n_items // 4, NONE, np.int32)
    return _tables.positions


def marks_table(n_items: int) -> npt.NDArray[np.int32]:
    """Return another such table, for kernels that need two."""
    if len(_tables.marks) < n_items:
        _tables.marks = np.full(n_items + n_items // 4, NONE, np.int32)
    return _tables.marks
