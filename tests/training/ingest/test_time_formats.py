from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from training.ingest.explanations import explain
from training.ingest.ingest import IngestConfig
from training.ingest.time_formats import CLOCKS, DAYS, fitting_formats


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(DAYS),
    st.sampled_from(CLOCKS),
)
def test_every_common_format_is_found(moment: datetime, day: str, clock: str) -> None:
    assert day + clock in fitting_formats(moment.strftime(day + clock))


@pytest.mark.parametrize("value", ["", "yesterday", "2024", "32.13.2024", "12:30", "0000-00-00"])
def test_what_is_no_time_has_no_format(value: str) -> None:
    assert fitting_formats(value) == ()
    assert "--timestamp-format" in explain("timestamp cannot be read as a time", "line 2 of e.csv", value)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("given_format", [None, "%Y/%q"])
def test_the_message_names_a_format_that_reads_the_file(
    run: Callable[..., object], tmp_path: Path, day: str, given_format: str | None
) -> None:
    path = tmp_path / "events.csv"
    texts = [datetime(2024, 3, 20 + n, tzinfo=UTC).strftime(day) for n in range(3)]
    rows = [f'u,i{n},purchase,"{text}"' for n, text in enumerate(texts)]
    path.write_text("\n".join(["user_id,item_id,event,timestamp", *rows]), encoding="utf-8")
    with pytest.raises(DataError) as error:
        run(IngestConfig(timezone="UTC", timestamp_format=given_format), events=path)
    advised = str(error.value).partition("--timestamp-format '")[2].partition("'")[0]
    run(IngestConfig(timezone="UTC", timestamp_format=advised), events=path)
