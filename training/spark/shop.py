"""A shop opened in Spark: its parts, the sample of its users that the driver has, and the engine of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.core.errors import DataError
from recsys.core.ids import IdMap
from recsys.core.schema import ITEMS, OFFERS, USERS
from recsys.data.dataset import build_dataset, read_info, read_table, with_info
from recsys.data.visitors import without
from recsys.fitting.engine import Engine
from training.source import Source, TrainingData
from training.spark.changes import Keep, Shop, count_with_state, own_rows
from training.spark.config import SparkConfig
from training.spark.facts import UNIT, gather, sample_of, scan, to_events, with_keys
from training.spark.outputs import write_users
from training.spark.parts import SparkParts
from training.spark.records import Frame, PartPlan, Record, make_records
from training.spark.session import open_session
from training.spark.snapshots import signatures
from training.spark.tables import read_events, read_users, spark_types, without_opted_out

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class SparkShop:
    """A shop whose events are in Spark.

    Attributes:
        parts: its events; their `dataset` is the sample of the driver.
        rows: number of events, users and items.
        end: time of the last event, seconds since 1970.
        work: folder for files of this training.
    """

    parts: SparkParts
    rows: dict[str, int]
    end: int
    work: Path

    def with_all_users(self, engine: Engine) -> Engine:
        """Return an engine that was fitted by the parts, with the histories, visits and profiles of all users."""
        config, price = engine.config, engine.list_price
        min_discount = config.segments.value.min_discount
        found = write_users(self.parts, price, config.history, min_discount, self.work / "users")
        segments = engine.segments
        return replace(
            engine,
            history=found.history,
            users_table=found.profiles,
            is_visitor=without(
                IdMap(tuple(found.profiles["user_id"])), found.is_visitor, engine.dataset_info.merged_into
            ),
            segments=replace(segments, visits=found.visits) if segments.is_fitted else segments,
            dataset_info=replace(engine.dataset_info, end=self.end),
        )


def spark_source(master: str, config: SparkConfig, java: str | None = None, keep: Keep | None = None) -> Source:
    """Return what opens a folder of tables with Spark.

    The folder has `dataset.json`, `items.parquet` and the events and users, each as a file or a folder.

    Args:
        master: URL of the Spark master.
        config: settings.
        java: path of the Java program; the one of the search path if None.
        keep: where counts are kept for the next training; None to keep none.
    """

    @contextmanager
    def open_data(data_dir: Path, work: Path) -> Iterator[TrainingData]:
        with open_shop(data_dir, master, config, work, java, keep) as shop:
            yield TrainingData(shop.parts.dataset, shop.end, shop.rows, shop.parts, shop.with_all_users)

    return open_data


@contextmanager
def open_shop(
    data_dir: Path, master: str, config: SparkConfig, work: Path, java: str | None = None, keep: Keep | None = None
) -> Iterator[SparkShop]:
    """Read a folder of tables with Spark.

    Args:
        data_dir: has `dataset.json`, `items.parquet` and the events and users, each as a file or a folder.
        master: URL of the Spark master.
        config: settings.
        work: folder for files of this training.
        java: path of the Java program; the one of the search path if None.
        keep: where counts are kept for the next training; None to keep none.

    Raises:
        ConfigError: Spark cannot be started.
        DataError: the tables cannot be used.
    """
    with open_session(master, config.driver_memory_mb, work, java) as session:
        yield read_shop(session, data_dir, config, work, keep)


def read_shop(
    session: SparkSession, data_dir: Path, config: SparkConfig, work: Path, keep: Keep | None = None
) -> SparkShop:
    """Read a folder of tables with an open session; see `open_shop`."""
    from pyspark import StorageLevel

    info = read_info(data_dir)
    items = read_table(data_dir / "items.parquet", ITEMS).unique("item_id", keep="last", maintain_order=True)
    users = _users(session, data_dir)
    kept_basis = None if keep is None else (signatures(data_dir), own_rows(users))
    events = without_opted_out(read_events(session, data_dir), users)
    found = scan(events, info.timezone)
    if not found.n_events:
        raise DataError(f"{data_dir} has no events that count: train without --engine spark")
    keyed = with_keys(events, has_users=found.has_users)
    share = min(1.0, config.sample_events / found.n_events)
    sample = to_events(sample_of(keyed, UNIT, share))
    facts = gather(events, items, sample, found, info.timezone)
    n_tasks = max(session.sparkContext.defaultParallelism, -(-found.n_events // config.part_events))
    session.conf.set("spark.sql.shuffle.partitions", n_tasks)
    plan = PartPlan.of(found, config.part_events)
    records = make_records(keyed, users, items, facts, info.timezone, plan).persist(StorageLevel.DISK_ONLY)
    sizes = {number: (n_users, n_events) for number, n_users, n_events in records.map(_size).collect()}
    dataset = build_dataset(
        sample,
        items,
        _profiles(sample_of(users, "user_id", share)),
        timezone=info.timezone,
        fingerprint=info.fingerprint,
        is_catalog_complete=info.is_catalog_complete,
        facts=facts,
    )
    dataset = with_info(dataset, info, read_table(data_dir / "offers.parquet", OFFERS))
    frame = Frame(len(facts.items), facts.target_event, info.timezone)
    parts = SparkParts(records, frame, {number: n_users for number, (n_users, _) in sizes.items()}, dataset, share)
    rows = {
        "events": sum(n_events for _, n_events in sizes.values()),
        "users": sum(n_users for n_users, _ in sizes.values()),
        "items": len(facts.items),
    }
    end = parts.span(tuple(range(128)))[1]
    if keep is not None and kept_basis is not None:
        shop = Shop(session, data_dir, users, items, facts, info.timezone, config.part_events, *kept_basis)
        counts = count_with_state(shop, parts, end, keep)
        parts = replace(parts, kept=counts.found_by(keep.settings, end))
    return SparkShop(parts, rows, end, work)


def _size(record: Record) -> tuple[int, int, int]:
    return record.number, record.n_users, len(record.events)


def _users(session: SparkSession, data_dir: Path) -> DataFrame:
    """Return the users' table, one without rows if there is none."""
    found = read_users(session, data_dir)
    if found is None:
        found = session.createDataFrame([], ", ".join(f"{name} {kind}" for name, kind in spark_types(USERS).items()))
    return found.dropDuplicates(["user_id"])


def _profiles(users: DataFrame) -> pl.DataFrame:
    table = pl.from_arrow(users.toArrow())
    assert isinstance(table, pl.DataFrame)
    return table.with_columns(pl.col(name).cast(dtype) for name, dtype in USERS.items()).sort("user_id")
