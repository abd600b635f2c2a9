"""The job that writes one list per user to a file, for mail, messages and other systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import polars as pl

from recsys.core.errors import ConfigError, DataError, RequestError
from recsys.core.files import replacing
from recsys.core.progress import Progress, silent
from recsys.core.request import Recommendations, Request, to_wire
from recsys.core.timestamps import to_seconds
from recsys.live.reachability import is_erased
from recsys.pipeline.recommender import Recommender
from training.ingest.readers import read_table

CHUNK: Final = 1000
COLUMNS: Final[dict[str, pl.DataType]] = {
    "user_id": pl.String(),
    "recommendation_id": pl.String(),
    "rank": pl.Int32(),
    "item_id": pl.String(),
    "score": pl.Float32(),
    "source": pl.String(),
    "reasons": pl.List(pl.String()),
}
"""Columns of the Parquet output, one row per item; a user with an empty list has no row."""


@dataclass(frozen=True)
class BatchRequest:
    """The list that every user gets.

    Attributes:
        placement: name of a list for users.
        limit: length of each list.
        as_of: aware moment of the lists; None for that of the latest known event.
        placements: file of placements; None for the built-in ones.
        live_log: file of the live log; None for the one in the folder of bundles, if there is one.
        context: context of every request; `region`, `store` and `channel` select the offers.
    """

    placement: str = "for_you"
    limit: int = 20
    as_of: datetime | None = None
    placements: Path | None = None
    live_log: Path | None = None
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """Counts of the lists that were written.

    Attributes:
        model_version: bundle of all lists.
        users: different users in the file.
        items: items over all lists.
        fallbacks: unknown users, who got the fallback list.
        empty: users with an empty list.
        erased: users who were erased; they have no list.
    """

    model_version: str
    users: int
    items: int
    fallbacks: int
    empty: int
    erased: int


Responses = Sequence[tuple[str, Recommendations]]
Write = Callable[[Responses], None]


def batch_recommend(
    models: Path, users_file: Path, out: Path, request: BatchRequest, progress: Progress = silent
) -> BatchReport:
    """Write one list per user of a file; `out` is replaced as a whole or not at all.

    The live log is read again before each chunk of users: what is sold out by then is not listed.

    Args:
        models: folder of bundles, or the folder of one bundle.
        users_file: Parquet, CSV or JSON Lines with a column `user_id`, or a `.txt` with one id per line.
        out: `.parquet` (see `COLUMNS`), or `.ndjson` or `.jsonl` with one line per user, in the order of `users_file`.
        request: the list.
        progress: receives each chunk of users.

    Raises:
        BundleError: there is no bundle to open.
        ConfigError: `out` has another suffix, or its folder does not exist; the file of placements is not valid.
        DataError: `users_file` cannot be read or has no user.
        RequestError: the list does not exist, or is not for users.
    """
    writer = _writer(out)
    recommender = Recommender.open(models, request.placements, request.live_log)
    as_of = recommender.latest if request.as_of is None else to_seconds(request.as_of)
    _check_anchor(recommender, request)
    user_ids = read_user_ids(users_file)
    counts: Counter[str] = Counter()
    with writer(out) as write:
        for start in range(0, len(user_ids), CHUNK):
            progress(f"lists for {len(user_ids):,} users", start / len(user_ids))
            recommender.catch_up()
            asked = user_ids[start : start + CHUNK]
            reached = [user_id for user_id in asked if not is_erased(recommender.live, user_id)]
            responses = [
                (
                    user_id,
                    recommender.recommend_for(
                        Request(request.placement, as_of, request.limit, user_id, context=request.context)
                    ),
                )
                for user_id in reached
            ]
            write(responses)
            counts.update(_count(responses), erased=len(asked) - len(reached))
        progress("moving the file into place", 1.0)
    return BatchReport(
        recommender.version, len(user_ids), counts["items"], counts["fallbacks"], counts["empty"], counts["erased"]
    )


def read_user_ids(path: Path) -> list[str]:
    """Read the different ids of a file, in the order of their first appearance.

    Raises:
        DataError: the file cannot be read, has no column `user_id` or has no user.
    """
    if path.suffix == ".txt":
        ids = pl.Series("user_id", _lines(path), pl.String)
    else:
        frame = read_table(path, "users").frame
        if "user_id" not in frame.columns:
            found = ", ".join(frame.columns) or "none"
            raise DataError(f"{path}: the column 'user_id' is missing (columns found: {found}); rename yours")
        ids = frame["user_id"].cast(pl.String)
    filled = ids.drop_nulls().filter(ids.drop_nulls() != "").unique(maintain_order=True).to_list()
    if not filled:
        raise DataError(f"{path} has no user: write one id per line, or a table with the column user_id")
    return filled


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): expected UTF-8 with one id per line") from None
    return [line.removesuffix("\r") for line in lines]


def _check_anchor(recommender: Recommender, request: BatchRequest) -> None:
    """Refuse a list for items, which the first request would answer with an empty list."""
    placement = recommender.placements.get(request.placement)
    if placement is not None and placement.anchor == "item":
        raise RequestError("placement", f"{request.placement!r} is a list for an item: choose one for users")


def _count(responses: Responses) -> dict[str, int]:
    return {
        "items": sum(len(response.items) for _, response in responses),
        "fallbacks": sum(response.fallback_used for _, response in responses),
        "empty": sum(not response.items for _, response in responses),
    }


def _writer(out: Path) -> Callable[[Path], AbstractContextManager[Write]]:
    writers = {".parquet": _parquet, ".ndjson": _ndjson, ".jsonl": _ndjson}
    if out.suffix not in writers:
        raise ConfigError(f"{out} has the suffix {out.suffix!r}, expected one of {', '.join(writers)}")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist: make it first")
    return writers[out.suffix]


@contextmanager
def _ndjson(out: Path) -> Iterator[Write]:
    """Write one line per user."""
    with replacing(out) as partial, partial.open("wb") as file:
        yield lambda responses: file.writelines(
            msgspec.json.encode(_line(user_id, response)) + b"\n" for user_id, response in responses
        )


@contextmanager
def _parquet(out: Path) -> Iterator[Write]:
    """Write part files beside `out`, then stream them into one file, so that memory does not grow with the users."""
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        parts = [Path(folder) / "0.parquet"]
        pl.DataFrame(schema=COLUMNS).write_parquet(parts[0])

        def write(responses: Responses) -> None:
            parts.append(Path(folder) / f"{len(parts)}.parquet")
            _rows(responses).write_parquet(parts[-1])

        yield write
        with replacing(out) as partial:
            pl.scan_parquet(parts).sink_parquet(partial)


def _line(user_id: str, response: Recommendations) -> dict[str, Any]:
    ids = {"user_id": user_id, "recommendation_id": recommendation_id(user_id, response)}
    return ids | msgspec.to_builtins(response, enc_hook=to_wire)


def recommendation_id(user_id: str, response: Recommendations) -> str:
    """Return the id of a user's list, for attribution; the same list has the same id when the job runs again."""
    items = [[item.item_id, item.score] for item in response.items]
    content = msgspec.json.encode([user_id, response.placement, response.model_version, items])
    return blake2b(content, digest_size=16).hexdigest()


def _rows(responses: Responses) -> pl.DataFrame:
    rows = [
        (user_id, id_, item.rank, item.item_id, item.score, item.source, [reason.text for reason in item.reasons])
        for user_id, response in responses
        for id_ in (recommendation_id(user_id, response),)
        for item in response.items
    ]
    return pl.DataFrame(rows, COLUMNS, orient="row")
