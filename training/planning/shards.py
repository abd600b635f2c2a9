"""The messages of one shard: some shoppers of a plan, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from recsys.core.errors import DataError
from recsys.core.files import replacing
from recsys.core.schema import MESSAGES
from recsys.core.timestamps import MICROSECONDS, from_micros
from recsys.eventlog.opening import LogLocation
from recsys.eventlog.store import messages_table
from recsys.experiments.assignment import RunningExperiment
from recsys.pipeline.recommender import Recommender
from recsys.planner.audience import may_be_planned
from recsys.planner.message_log import MessageLog
from recsys.planner.plan_file import LearnedPlan
from recsys.planner.plan_variants import VariantPlanners, planners
from recsys.planner.planner import PLAN_COLUMNS
from training.batch.run import ShardCounts
from training.batch.shards import Shard

MESSAGE_DAYS: Final = 180
"""Age up to which events of messages are read."""


@dataclass(frozen=True)
class PlanWriter:
    """Plans shards, and writes them.

    Attributes:
        planners: of all shards.
    """

    planners: VariantPlanners

    def write(self, shard: Shard) -> ShardCounts:
        """Write the file of a shard, completely or not at all, after reading the live log.

        Raises:
            DataError: a shopper cannot be planned; the message names the shopper.
        """
        self.planners.base.recommender.catch_up()
        reached = [id_ for id_ in shard.ids if not self.is_erased(id_)]
        try:
            rows = self._plan(reached)
        except Exception:
            self._name_failing(reached)
            raise
        with replacing(shard.path) as partial:
            write_messages(rows, shard.path.suffix, partial)
        return ShardCounts(
            shard.number,
            items=int(rows["item_ids"].list.len().sum()),
            fallbacks=0,
            empty=len(reached) - rows["user_id"].n_unique(),
            erased=len(shard.ids) - len(reached),
            messages=len(rows),
            held_out=rows.filter("is_holdout")["user_id"].n_unique(),
            variants=_shoppers_by_variant(rows),
            lists=dict(rows.group_by("placement").len().iter_rows()),
        )

    def _plan(self, user_ids: list[str]) -> pl.DataFrame:
        """Return the messages of some shoppers, each by the plan of the own variant, in the order of the shoppers."""
        rows = pl.concat(
            [
                pl.DataFrame(schema=PLAN_COLUMNS),
                *(planner.plan(group) for planner, group in self.planners.groups(user_ids)),
            ]
        )
        if not self.planners.variants:
            return rows
        place = {user_id: n for n, user_id in enumerate(user_ids)}
        order = np.argsort([place[user_id] for user_id in rows["user_id"]], kind="stable")
        return rows[order]

    def is_erased(self, id_: str) -> bool:
        """Return whether a user was erased or opted out of personalization."""
        recommender = self.planners.base.recommender
        return not may_be_planned(recommender.engine, recommender.live, id_)

    def _name_failing(self, user_ids: list[str]) -> None:
        """Raise an error that names the shopper that a shard fails for."""
        for user_id in user_ids:
            try:
                self._plan([user_id])
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise DataError(f"no messages can be planned for user {user_id!r} ({reason})") from error


@dataclass(frozen=True)
class PlanOptions:
    """What a process opens that writes a plan.

    Attributes:
        bundle: folder of the bundle, which stays the same if another one is activated meanwhile.
        placements: file of placements; None for the built-in ones.
        live_log: the file to read, or the address of a database; None for none.
        data: folder of tables with earlier messages; None for none.
        plan: the plan, with what it has learned.
        running: experiments whose variants change the plan.
        as_of: its moment, seconds since 1970.
    """

    bundle: Path
    placements: Path | None
    live_log: LogLocation | None
    data: Path | None
    plan: LearnedPlan
    running: tuple[RunningExperiment, ...]
    as_of: int

    def open(self) -> PlanWriter:
        """Map the bundle, whose pages all processes share, and read the earlier messages."""
        if self.live_log is None:
            recommender = Recommender.of_bundle(self.bundle, self.placements)
        else:
            recommender = Recommender.open(self.bundle, self.placements, self.live_log)
        return self.writer(recommender)

    def writer(self, recommender: Recommender) -> PlanWriter:
        """Return a writer with an open bundle."""
        log = read_messages(recommender, self.data, self.as_of)
        return PlanWriter(planners(recommender, self.plan, self.running, self.as_of, log))


def read_messages(recommender: Recommender, data: Path | None, as_of: int) -> MessageLog:
    """Read the events of messages in the last `MESSAGE_DAYS` before a moment, of the tables and the live log.

    Raises:
        DataError: the table cannot be read.
    """
    now = from_micros(as_of * MICROSECONDS)
    is_recent = pl.col("timestamp").is_between(now - timedelta(days=MESSAGE_DAYS), now)
    frames = [pl.DataFrame(schema=MESSAGES)]
    path = None if data is None else data / "messages.parquet"
    if path is not None and path.is_file():
        try:
            frames.append(pl.read_parquet(path, columns=list(MESSAGES), glob=False).filter(is_recent))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} cannot be read ({error}): run `recsys ingest` again") from error
    if recommender.log is not None:
        frames.append(messages_table(recommender.log).filter(is_recent))
    return MessageLog.of(pl.concat(frames))


def _shoppers_by_variant(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return the number of shoppers who are to be sent messages, by experiment and variant."""
    sent = rows.filter(~pl.col("is_holdout"), pl.col("variant").is_not_null())
    counted = sent.group_by("experiment", "variant").agg(pl.col("user_id").n_unique())
    found: dict[str, dict[str, int]] = {}
    for experiment, variant, n_shoppers in counted.rows():
        found.setdefault(experiment, {})[variant] = n_shoppers
    return found


def write_messages(rows: pl.DataFrame, suffix: str, path: Path) -> None:
    """Write messages as Parquet, or as NDJSON with times in RFC 3339."""
    if suffix == ".parquet":
        rows.write_parquet(path)
        return
    times = pl.col("send_at", "expires_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows.with_columns(times).write_ndjson(path)
