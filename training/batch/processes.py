"""The processes that write the shards of a batch."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from threadpoolctl import threadpool_limits

from recsys.core.errors import DataError
from recsys.pipeline.recommender import Recommender
from training.batch.run import ShardCounts
from training.batch.shards import BatchRequest, Shard, ShardWriter

WAITING_PER_PROCESS: Final = 2
"""Shards that are handed out ahead: no process waits, and the memory does not grow with the ids."""


class Writer(Protocol):
    """Writes shards."""

    def write(self, shard: Shard) -> ShardCounts:
        """Write the file of a shard, completely or not at all."""


class WriterSource(Protocol):
    """What a process opens; it is sent to the process."""

    def open(self) -> Writer:
        """Open the writer."""


@dataclass(frozen=True)
class WriterOptions:
    """What a process opens that writes lists.

    Attributes:
        bundle: folder of the bundle, which stays the same if another one is activated meanwhile.
        request: the list; its live log is the file to read.
        as_of: moment of the lists, seconds since 1970 UTC.
    """

    bundle: Path
    request: BatchRequest
    as_of: int

    def open(self) -> ShardWriter:
        """Map the bundle, whose pages all processes share."""
        request = self.request
        if request.live_log is None:
            recommender = Recommender.of_bundle(self.bundle, request.placements)
        else:
            recommender = Recommender.open(self.bundle, request.placements, request.live_log)
        return ShardWriter(recommender, request, self.as_of)


def write_shards(
    writer: Writer, options: WriterSource, shards: Iterable[Shard], n_processes: int
) -> Generator[ShardCounts]:
    """Write shards in some processes, each on one thread, and yield the counts of each as it is finished.

    Args:
        writer: writes them here if there is one process.
        options: what other processes open.
        shards: the shards.
        n_processes: >= 1.

    Raises:
        DataError: a list cannot be made, or a process was killed; shards that are being written are finished first.
    """
    if n_processes == 1:
        with threadpool_limits(1):
            yield from map(writer.write, shards)
        return
    with _pool(options, n_processes) as pool:
        left = iter(shards)
        running = {pool.submit(_write, shard) for shard in islice(left, WAITING_PER_PROCESS * n_processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_write, shard) for shard in islice(left, len(done))}
            yield from map(_result, done)


@contextmanager
def _pool(options: WriterSource, n_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool; on an error, also Ctrl-C, the shards that wait are dropped."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_processes, spawn, initializer=_start, initargs=(options,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future[ShardCounts]) -> ShardCounts:
    try:
        return future.result()
    except BrokenProcessPool:
        raise DataError(
            "a process ended before its shard was finished, probably for lack of memory: run the command again with "
            "fewer --workers; finished shards stay"
        ) from None


class _Process:
    """What this process writes shards with."""

    writer: Writer


def _start(options: WriterSource) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)
    _Process.writer = options.open()
    gc.freeze()  # the bundle stays: collections need not look at it
    gc.disable()


def _end_with_parent() -> None:
    """End this process once its parent was killed; else it would wait for shards forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write(shard: Shard) -> ShardCounts:
    """Write a shard. Garbage is collected once after it: lists are many objects, and none of them refer in cycles."""
    counts = _Process.writer.write(shard)
    gc.collect()
    return counts
