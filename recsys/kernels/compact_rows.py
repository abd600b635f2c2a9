"""Rows of numbers from integers and a factor per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled


def decode_rows_numpy(
    code: npt.NDArray[np.int16],
    place: npt.NDArray[np.int32],
    scale: npt.NDArray[np.float32],
    wanted: npt.NDArray[np.int32],
) -> npt.NDArray[np.float32]:
    """Return some rows, float32 (n, width); see `recsys.models.compact_rows.CompactRows` for the arrays.

    Args:
        code: int16 (n_distinct, width).
        place: int32 (n_rows,).
        scale: float32 (n_rows,).
        wanted: int32 (n,), rows.
    """
    return code[place[wanted]] * scale[wanted][:, None]


@compiled("i2:: i4: f4: i4:", otherwise=decode_rows_numpy)
def decode_rows(code: Any, place: Any, scale: Any, wanted: Any) -> Any:
    """Compute `decode_rows_numpy` in one pass."""
    width = code.shape[1]
    decoded = np.empty((len(wanted), width), np.float32)
    for n in range(len(wanted)):
        row, factor = code[place[wanted[n]]], scale[wanted[n]]
        for column in range(width):
            decoded[n, column] = row[column] * factor
    return decoded
