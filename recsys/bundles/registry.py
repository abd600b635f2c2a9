"""The folder of bundles: its versions, the current one and the one before, one training at a time, and what is kept."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys.bundles.bundle import MANIFEST, PARTIAL, verify
from recsys.core.errors import BundleError
from recsys.core.files import atomic_write

CURRENT: Final = "CURRENT"
PREVIOUS: Final = "PREVIOUS"
PINNED: Final = "PINNED"
"""Names the versions that running experiments need, one per line."""

LOCK: Final = ".lock"
LIVE_LOG: Final = "store.sqlite"
"""Name of the live log in the folder of bundles, unless the server is given another file."""

PLACEMENTS_FILE: Final = "placements.toml"
"""Name of the file of placements in the folder of bundles, unless another one is given."""

MAX_NAME_BYTES: Final = 255
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def versions(models: Path) -> tuple[str, ...]:
    """Return the names of the complete bundles in a folder, the oldest first."""
    if not models.is_dir():
        return ()
    return tuple(sorted(path.parent.name for path in models.glob(f"[!.]*/{MANIFEST}")))


def current_version(models: Path) -> str | None:
    """Return the version that serves, None if no version was activated yet."""
    return _read_name(models / CURRENT)


def previous_version(models: Path) -> str | None:
    """Return the version that a rollback activates, None if there is none."""
    return _read_name(models / PREVIOUS)


def readable_version(models: Path, file: str = CURRENT) -> str | None:
    """Return the version that `CURRENT` or `PREVIOUS` names, None also if the file has no name: for what repairs it."""
    try:
        return _read_name(models / file)
    except (BundleError, OSError):
        return None


def live_log_beside(models: Path) -> Path | None:
    """Return the live log in a folder of bundles, or in the one that a bundle's own folder is in; None without one."""
    return _beside(models, LIVE_LOG)


def placements_beside(models: Path) -> Path | None:
    """Return the file of placements in a folder of bundles, found as the live log is; None without one."""
    return _beside(models, PLACEMENTS_FILE)


def _beside(models: Path, name: str) -> Path | None:
    path = (models.absolute().parent if (models / MANIFEST).is_file() else models) / name
    return path if path.is_file() else None


def activate(models: Path, version: str) -> None:
    """Verify a version, then make it the current one, atomically.

    Raises:
        BundleError: if the version does not exist or does not verify.
    """
    if version not in versions(models):
        known = ", ".join(versions(models)) or "none"
        raise BundleError(f"{version!r} is not a bundle of {models}: choose one of {known}")
    verify(models / version)
    before = readable_version(models)
    if before == version:
        return
    if before is not None:
        atomic_write(models / PREVIOUS, f"{before}\n")
    atomic_write(models / CURRENT, f"{version}\n")


def pinned(models: Path) -> tuple[str, ...]:
    """Return the versions that running experiments need, in the order of their names.

    Raises:
        BundleError: the file cannot be read.
    """
    try:
        return tuple(sorted(set((models / PINNED).read_text(encoding="utf-8").split())))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{models / PINNED} cannot be read ({error}): remove it") from None


def pin(models: Path, needed: Iterable[str]) -> None:
    """Replace the versions that running experiments need: `prune` keeps them.

    Raises:
        OSError: the folder cannot be written.
    """
    names = sorted(set(needed))
    if names:
        atomic_write(models / PINNED, "".join(f"{name}\n" for name in names))
    else:
        (models / PINNED).unlink(missing_ok=True)


def rollback(models: Path) -> str:
    """Activate the version that was current before this one; return its name.

    Raises:
        BundleError: if there is none.
    """
    previous = previous_version(models)
    if previous is None:
        raise BundleError(f"{models} has no earlier version to go back to: activate one by name")
    activate(models, previous)
    return previous


@contextmanager
def locked(models: Path) -> Iterator[None]:
    """Lock the folder for one training; the lock ends with the process.

    Raises:
        BundleError: another training has the lock, or the folder cannot be written.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = os.open(models / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BundleError(f"{models} cannot be written ({error.strerror}): check its rights") from None
    try:
        _acquire(lock, models)
        yield
    finally:
        os.close(lock)


def sweep(models: Path) -> None:
    """Remove the incomplete bundles of killed jobs; the folder must be locked, so that no job is still writing."""
    for path in models.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def prune(models: Path, keep: int) -> tuple[str, ...]:
    """Remove all but the latest bundles; the current, the previous and the pinned versions always stay.

    Args:
        models: the folder, locked.
        keep: number of latest bundles that stay, >= 1.

    Returns:
        The removed versions, the oldest first.
    """
    kept = {current_version(models), previous_version(models), *versions(models)[-keep:], *pinned(models)}
    removed = tuple(version for version in versions(models) if version not in kept)
    for version in removed:
        partial = models / f"{PARTIAL}{version}"
        (models / version).rename(partial)
        shutil.rmtree(partial)
    return removed


def _read_name(path: Path) -> str | None:
    if path.exists() and not path.is_file():  # a pipe would be read for ever
        raise BundleError(f"{path} is not a file: remove it, then activate a bundle by name")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_NAME_BYTES + 1)
    except FileNotFoundError:
        return None
    name = raw.decode(errors="replace").strip()
    if name and (len(raw) > MAX_NAME_BYTES or _NAME.fullmatch(name) is None):
        raise BundleError(f"{path} has no name of a bundle ({name[:40]!r}): activate a bundle by name")
    return name or None


def _acquire(lock: int, models: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        raise BundleError(
            f"{models} is in use by another training (process {holder}): wait until it ends, or stop it"
        ) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
