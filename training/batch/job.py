"""The job that writes one list per user or item to files, for mail, messages and other systems."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import msgspec

from recsys.bundles.registry import live_log_beside
from recsys.core.errors import ConfigError, RequestError
from recsys.core.files import remove, replacing
from recsys.core.request import Request
from recsys.core.timestamps import to_seconds
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import find_placement
from training.batch.formats import format_of
from training.batch.ids import read_ids
from training.batch.processes import Writer, WriterOptions, WriterSource, write_shards
from training.batch.run import Run, RunInputs, ShardCounts, clear, interrupted, prepared
from training.batch.shards import BatchRequest, Shard, ShardWriter

SHARD_SIZE: Final = 1000
LISTS_PER_PROCESS: Final = 1000
"""Lists that take as long as the start of a process; of fewer, none is started unless it is asked for."""

OnCount = Callable[[int, int], None]
"""Receives the number of lists that are written, and of all."""


class JobWriter(Writer, Protocol):
    """Writes the shards of a job, and knows who was erased."""

    def is_erased(self, id_: str) -> bool:
        """Return whether an id is that of a user who was erased."""


@dataclass(frozen=True)
class BatchPlan:
    """How the lists are written.

    Attributes:
        n_processes: number of processes, >= 1; None for one per processor that may be used, fewer for few lists.
        shard_size: lists per shard, >= 1.
        file_format: `parquet` or `ndjson` where the output is a folder; None for `parquet`.
        resumes: whether finished shards of an interrupted run with the same inputs are kept.
    """

    n_processes: int | None = None
    shard_size: int = SHARD_SIZE
    file_format: str | None = None
    resumes: bool = True


@dataclass(frozen=True)
class BatchReport:
    """Counts of the lists that were written.

    Attributes:
        model_version: bundle of all lists.
        as_of: moment of all lists, seconds since 1970 UTC.
        users: different users, or items, in the file.
        items: items over all lists.
        fallbacks: lists that are the fallback, as too little is known.
        empty: empty lists.
        erased: users who were erased; they have no list.
        shards: number of shards.
        kept_shards: shards that an interrupted run had finished.
    """

    model_version: str
    as_of: int
    users: int
    items: int
    fallbacks: int
    empty: int
    erased: int
    shards: int
    kept_shards: int


def batch_recommend(
    models: Path,
    ids_file: Path,
    out: Path,
    request: BatchRequest,
    plan: BatchPlan | None = None,
    on_count: OnCount = lambda done, total: None,
) -> BatchReport:
    """Write one list per id of a file, in shards.

    If the job is interrupted, the next one with the same inputs continues at the same moment. The live log is read
    again before each shard: what is sold out by then is not listed, and a finished shard with a user who was erased
    since is written again.

    Args:
        models: folder of bundles, or the folder of one bundle.
        ids_file: see `read_ids`.
        out: a file, `.parquet` or `.ndjson`, which is replaced as a whole or not at all; or a folder for the shards,
            with `run.json`, whose `is_complete` becomes true at the end. Lists are in the order of `ids_file`.
        request: the list.
        plan: how the lists are written.
        on_count: receives the progress.

    Raises:
        BundleError: there is no bundle to open.
        ConfigError: `out` has another suffix, or its folder does not exist; a setting of `plan` is out of range; the
            file of placements is not valid.
        DataError: `ids_file` cannot be read or has no id; a list cannot be made.
        RequestError: the list does not exist, or is for something else.
    """
    plan = plan or BatchPlan()
    check_plan(plan)
    file_format, folder = output_of(out, plan.file_format)
    recommender = Recommender.open(models, request.placements, request.live_log)
    _check_request(recommender, request)
    ids = read_ids(ids_file, request.subject)
    inputs = _inputs(recommender, request, plan, ids, file_format)
    inputs = resumed(inputs, folder, request.as_of) if plan.resumes else inputs
    if not plan.resumes and folder.is_dir():
        clear(folder)
    run = prepared(folder, inputs)
    writer = ShardWriter(recommender, request, inputs.as_of)
    options = WriterOptions(bundle_folder(models, recommender), _with_log(models, request), inputs.as_of)
    counts, n_kept = write_missing(run, writer, options, ids, plan, on_count)
    if folder == out:
        run.complete()
    else:
        with replacing(out) as partial:
            format_of(file_format).join([run.path(number) for number in range(len(counts))], partial)
        remove(folder)
    return _report(run, ids, counts, n_kept)


def write_missing(
    run: Run,
    writer: JobWriter,
    options: WriterSource,
    ids: Sequence[str],
    plan: BatchPlan,
    on_count: OnCount,
) -> tuple[list[ShardCounts], int]:
    """Write the shards that are not finished; return the counts of all, and how many were finished before."""
    size = plan.shard_size
    shards = {
        number: Shard(number, tuple(ids[start : start + size]), run.path(number))
        for number, start in enumerate(range(0, len(ids), size))
    }
    counts = {
        number: found
        for number, found in run.finished().items()
        if found.erased == sum(map(writer.is_erased, shards[number].ids))
    }
    n_kept, n_done = len(counts), sum(len(shards[number].ids) for number in counts)
    missing = [shard for number, shard in shards.items() if number not in counts]
    on_count(n_done, len(ids))
    worthwhile = sum(len(shard.ids) for shard in missing) // LISTS_PER_PROCESS
    n_processes = plan.n_processes or min(len(os.sched_getaffinity(0)), worthwhile)
    n_processes = max(1, min(n_processes, len(missing)))
    with run.recording() as record, closing(write_shards(writer, options, missing, n_processes)) as written:
        for found in written:
            record(found)
            counts[found.shard] = found
            n_done += len(shards[found.shard].ids)
            on_count(n_done, len(ids))
    return [counts[number] for number in shards], n_kept


def check_plan(plan: BatchPlan) -> None:
    """Refuse settings that are out of range."""
    if plan.n_processes is not None and plan.n_processes < 1:
        raise ConfigError(f"the number of processes (--workers) is {plan.n_processes}, expected at least 1")
    if plan.shard_size < 1:
        raise ConfigError(f"the size of a shard (--shard-size) is {plan.shard_size}, expected at least 1 list")


def output_of(out: Path, file_format: str | None) -> tuple[str, Path]:
    """Return the format, and the folder of the shards: `out` itself, or a hidden one beside the file `out`."""
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist: make it first")
    if out.is_dir() or not out.suffix:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file without a suffix: name a folder, or a file with .parquet or .ndjson")
        return format_of(file_format or "parquet").suffix, out
    suffix = format_of(out.suffix).suffix
    if file_format is not None and format_of(file_format).suffix != suffix:
        raise ConfigError(f"{out} does not have the format {file_format!r} (--format): change one of them")
    return suffix, out.with_name(f".{out.name}.shards")


def _check_request(recommender: Recommender, request: BatchRequest) -> None:
    """Refuse what the first request would refuse, or answer with an empty list."""
    placement = recommender.placements.get(request.placement)
    if placement is not None and request.subject == "user" and placement.anchor == "item":
        raise RequestError("placement", f"{request.placement!r} is a list for an item: choose one for users")
    if placement is not None and request.subject == "item" and placement.anchor not in ("item", "any"):
        raise RequestError("placement", f"{request.placement!r} is not a list for an item: choose one for items")
    item_ids = ("",) if request.subject == "item" else ()
    find_placement(Request(request.placement, 0, request.limit, item_ids=item_ids), recommender.placements)


def _inputs(
    recommender: Recommender, request: BatchRequest, plan: BatchPlan, ids: Sequence[str], suffix: str
) -> RunInputs:
    return RunInputs(
        bundle=recommender.version,
        placement=digest_of(repr(recommender.placements[request.placement])),
        limit=request.limit,
        as_of=recommender.latest if request.as_of is None else to_seconds(request.as_of),
        context=dict(request.context),
        ids=digest_of(request.subject, *ids),
        shard_size=plan.shard_size,
        suffix=suffix,
    )


def resumed(inputs: RunInputs, folder: Path, as_of: datetime | None) -> RunInputs:
    """Return the inputs at the moment of the interrupted run, if that is the only difference and none was asked for."""
    earlier = interrupted(folder)
    if earlier is None or as_of is not None:
        return inputs
    moved = msgspec.structs.replace(inputs, as_of=earlier.as_of)
    return moved if moved == earlier else inputs


def digest_of(*texts: str) -> str:
    """Return a digest of some texts, in their order."""
    digest = blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def bundle_folder(models: Path, recommender: Recommender) -> Path:
    """Return the folder of the open bundle."""
    within = models / recommender.version
    return within if within.is_dir() else models


def _with_log(models: Path, request: BatchRequest) -> BatchRequest:
    """Name the live log, which other processes shall read."""
    return replace(request, live_log=live_log_beside(models) if request.live_log is None else request.live_log)


def _report(run: Run, ids: Sequence[str], counts: Sequence[ShardCounts], n_kept: int) -> BatchReport:
    return BatchReport(
        model_version=run.inputs.bundle,
        as_of=run.inputs.as_of,
        users=len(ids),
        items=sum(each.items for each in counts),
        fallbacks=sum(each.fallbacks for each in counts),
        empty=sum(each.empty for each in counts),
        erased=sum(each.erased for each in counts),
        shards=len(counts),
        kept_shards=n_kept,
    )
