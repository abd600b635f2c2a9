"""The types of the tables as Spark names them."""

from __future__ import annotations

from pathlib import Path

from recsys.core.schema import EVENTS, USERS
from training.spark.tables import location, spark_types


def test_every_column_has_a_type_of_spark() -> None:
    kinds = spark_types(EVENTS) | spark_types(USERS)
    assert kinds["timestamp"] == "timestamp"
    assert kinds["tags"] == "array<string>"
    assert (kinds["quantity"], kinds["position"], kinds["personalization"]) == ("double", "bigint", "boolean")


def test_names_of_folders_are_no_patterns() -> None:
    """Nor are they parts of a URL: `=` and blanks stay; the steps of `test_changes` are read from such a folder."""
    assert location(Path("/a b/day=1/商店")) == "file:///a b/day=1/商店"
    assert location(Path("/a[1]{x}*?")) == r"file:///a\[1\]\{x\}\*\?"
