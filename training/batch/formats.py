"""The files of a batch: Parquet with one row per item, or NDJSON with one line per list."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.request import Reason, Recommendations, to_wire
from training.batch.ids import Subject

Responses = Sequence[tuple[str, Recommendations]]
"""Ids and their lists."""

Title = Callable[[str], str]
"""Returns the title of an item."""

_REST: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        "recommendation_id": pl.String(),
        "rank": pl.Int32(),
        "item_id": pl.String(),
        "title": pl.String(),
        "score": pl.Float32(),
        "source": pl.String(),
        "due_at": pl.String(),
        "expires_at": pl.String(),
        "reasons": pl.List(pl.String()),
        "reasons_zh": pl.List(pl.String()),
    }
)

COLUMNS: Final[Mapping[Subject, Mapping[str, pl.DataType]]] = MappingProxyType(
    {
        "user": MappingProxyType({"user_id": pl.String(), **_REST}),
        "item": MappingProxyType({"seed_id": pl.String(), **_REST}),
    }
)
"""Columns of Parquet by what the lists are for, one row per item; an empty list has no row."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: of its files.
        write: writes some lists to a new file.
        join: writes the content of some files to a new one, without reading them into memory at once.
    """

    suffix: str
    write: Callable[[Responses, Subject, Title, Path], None]
    join: Callable[[Sequence[Path], Path], None]


def recommendation_id(subject_id: str, response: Recommendations) -> str:
    """Return the id of a list, for attribution; the same list has the same id when the job runs again."""
    items = [[item.item_id, item.score] for item in response.items]
    content = msgspec.json.encode([subject_id, response.placement, response.model_version, items])
    return blake2b(content, digest_size=16).hexdigest()


def format_of(name: str) -> Format:
    """Return a format by its name or suffix.

    Raises:
        ConfigError: there is no such format.
    """
    found = FORMATS.get(name.removeprefix(".").lower())
    if found is None:
        raise ConfigError(f"the format {name!r} is unknown: choose from {', '.join(FORMATS)}")
    return found


def _write_parquet(responses: Responses, subject: Subject, title: Title, path: Path) -> None:
    _columns(responses, subject, title).write_parquet(path)


def _columns(responses: Responses, subject: Subject, title: Title) -> pl.DataFrame:
    """Return one row per item."""
    sizes = [len(response.items) for _, response in responses]
    items = [item for _, response in responses for item in response.items]
    ids = [recommendation_id(id_, response) for id_, response in responses]

    def per_item(values: Sequence[str]) -> list[str]:
        return list(chain.from_iterable(map(repeat, values, sizes)))

    item_ids = [item.item_id for item in items]
    titles = {item_id: title(item_id) for item_id in set(item_ids)}
    values: tuple[list[Any], ...] = (
        per_item([id_ for id_, _ in responses]),
        per_item(ids),
        [item.rank for item in items],
        item_ids,
        [titles[item_id] for item_id in item_ids],
        [item.score for item in items],
        [item.source for item in items],
        [item.due_at or None for item in items],
        [item.expires_at or None for item in items],
    )
    schema = COLUMNS[subject]
    columns = [pl.Series(name, column, schema[name]) for name, column in zip(schema, values, strict=False)]
    return pl.DataFrame(columns).hstack(_texts([item.reasons for item in items]))


def _texts(reasons: Sequence[Sequence[Reason]]) -> pl.DataFrame:
    """Return the texts of each item's reasons, one row per item; every item has a reason.

    Texts are grouped by row, as polars takes ten times as long to read lists of lists.
    """
    flat = [reason for of_item in reasons for reason in of_item]
    row = np.repeat(np.arange(len(reasons)), np.fromiter(map(len, reasons), np.int64, len(reasons)))
    texts = {"reasons": [reason.text for reason in flat], "reasons_zh": [reason.text_zh for reason in flat]}
    table = pl.DataFrame({"row": row, **texts}, {"row": pl.Int64, **dict.fromkeys(texts, pl.String)})
    return table.group_by("row", maintain_order=True).agg(*texts).drop("row")


def _join_parquet(paths: Sequence[Path], out: Path) -> None:
    pl.scan_parquet(list(paths)).sink_parquet(out)


def _write_ndjson(responses: Responses, subject: Subject, title: Title, path: Path) -> None:
    key = next(iter(COLUMNS[subject]))
    with path.open("wb") as file:
        file.writelines(_line(key, id_, response, title) for id_, response in responses)


def _line(key: str, id_: str, response: Recommendations, title: Title) -> bytes:
    line: dict[str, Any] = {key: id_, "recommendation_id": recommendation_id(id_, response)}
    line |= msgspec.to_builtins(response, enc_hook=to_wire)
    for item in line["items"]:
        item["title"] = title(item["item_id"])
    return msgspec.json.encode(line) + b"\n"


def _join_ndjson(paths: Sequence[Path], out: Path) -> None:
    with out.open("wb") as joined:
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, joined, 1 << 20)


_PARQUET: Final = Format("parquet", _write_parquet, _join_parquet)
_NDJSON: Final = Format("ndjson", _write_ndjson, _join_ndjson)

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({"parquet": _PARQUET, "ndjson": _NDJSON, "jsonl": _NDJSON})
"""By name, which is also the suffix of a file that has the lists."""
