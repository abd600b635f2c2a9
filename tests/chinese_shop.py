"""A small generated Chinese shop whose effects are known: the fixture of tests of segments, moments, sets and plans.

`recsys demo-data --shop cn` writes the same shop with more users; `training.chinese_shop.planted` has what is planted.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import polars as pl

from recsys.core.schema import TABLES
from recsys.data.dataset import Dataset, build_dataset
from training.chinese_shop.planted import TIMEZONE
from training.chinese_shop.shop import ChineseShopConfig, chinese_tables

N_USERS: Final = 1000


@cache
def small_tables() -> dict[str, pl.DataFrame]:
    """The tables of the shop, with every column of their schema."""
    return {name: _whole(frame, TABLES[name]) for name, frame in chinese_tables(ChineseShopConfig(N_USERS)).items()}


def small_dataset() -> Dataset:
    """The shop as arrays, as ingest and training would build it, without its offers."""
    tables = small_tables()
    return build_dataset(tables["events"], tables["items"], tables["users"], timezone=TIMEZONE)


def _whole(frame: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    own = [name for name in frame.columns if name not in columns]
    return frame.select(
        *(
            pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        ),
        *own,
    )
