from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

RELEASE = """
from serving.runtime.memory import release_freed_memory

def resident_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1e6

kept = [bytearray(10_000) for _ in range(10_000)]
last = bytearray(10_000)
before = resident_mb()
del kept
release_freed_memory()
print(before - resident_mb())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library that returns memory itself")
def test_memory_that_was_freed_is_returned_even_below_what_is_still_used() -> None:
    """100 MB in pieces, of which the C library keeps all below the last."""
    found = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True, check=True)
    assert float(found.stdout) > 80
