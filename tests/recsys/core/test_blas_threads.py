"""The number of threads is one of the process: the last of several blocks restores it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from recsys.core.blas_threads import one_blas_thread


def n_threads() -> set[int]:
    """Of the libraries of NumPy and SciPy; FAISS has one with OpenMP, whose number is one of each thread."""
    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return {each["num_threads"] for each in found if each["threading_layer"] != "openmp"}


def test_blocks_that_overlap_restore_what_was() -> None:
    """In a process of its own, which has a thread per processor."""
    code = f"from {__name__} import overlap; overlap()"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)


def overlap() -> None:
    assert np.ones((2, 2)).sum() == 4, "a library of linear algebra is loaded"
    may_end, has_begun = threading.Event(), threading.Event()

    def hold() -> None:
        with one_blas_thread():
            has_begun.set()
            may_end.wait(30)

    before = n_threads()  # on one processor, 1
    other = threading.Thread(target=hold)
    other.start()
    has_begun.wait(30)
    with one_blas_thread():
        assert n_threads() == {1}
    assert n_threads() == {1}, "the other thread is in its block"
    may_end.set()
    other.join()
    assert n_threads() == before
