"""Arrays that are mapped into memory without an open file each: a server of many shops has few descriptors left."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_FAILED: Final = ctypes.c_void_p(-1).value
_HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def map_array(path: Path, check: Callable[[npt.NDArray[Any]], object] | None = None) -> npt.NDArray[Any]:
    """Map the array of an `.npy` file; `numpy.load` with `mmap_mode` keeps a descriptor for as long as the array lives.

    Args:
        path: the file.
        check: called with the array; the pages that it has read do not stay in the memory of the process.

    Returns:
        The array, read-only. Its memory is released with the last array that refers to it.

    Raises:
        OSError: the file cannot be opened or mapped.
        ValueError: it is not an array of plain numbers, or is shorter than its header says.
    """
    with path.open("rb") as file:
        read_header = _HEADERS.get(np.lib.format.read_magic(file))
        if read_header is None:
            raise ValueError(f"{path} has an unknown version of the format .npy: write it with numpy.save")
        shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{path} has Python objects: an array of numbers is expected")
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        address = _LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _LIBC.munmap, address, size).atexit = False  # threads may read until the very end
    readable = memoryview(memory).toreadonly()  # a write would end the process: nobody can make the array writeable
    flat: npt.NDArray[Any] = np.frombuffer(readable, dtype, int(np.prod(shape)), start)
    array = flat.reshape(shape, order="F" if is_fortran else "C")
    if check is not None:
        check(array)
        _LIBC.madvise(address, size, mmap.MADV_DONTNEED)
    return array
