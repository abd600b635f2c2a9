from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError
from recsys.core.schema import TABLES, TIMESTAMP
from recsys.core.timestamps import EARLIEST_EVENT, to_seconds
from serving.api.event_validation import TimestampBounds, entries_of
from serving.problems import InvalidRequestError
from training.ingest.casts import PROBLEMS
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport
from training.ingest.time_bounds import with_event_bounds, without_extreme_times

Run = Callable[..., tuple[IngestReport, Path]]
Write = Callable[..., Path]
NOW = datetime(2024, 6, 1, tzinfo=UTC)
EDGE = timedelta(seconds=1)


@pytest.mark.parametrize("earliest", [EARLIEST_EVENT, datetime(2020, 3, 1, tzinfo=UTC)])
@pytest.mark.parametrize("at", ["-1s", "0s", "+1s"])
@pytest.mark.parametrize("end", ["earliest", "latest"])
def test_an_event_is_accepted_by_both_the_files_and_the_server_or_by_neither(
    earliest: datetime, at: str, end: str
) -> None:
    moment = {"earliest": earliest, "latest": NOW}[end] + {"-1s": -EDGE, "0s": EDGE * 0, "+1s": EDGE}[at]
    frame = pl.DataFrame({"timestamp": [moment], PROBLEMS: [None]}, {"timestamp": TIMESTAMP, PROBLEMS: pl.String})
    (problem,) = with_event_bounds(frame, earliest, NOW)[PROBLEMS]
    event = {"item_id": "i", "event": "purchase", "user_id": "u", "timestamp": moment.isoformat()}
    bounds = TimestampBounds(to_seconds(NOW), to_seconds(NOW), NOW.timestamp(), to_seconds(earliest))
    try:
        is_accepted = bool(entries_of(event, bounds))
    except InvalidRequestError:
        is_accepted = False
    assert is_accepted == (problem is None) == (earliest <= moment <= NOW)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001
def test_a_problem_has_the_value(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=0)
    schema = {"timestamp": TIMESTAMP, PROBLEMS: pl.String}
    frame = pl.DataFrame({"timestamp": [moment], PROBLEMS: ["price is bad"]}, schema)
    (problem,) = with_event_bounds(frame, EARLIEST_EVENT, NOW)[PROBLEMS]
    assert problem.startswith("price is bad")
    assert problem.endswith(f"{moment:%m-%dT%H:%M:%SZ}'") == (not EARLIEST_EVENT <= moment <= NOW)


@pytest.mark.parametrize("column", ["created_at", "valid_from", "valid_to"])
@pytest.mark.parametrize(("year", "is_kept"), [(1969, False), (1970, True), (9998, True), (9999, False)])
def test_optional_times_outside_the_calendar_are_emptied(column: str, year: int, is_kept: bool) -> None:
    table = "items" if column == "created_at" else "offers"
    moment = datetime(year, 12, 31, tzinfo=UTC)
    frame = pl.DataFrame({"item_id": ["i"], column: [moment]}, {"item_id": pl.String, column: TIMESTAMP})
    others = {name: dtype for name, dtype in TABLES[table].items() if name not in frame.columns}
    whole = frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in others.items())
    kept, notes = without_extreme_times(whole, table)
    assert kept[column].to_list() == [moment if is_kept else None]
    assert len(notes) == (not is_kept)
    assert is_kept or (column in notes[0] and str(year) in notes[0])


def test_the_first_day_of_the_shop_is_a_setting(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    rows = [good | {"timestamp": f"{year}-05-01", "item_id": str(year)} for year in (1985, 1995, 2015, 2024)]

    def items(earliest: str) -> list[str]:
        _, out = run(IngestConfig(max_reject_share=1.0, earliest=earliest), events=events_file(rows))
        rejects = pl.read_parquet(out / "rejects.parquet")
        assert all(
            json.loads(row)["timestamp"] in reason for row, reason in rejects.select("original", "reason").rows()
        )
        return pl.read_parquet(out / "events.parquet")["item_id"].to_list()

    assert items("1990-01-01") == ["1995", "2015", "2024"]
    assert items("2020-01-01T00:00:00+08:00") == ["2024"]
    assert items("1980-01-01") == ["1985", "1995", "2015", "2024"]
    with pytest.raises(ConfigError, match="earliest is 'May', expected an RFC 3339 time"):
        items("May")
