"""The memory that this process has freed."""

from __future__ import annotations

import ctypes


def release_freed_memory() -> None:
    """Return freed memory to the system, where the C library can (glibc); else it keeps what a bundle took to open."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
