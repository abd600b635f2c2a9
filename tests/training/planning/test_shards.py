from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import DataError
from recsys.core.schema import MESSAGES
from recsys.pipeline.recommender import Recommender
from training.planning.shards import MESSAGE_DAYS, read_messages

NOW = datetime(2024, 7, 1, tzinfo=UTC)


def test_messages_of_the_tables_in_time(shop_models: Path, tmp_path: Path) -> None:
    recommender = Recommender.of_bundle(shop_models)
    as_of = int(NOW.timestamp())
    assert read_messages(recommender, None, as_of).events.is_empty()
    assert read_messages(recommender, tmp_path, as_of).events.is_empty()
    days = {"old": -MESSAGE_DAYS - 1, "recent": -1, "later": 1}
    rows = [
        {"user_id": name, "event": "message_sent", "timestamp": NOW + timedelta(days=day)} for name, day in days.items()
    ]
    pl.DataFrame(rows, schema=MESSAGES).write_parquet(tmp_path / "messages.parquet")
    assert read_messages(recommender, tmp_path, as_of).events["user_id"].to_list() == ["recent"]
    (tmp_path / "messages.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="run `recsys ingest` again"):
        read_messages(recommender, tmp_path, as_of)
