"""Whether two frozen dataclasses hold the same, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.bundles.serialization import flatten


def assert_same(one: Any, other: Any, skip: tuple[str, ...] = ()) -> None:
    """Compare every array, table and value; `skip` names parts that may differ."""
    first, second = flatten(one, skip=("index",)), flatten(other, skip=("index",))
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        if name not in skip:
            assert array.dtype == second.arrays[name].dtype, name
            assert array.shape == second.arrays[name].shape, name
            assert array.tobytes() == second.arrays[name].tobytes(), name
    assert first.tables.keys() == second.tables.keys()
    for name, frame in first.tables.items():
        assert frame.equals(second.tables[name]), name
    for name in first.values.keys() - set(skip):
        assert first.values[name] == second.values[name], name


def assert_finite(value: Any) -> None:
    """Every array of a model holds numbers; an unknown price is NaN, as in a bundle."""
    for name, array in flatten(value, skip=("index",)).arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not name.endswith("price"):
            assert np.isfinite(array).all(), name


def contents(value: Any) -> dict[str, bytes]:
    """The bytes of every array, to see later whether anything changed them."""
    return {name: array.tobytes() for name, array in flatten(value).arrays.items()}
