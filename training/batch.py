"""The job that writes a list for each of many users, for mail, messages and other systems to send."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from recsys.core.errors import ConfigError, DataError, RequestError
from recsys.core.progress import Progress, silent
from recsys.core.request import Recommendations, Request, to_wire
from recsys.core.timestamps import to_seconds
from recsys.pipeline.recommender import Recommender
from training.ingest.readers import read_table

CHUNK: Final = 1000
COLUMNS: Final[dict[str, pl.DataType]] = {
    "user_id": pl.String(),
    "rank": pl.Int32(),
    "item_id": pl.String(),
    "score": pl.Float32(),
    "source": pl.String(),
    "reasons": pl.List(pl.String()),
}
"""Columns of the Parquet output, one row an item; a user whose list is empty has none."""


@dataclass(frozen=True)
class BatchRequest:
    """Which list is wanted.

    Attributes:
        placement: a list for users.
        limit: length of each list.
        as_of: aware; the end of the bundle's data if None.
        placements: file that says what the lists are; those that are built in if None.
        context: of every request: `region`, `store` and `channel` choose among offers.
    """

    placement: str = "for_you"
    limit: int = 20
    as_of: datetime | None = None
    placements: Path | None = None
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """What was written.

    Attributes:
        model_version: the bundle that all lists are of.
        users: users that were read, each once.
        items: items over all lists.
        fallbacks: users who got the fallback's list, as nothing is known of them.
        empty: users whose list is empty.
    """

    model_version: str
    users: int
    items: int
    fallbacks: int
    empty: int


Answers = Sequence[tuple[str, Recommendations]]
Write = Callable[[Answers], None]


def batch_recommend(
    models: Path, users_file: Path, out: Path, order: BatchRequest, progress: Progress = silent
) -> BatchReport:
    """Write a list for each user of a file; `out` appears whole or not at all.

    Args:
        models: the folder of bundles, or one bundle's own.
        users_file: Parquet, CSV or JSON Lines with a column `user_id`, or a `.txt` with one id a line.
        out: `.parquet` (see `COLUMNS`), or `.ndjson` or `.jsonl` with one line a user, in the order of `users_file`.
        order: which list.
        progress: told of each chunk of users.

    Raises:
        BundleError: there is no bundle to open.
        ConfigError: `out` has another ending, or its folder cannot be written; the file of placements is wrong.
        DataError: `users_file` cannot be read or names nobody.
        RequestError: there is no such list, or it is not for users.
    """
    write_to = _writer(out)
    recommender = Recommender.open(models, order.placements)
    moment = recommender.data_end if order.as_of is None else to_seconds(order.as_of)
    _check(recommender, order)
    user_ids = read_user_ids(users_file)
    counts: Counter[str] = Counter()
    with write_to(out) as write:
        for start in range(0, len(user_ids), CHUNK):
            progress(f"lists for {len(user_ids):,} users", start / len(user_ids))
            answers = [
                (
                    user_id,
                    recommender.recommend_for(
                        Request(order.placement, moment, order.limit, user_id, context=order.context)
                    ),
                )
                for user_id in user_ids[start : start + CHUNK]
            ]
            write(answers)
            counts.update(_count(answers))
        progress("putting the file in its place", 1.0)
    return BatchReport(recommender.version, len(user_ids), counts["items"], counts["fallbacks"], counts["empty"])


def read_user_ids(path: Path) -> list[str]:
    """The ids of a file, each once, in the order of their first appearance.

    Raises:
        DataError: the file cannot be read, has no column `user_id` or names nobody.
    """
    if path.suffix == ".txt":
        ids = pl.Series("user_id", _lines(path), pl.String)
    else:
        frame = read_table(path, "users").frame
        if "user_id" not in frame.columns:
            found = ", ".join(frame.columns) or "none"
            raise DataError(f"{path}: the column 'user_id' is missing (columns found: {found}); rename yours")
        ids = frame["user_id"].cast(pl.String)
    named = ids.drop_nulls().filter(ids.drop_nulls() != "").unique(maintain_order=True).to_list()
    if not named:
        raise DataError(f"{path} names no user: write one id a line, or a table with the column user_id")
    return named


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): give a UTF-8 file with one id a line") from None
    return [line.removesuffix("\r") for line in lines]


def _check(recommender: Recommender, order: BatchRequest) -> None:
    """Refuse what the first answer would not: a list for items."""
    placement = recommender.placements.get(order.placement)
    if placement is not None and placement.anchor == "item":
        raise RequestError("placement", f"{order.placement!r} is a list for an item: choose one for users")


def _count(answers: Answers) -> dict[str, int]:
    return {
        "items": sum(len(answer.items) for _, answer in answers),
        "fallbacks": sum(answer.fallback_used for _, answer in answers),
        "empty": sum(not answer.items for _, answer in answers),
    }


def _writer(out: Path) -> Callable[[Path], AbstractContextManager[Write]]:
    writers = {".parquet": _parquet, ".ndjson": _ndjson, ".jsonl": _ndjson}
    if out.suffix not in writers:
        raise ConfigError(f"{out} ends in {out.suffix or 'nothing'!r}, expected one of {', '.join(writers)}")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is no folder: make it first")
    return writers[out.suffix]


@contextmanager
def _ndjson(out: Path) -> Iterator[Write]:
    """Append a line a user to a file beside `out`, then rename it."""
    partial = _beside(out)
    try:
        with partial.open("wb") as file:
            yield lambda answers: file.writelines(
                msgspec.json.encode({"user_id": user_id, **msgspec.to_builtins(answer, enc_hook=to_wire)}) + b"\n"
                for user_id, answer in answers
            )
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _parquet(out: Path) -> Iterator[Write]:
    """Write part files to a folder beside `out`, then stream them into one file and rename it."""
    partial = _beside(out)
    partial.mkdir()
    try:
        pl.DataFrame(schema=COLUMNS).write_parquet(partial / "0.parquet")
        yield lambda answers: _rows(answers).write_parquet(partial / f"{len(os.listdir(partial))}.parquet")
        parts = [partial / f"{place}.parquet" for place in range(len(os.listdir(partial)))]
        whole = partial / "whole"
        pl.scan_parquet(parts).sink_parquet(whole)
        whole.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rows(answers: Answers) -> pl.DataFrame:
    rows = [
        (user_id, item.rank, item.item_id, item.score, item.source, [reason.text for reason in item.reasons])
        for user_id, answer in answers
        for item in answer.items
    ]
    return pl.DataFrame(rows, COLUMNS, orient="row")


def _beside(out: Path) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}")
