"""Loops are compiled ahead, into the cache that later processes read."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.kernels import precompile as module
from recsys.kernels.precompile import kernel_modules, precompile


def test_all_modules_with_loops_are_compiled_the_largest_first() -> None:
    files = {f"recsys.kernels.{file.stem}": file for file in Path(module.__file__).parent.glob("*.py")}
    with_loops = {name for name, file in files.items() if "@compiled(" in file.read_text(encoding="utf-8")}
    assert with_loops <= set(kernel_modules())
    sizes = [files[name].stat().st_size for name in kernel_modules()]
    assert sizes == sorted(sizes, reverse=True)


def test_compiled_loops_are_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    names = ["recsys.kernels.compact_rows", "recsys.kernels.scratch"]
    assert list(precompile(names)) == names
    assert {file.name.partition(".")[0] for file in tmp_path.rglob("*.nbi")} == {"compact_rows"}
