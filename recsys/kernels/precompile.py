"""`python -m recsys.kernels.precompile`: all loops compiled ahead of their first use, in a process per processor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path


def kernel_modules() -> list[str]:
    """Return the names of the modules of this folder, the largest first: they take the longest."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"), key=lambda file: -file.stat().st_size)
    return [f"recsys.kernels.{file.stem}" for file in files]


def precompile(names: list[str]) -> Iterator[str]:
    """Import modules in other processes, which fills the cache of compiled loops; yield the names."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_import, names)


def _import(name: str) -> str:
    return import_module(name).__name__


if __name__ == "__main__":
    list(precompile(kernel_modules()))
