"""Single-threaded linear algebra for a while, also where several threads of the process ask for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from threadpoolctl import threadpool_limits

_lock: Final = threading.Lock()
_limits: list[threadpool_limits] = []
_n_users = 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread inside the block.

    The number is one of the process, so the last of several blocks restores it. Libraries with OpenMP, as FAISS has,
    keep it for each thread: there the limit is that of the thread which came first.
    """
    global _n_users
    with _lock:
        _n_users += 1
        if _n_users == 1:
            _limits.append(threadpool_limits(1, "blas"))
    try:
        yield
    finally:
        with _lock:
            _n_users -= 1
            if not _n_users:
                _limits.pop().restore_original_limits()
