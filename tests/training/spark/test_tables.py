"""The types of the tables as Spark names them."""

from __future__ import annotations

from recsys.core.schema import EVENTS, USERS
from training.spark.tables import spark_types


def test_every_column_has_a_type_of_spark() -> None:
    kinds = spark_types(EVENTS) | spark_types(USERS)
    assert kinds["timestamp"] == "timestamp"
    assert kinds["tags"] == "array<string>"
    assert (kinds["quantity"], kinds["position"], kinds["personalization"]) == ("double", "bigint", "boolean")
