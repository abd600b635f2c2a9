"""Sales channels as numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

MAX_CHANNELS: Final = 1000
"""Channels that get a number; a column with more of them has something else."""

NO_CHANNEL: Final = -1


def frequent_channels(names: pl.Series) -> tuple[str, ...]:
    """Return the distinct names of a column, the most frequent first, at most `MAX_CHANNELS`.

    >>> frequent_channels(pl.Series(["app", None, "web", "app"]))
    ('app', 'web')
    """
    counts = names.drop_nulls().alias("name").value_counts()
    return tuple(counts.sort("count", "name", descending=[True, False])["name"][:MAX_CHANNELS])


def channel_codes(names: pl.Series, channels: tuple[str, ...]) -> npt.NDArray[np.int16]:
    """Return the index of each name in `channels`, int16 (n,), -1 for a name that is not there.

    >>> channel_codes(pl.Series(["web", None, "fax"]), ("app", "web")).tolist()
    [1, -1, -1]
    """
    known = pl.Series(channels, dtype=pl.String)
    codes = names.cast(pl.String).replace_strict(known, pl.Series(range(len(known)), dtype=pl.Int16), default=None)
    return codes.fill_null(NO_CHANNEL).cast(pl.Int16).to_numpy()
