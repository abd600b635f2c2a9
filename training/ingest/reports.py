"""What an ingest did with each table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recsys.core.schema import DatasetInfo
from training.ingest.validation import ValidationResult


@dataclass(frozen=True)
class TableReport:
    """Counts of one table.

    Attributes:
        rows: input rows: those that were kept, left out as duplicates, rejected and skipped.
        kept: rows of the output.
        duplicates: rows left out because another row is equal or replaces them.
        rejected: rows left out because they break a rule.
        skipped: events that are not about an item, by name, most frequent first.
        reasons: rows by reason, most frequent first; a row that breaks two rules counts for both.
        emptied: cells of kept rows that break a rule and are empty now, by column and reason.
        examples: by reason, where the first row or cell with it is, its value, and what is accepted.
        unknown_events: rejected events of unknown names, by name, most frequent first.
        ignored_columns: columns of the input that the table does not have.
        notes: how ambiguous columns were read.
    """

    rows: int
    kept: int
    duplicates: int
    rejected: int
    skipped: dict[str, int]
    reasons: dict[str, int]
    emptied: dict[str, int]
    examples: dict[str, str]
    unknown_events: dict[str, int]
    ignored_columns: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class IngestReport:
    """The result of an ingest.

    Attributes:
        info: content of `dataset.json`.
        tables: counts of each input table.
        set_aside: entries of the live log that cannot be read, by number, with the reason.
    """

    info: DatasetInfo
    tables: dict[str, TableReport]
    set_aside: dict[int, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def table_report(part: ValidationResult, notes: tuple[str, ...] = ()) -> TableReport:
    """Return the report of a table.

    Args:
        part: its rows.
        notes: what is to be said beside the notes of the rows.
    """
    return TableReport(
        rows=part.rows,
        kept=part.kept.height,
        duplicates=part.duplicates,
        rejected=part.rejected,
        skipped=part.skipped,
        reasons=part.reasons(),
        emptied=part.emptied_cells(),
        examples=part.examples,
        unknown_events=part.unknown_events(),
        ignored_columns=part.ignored_columns,
        notes=(*part.notes, *notes),
    )
