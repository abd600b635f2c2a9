"""What limited keys have used, in a file that the workers of a machine share and that outlives a restart."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from recsys.core.errors import ConfigError

MAGIC: Final = b"recsys-counts-1\n"
TAG_BYTES: Final = 8
RECORD: Final = struct.Struct("<ddqq")
RECORD_BYTES: Final = TAG_BYTES + RECORD.size
STEP: Final = 256
"""Records that the file grows by; a record is never moved and never freed."""


class CallCounts:
    """A record per limited key, in a file or, without one, in the memory of this process.

    The disk space of a record is reserved before it is used, so a full disk is an error here and no signal later. A
    damaged record starts anew. Only one thread of a process may use the object.

    Args:
        path: the file, which is made if it does not exist; None for memory.
        is_shared: whether other processes use the file too; a record is then locked while it is changed.

    Attributes:
        is_shared: whether records must be locked.

    Raises:
        ConfigError: the file cannot be opened, or is another kind of file.
    """

    def __init__(self, path: Path | None, *, is_shared: bool = False) -> None:
        self._fd: int | None = None
        self.is_shared = is_shared and path is not None
        self._memory: mmap.mmap | bytearray = bytearray(MAGIC)
        if path is None:
            return
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._locked():
                if os.fstat(self._fd).st_size == 0:
                    os.pwrite(self._fd, MAGIC, 0)
                self._map()
        except (OSError, ValueError) as error:
            self.close()
            raise ConfigError(
                f"{path}, which counts the calls of limited keys, cannot be opened ({error}): make room, or name"
                " another file with RECSYS_KEY_COUNTS"
            ) from None
        if self._memory[: len(MAGIC)] != MAGIC:
            self.close()
            raise ConfigError(f"{path} does not count calls: remove it, or name another file with RECSYS_KEY_COUNTS")

    def place(self, tag: bytes) -> int:
        """Return the place of a key's record; it is made if there is none.

        Args:
            tag: `TAG_BYTES` bytes that identify the key, not all of them 0.

        Raises:
            OSError: there is no room for it.
        """
        with self._locked():
            if self._fd is not None and os.fstat(self._fd).st_size != len(self._memory):
                self._map()
            at = self._find(tag)
            if at is None:
                at = self._find(bytes(TAG_BYTES))
            if at is None:
                at = self._grow()
            self._memory[at : at + TAG_BYTES] = tag
            tokens, counted_at, _, n_used = self.read(at)
            if not (math.isfinite(tokens) and math.isfinite(counted_at) and n_used >= 0):
                self.write(at, 0.0, 0.0, 0, 0)
        return at

    def lock(self) -> None:
        """Wait until no other process changes a record; for shared counts only."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # type: ignore[arg-type]

    def unlock(self) -> None:
        """Let other processes change records."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # type: ignore[arg-type]

    def read(self, place: int) -> tuple[float, float, int, int]:
        """Return a record, all zeros if it is new.

        Returns:
            Tokens in the bucket, below 0 after a call that cost more than was left; when they were counted, in
            seconds since 1970; a day, in days since 1970, in UTC; calls on that day.
        """
        return RECORD.unpack_from(self._memory, place + TAG_BYTES)

    def write(self, place: int, tokens: float, at: float, day: int, n_used: int) -> None:
        """Replace a record."""
        RECORD.pack_into(self._memory, place + TAG_BYTES, tokens, at, day, n_used)

    def close(self) -> None:
        """Close the file."""
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()
        self._memory = bytearray()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._fd is None:
            yield
            return
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _find(self, tag: bytes) -> int | None:
        at = self._memory.find(tag, len(MAGIC))
        while at >= 0:
            if (at - len(MAGIC)) % RECORD_BYTES == 0 and at + RECORD_BYTES <= len(self._memory):
                return at
            at = self._memory.find(tag, at + 1)
        return None

    def _grow(self) -> int:
        """Add room for records; return the place of the first of them."""
        start = len(self._memory) - (len(self._memory) - len(MAGIC)) % RECORD_BYTES
        size = start + STEP * RECORD_BYTES
        if self._fd is None:
            self._memory += bytes(size - len(self._memory))  # type: ignore[operator]
        else:
            os.posix_fallocate(self._fd, 0, size)
            self._map()
        return start

    def _map(self) -> None:
        assert self._fd is not None
        self._memory = mmap.mmap(self._fd, 0)
