from __future__ import annotations

import polars as pl
import pytest

from training.ingest.checks import SENTENCES
from training.ingest.explanations import accepted, first_examples, place_of, with_places
from training.ingest.raw_table import Origin

FILES = (Origin("a.csv", 0, 1), Origin("b.jsonl", 10, 0), Origin("c.parquet", 20))


@pytest.mark.parametrize(
    ("row", "place"),
    [(1, "line 2 of a.csv"), (10, "line 11 of a.csv"), (11, "line 1 of b.jsonl"), (21, "row 1 of c.parquet")],
)
def test_a_row_has_its_place_in_its_file(row: int, place: str) -> None:
    assert place_of(row, FILES) == place


def test_places_are_columns_too() -> None:
    rows = with_places(pl.DataFrame({"row": pl.Series([21, 1, 10, 11], dtype=pl.UInt32)}), FILES)
    assert rows.rows() == [(21, "c.parquet", None), (1, "a.csv", 2), (10, "a.csv", 11), (11, "b.jsonl", 1)]
    assert with_places(rows.clear().select("row"), FILES).schema == rows.schema


def test_the_first_row_of_each_reason_is_explained() -> None:
    reasons = pl.DataFrame(
        {"at": [0, 1], "reason": ["price is negative; none of user_id is filled", "price is negative"]}
    )
    values = pl.DataFrame({"price": ["-1", "-2"], "user_id": [None, None]})
    assert first_examples(reasons, values, pl.Series([7, 8]), FILES) == {
        "price is negative": "line 8 of a.csv has '-1'; expected a number from 0 on",
        "none of user_id is filled": "line 8 of a.csv is the first; expected one of these ids; map yours with "
        "--column THEIRS=user_id",
    }


@pytest.mark.parametrize("sentence", SENTENCES.values())
def test_every_rule_says_what_is_accepted(sentence: str) -> None:
    is_whole = sentence.startswith(("neither", "valid_to"))
    assert accepted(sentence.format(column="price")) or is_whole
