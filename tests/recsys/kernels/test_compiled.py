"""Which form of a loop serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.kernels import compiled as module
from recsys.kernels.compiled import IS_COMPILED, compiled, part

ADDED = """
from recsys.kernels.compiled import IS_COMPILED
from recsys.kernels.trees import sum_trees, sum_trees_numpy
print(IS_COMPILED, sum_trees is sum_trees_numpy)
"""


def added_numpy(values: np.ndarray, more: float) -> np.ndarray:
    return values + more


def added(values, more):  # type: ignore[no-untyped-def]
    total = np.empty(len(values))
    for row in range(len(values)):
        total[row] = values[row] + more
    return total


def test_a_loop_is_compiled_for_its_signature_and_reads_only() -> None:
    assert IS_COMPILED, "the tests are for a platform with numba"
    compiled_loop = compiled("f4: f8", otherwise=added_numpy)(added)
    values = np.arange(3, dtype=np.float32)
    values.flags.writeable = False
    np.testing.assert_array_equal(compiled_loop(values, 1.0), added_numpy(values, 1.0))
    with pytest.raises(TypeError, match="No matching definition"):
        compiled_loop(np.arange(3), 1.0)


def test_without_a_folder_for_the_cache_a_loop_is_compiled_anyway() -> None:
    namespace: dict[str, object] = {}
    exec("def doubled(n):\n    return 2 * n\n", namespace)  # no file, so that numba finds no place for a cache
    assert compiled("i8", otherwise=len)(namespace["doubled"])(4) == 8  # type: ignore[arg-type]


def test_the_numpy_form_serves_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IS_COMPILED", False)
    assert compiled("f4: f8", otherwise=added_numpy)(added) is added_numpy
    assert part(added) is added


def test_the_environment_asks_for_the_numpy_forms() -> None:
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", ADDED],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["False", "True"]
