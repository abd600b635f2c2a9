"""Random draws that depend on nothing but a key and an id, so that every process and every run makes the same ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from recsys.experiments.assignment import uniform_of


def uniform_draws(key: str, ids: Iterable[str]) -> npt.NDArray[np.float64]:
    """Return the number in [0, 1) of each id, as in experiments, float64 (n_ids,).

    Args:
        key: of the draw; other keys give independent draws.
        ids: any ids.
    """
    return np.fromiter((uniform_of(key, id_) for id_ in ids), np.float64)


def in_holdout(key: str, ids: Iterable[str], share: float) -> npt.NDArray[np.bool_]:
    """Return which ids are in the permanent holdout, bool (n_ids,); a larger share keeps all of a smaller one.

    They are those of the permanent holdout of experiments, if its salt is the key.
    """
    return uniform_draws(f"holdout {key}", ids) < share
