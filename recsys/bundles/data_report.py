"""What a bundle records of the data that it was trained on; a file of its own, which no list needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from recsys.bundles.bundle import DATA_REPORT, Manifest
from recsys.core.errors import BundleError
from recsys.core.files import file_digest


@dataclass(frozen=True)
class RejectedRow:
    """A row that the ingest left out.

    Attributes:
        place: its file and line, else the number of the row.
        content: the row as JSON, cut if it is long.
    """

    place: str
    content: str


@dataclass(frozen=True)
class RejectReason:
    """Rows, or cells, that break one rule.

    Attributes:
        reason: the rule.
        count: number of rows; of cells, for those that were emptied.
        example: the value of the first and what is accepted, empty if unknown.
        samples: the first rows; none for cells.
    """

    reason: str
    count: int
    example: str = ""
    samples: tuple[RejectedRow, ...] = ()


@dataclass(frozen=True)
class IngestedTable:
    """One table as the ingest read it.

    Attributes:
        name: of the table.
        rows: rows of the input.
        kept: rows that the models may use.
        duplicates: rows left out because another one is equal or replaces them.
        rejected: rows left out because they break a rule.
        skipped: events that are not about an item, by name.
        first: RFC 3339 time of the first kept row; empty for a table without times.
        last: RFC 3339 time of the last one.
        reasons: why rows were left out, the most frequent reason first.
        emptied: why cells of kept rows were emptied, the most frequent reason first.
        notes: how ambiguous columns were read.
    """

    name: str
    rows: int
    kept: int
    duplicates: int = 0
    rejected: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    reasons: tuple[RejectReason, ...] = ()
    emptied: tuple[RejectReason, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SupportedLists:
    """Lists of one model, and whether the data supports them.

    Attributes:
        lists: names of the lists.
        model: name of the model.
        grade: `yes`, `thin` or `no`.
        why: one sentence.
    """

    lists: tuple[str, ...]
    model: str
    grade: str
    why: str


@dataclass(frozen=True)
class DataReport:
    """The data of a training, as `recsys ingest` and `recsys doctor` see it.

    Attributes:
        tables: by table; empty for a folder without a report of the ingest.
        findings: what the doctor finds unusual, one sentence each.
        lists: what the data supports.
    """

    tables: tuple[IngestedTable, ...]
    findings: tuple[str, ...]
    lists: tuple[SupportedLists, ...]


def read_data_report(folder: Path, manifest: Manifest) -> DataReport | None:
    """Read the report of a bundle, None for a bundle that was written without one.

    Raises:
        BundleError: the file is missing or altered.
    """
    if DATA_REPORT not in manifest.files:
        return None
    path = folder / DATA_REPORT
    try:
        if file_digest(path) != manifest.files[DATA_REPORT]:
            raise BundleError(f"{path} is altered: its sha256 is not the manifest's; train again")
        return msgspec.json.decode(path.read_bytes(), type=DataReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{path} cannot be read ({error}): train again") from error
