"""Offers from a file to a list."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from recsys.core.request import Request
from recsys.pipeline.recommender import Recommender
from tests.jobs import NOW, train_small
from tests.shop import TIMEZONE, ShopTables
from training.ingest.ingest import IngestConfig, InputFiles, ingest


def test_a_file_of_offers_is_ingested_trained_and_served(shop_tables: ShopTables, tmp_path: Path) -> None:
    for name, frame in vars(shop_tables).items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    offers = tmp_path / "offers.csv"
    offers.write_text(
        "商品,门店,price,available,valid_to\n"
        "case-3,武汉一店,,false,\n"
        "charger-1,武汉一店,1.5,,2024-07-01 08:00:00\n"
        "在别处,武汉一店,1.5,,\n",
        encoding="utf-8",
    )
    paths = {name: tmp_path / f"{name}.parquet" for name in vars(shop_tables)}
    config = IngestConfig(timezone=TIMEZONE, columns={"商品": "item_id", "门店": "store"})
    report = ingest(InputFiles(**paths, offers=offers), config, tmp_path / "data", NOW)
    assert report.tables["offers"].kept == 3
    notes = train_small(tmp_path / "data", tmp_path / "models").notes
    assert notes[-1] == ("1 of 3 offers are not used: their item_id is neither in the items table nor in an event.")
    engine = Recommender.open(tmp_path / "models")

    def listed(store: str, as_of: datetime, text: str = "") -> set[str]:
        request = Request("popular", int(as_of.timestamp()), 100, filter=engine.filter(text), context={"store": store})
        return {item.item_id for item in engine.recommend_for(request).items}

    assert "case-3" not in listed("武汉一店", NOW)
    assert "case-3" in listed("上海店", NOW)
    before, after = datetime(2024, 6, 30, 23, 59, 59, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)
    assert [listed("武汉一店", when, "price = 1.5") for when in (before, after)] == [{"charger-1"}, set()]
