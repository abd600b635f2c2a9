"""The folder of bundles between trainings: one job at a time, nothing half written, and no more than is kept."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys.bundles.bundle import PREVIOUS, current_version, versions
from recsys.core.errors import BundleError

LOCK: Final = ".lock"
PARTIAL: Final = ".partial-"


@contextmanager
def locked(models: Path) -> Iterator[None]:
    """Hold the folder for one training; a job that dies lets go of it.

    Raises:
        BundleError: another training holds it, or it cannot be written.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = os.open(models / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BundleError(f"{models} cannot be written ({error.strerror}): check its rights") from None
    try:
        _take(lock, models)
        yield
    finally:
        os.close(lock)


def sweep(models: Path) -> None:
    """Remove what killed jobs left half written; call it with the folder locked, so that no job is still writing."""
    for path in models.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def prune(models: Path, keep: int) -> tuple[str, ...]:
    """Remove all but the latest bundles; the current one and the one before it always stay.

    Args:
        models: the folder, locked.
        keep: how many of the latest stay, >= 1.

    Returns:
        The versions that went, the oldest first.
    """
    stays = {current_version(models), previous_version(models), *versions(models)[-keep:]}
    gone = tuple(version for version in versions(models) if version not in stays)
    for version in gone:
        doomed = models / f"{PARTIAL}{version}"
        (models / version).rename(doomed)
        shutil.rmtree(doomed)
    return gone


def previous_version(models: Path) -> str | None:
    """The version that a rollback would serve, None where there is none."""
    try:
        return (models / PREVIOUS).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _take(lock: int, models: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        raise BundleError(
            f"{models} is in use by another training (process {holder}): wait until it ends, or stop it"
        ) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
