"""The folder of one run: what its lists depend on, and the shards that are finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from recsys.core.errors import ConfigError
from recsys.core.files import atomic_write

RUN: Final = "run.json"
FINISHED: Final = "finished.log"
PLAN: Final = "plan.json"
SHARD: Final = "lists-"
MESSAGES: Final = "messages-"
OWN: Final = (RUN, FINISHED, PLAN, SHARD, MESSAGES)
"""Beginnings of the names of the files that runs write, of lists and of push plans."""


class RunInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What all lists of a run depend on; shards of a run with other inputs are of no use.

    Attributes:
        bundle: version of the bundle.
        placement: digest of the placement's settings.
        limit: length of each list.
        as_of: moment of the lists, seconds since 1970 UTC.
        context: context of every request.
        ids: digest of the ids, in their order.
        shard_size: lists per shard.
        suffix: of the shards.
        prefix: of the shards.
        is_complete: whether all shards are written.
    """

    bundle: str
    placement: str
    limit: int
    as_of: int
    context: dict[str, str]
    ids: str
    shard_size: int
    suffix: str
    prefix: str = SHARD
    is_complete: bool = False


class ShardCounts(msgspec.Struct, frozen=True):
    """Counts of the lists of a finished shard.

    Attributes:
        shard: its number, from 0.
        items: items over all lists.
        fallbacks: lists that are the fallback.
        empty: lists without an item.
        erased: users who were erased; they have no list.
        messages: messages of a push plan.
        held_out: users of the holdout who would have had some.
        variants: users with messages to be sent, by experiment and variant.
        lists: messages of a push plan by list.
    """

    shard: int
    items: int
    fallbacks: int
    empty: int
    erased: int
    messages: int = 0
    held_out: int = 0
    variants: dict[str, dict[str, int]] = {}
    lists: dict[str, int] = {}


class Run:
    """The folder of a run; one process at a time writes to it.

    Args:
        folder: as `prepared` left it.
        inputs: of the run.
    """

    def __init__(self, folder: Path, inputs: RunInputs) -> None:
        self.folder = folder
        self.inputs = inputs

    def path(self, shard: int) -> Path:
        """Return the file of a shard; it exists once the shard is written completely."""
        return self.folder / f"{self.inputs.prefix}{shard:06d}.{self.inputs.suffix}"

    def finished(self) -> Mapping[int, ShardCounts]:
        """Return the counts of the shards that earlier processes finished, by shard; a line cut by a crash is none."""
        found: dict[int, ShardCounts] = {}
        path = self.folder / FINISHED
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            with suppress(msgspec.DecodeError):
                counts = msgspec.json.decode(line, type=ShardCounts)
                if self.path(counts.shard).is_file():
                    found[counts.shard] = counts
        return found

    @contextmanager
    def recording(self) -> Iterator[Any]:
        """Yield a function that records the counts of a finished shard."""
        with (self.folder / FINISHED).open("ab") as file:

            def record(counts: ShardCounts) -> None:
                file.write(b"\n" + msgspec.json.encode(counts) + b"\n")
                file.flush()

            yield record

    def complete(self) -> None:
        """Record that all shards are written."""
        _write(self.folder, msgspec.structs.replace(self.inputs, is_complete=True))


def interrupted(folder: Path) -> RunInputs | None:
    """Return the inputs of the unfinished run in a folder, None if there is none."""
    try:
        inputs = msgspec.json.decode((folder / RUN).read_bytes(), type=RunInputs)
    except (OSError, msgspec.DecodeError):
        return None
    return None if inputs.is_complete else inputs


def prepared(folder: Path, inputs: RunInputs) -> Run:
    """Make a folder ready for a run: the shards of an unfinished run with equal inputs stay, all others are removed.

    Raises:
        ConfigError: the folder cannot be made, or has files that no run wrote.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror}): its folder must exist") from None
    foreign = sorted(path.name for path in folder.iterdir() if not _is_own(path))
    if foreign:
        raise ConfigError(f"{folder} has other files, such as {foreign[0]!r}: choose a new or empty folder")
    if interrupted(folder) != inputs:
        clear(folder)
        _write(folder, inputs)
    return Run(folder, inputs)


def clear(folder: Path) -> None:
    """Remove what runs wrote to a folder, first the record of what is finished."""
    shards = [
        path for prefix in (SHARD, MESSAGES) for hidden in ("", ".") for path in folder.glob(f"{hidden}{prefix}*")
    ]
    for path in (folder / FINISHED, folder / RUN, folder / PLAN, *shards):
        path.unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    return path.name.lstrip(".").startswith(OWN)


def _write(folder: Path, inputs: RunInputs) -> None:
    atomic_write(folder / RUN, msgspec.json.format(msgspec.json.encode(inputs), indent=2))
