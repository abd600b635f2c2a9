"""What has changed since an earlier training: the users to count again, as they were and as they are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from recsys.bundles.bundle import code_fingerprint
from recsys.core.schema import PERSONALIZATION, USERS
from recsys.data.shop_facts import ShopFacts
from training.spark.facts import UNIT, scan, with_keys
from training.spark.kept import KeptCounts, KeptSettings, count_kept
from training.spark.parts import SparkParts
from training.spark.records import PartPlan, make_records
from training.spark.snapshots import Basis, Files, Snapshot, latest, signatures, write
from training.spark.tables import read_events, without_opted_out

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

OWN: Final = ("user_id", "timezone", PERSONALIZATION)
"""Columns of users that change what their events count for."""


class Keep(NamedTuple):
    """Where kept counts are, and of which settings."""

    folder: Path
    settings: KeptSettings


@dataclass(frozen=True)
class Shop:
    """What the counts of a shop are made from.

    Attributes:
        session: the session.
        data_dir: folder of the tables.
        users: the users' table.
        items: the items' table.
        facts: about all events.
        timezone: IANA zone of the shop.
        part_events: events of a part, about.
        files: signatures of the files of events, taken before any of them was read.
        own: users with a zone or a choice of their own, read then too.
    """

    session: SparkSession
    data_dir: Path
    users: DataFrame
    items: pl.DataFrame
    facts: ShopFacts
    timezone: str
    part_events: int
    files: Files
    own: pl.DataFrame


def count_with_state(shop: Shop, parts: SparkParts, now: int, keep: Keep) -> KeptCounts:
    """Return the kept counts of all users, and write them as a snapshot.

    Users with events in files that the latest fitting snapshot has not, and those whose row of users has changed, are
    counted twice: as they were, which is taken away, and as they are, which is added. Without such a snapshot all users
    are counted. If a file was changed while it was read, no snapshot is written, as nobody knows what was counted.

    Args:
        shop: the tables.
        parts: the same, in parts.
        now: moment from which ages count, seconds since 1970.
        keep: where the snapshots are.
    """
    settings, files, own = keep.settings, shop.files, shop.own
    digest = digest_of(shop.facts, shop.timezone, settings)
    snapshot = latest(keep.folder, digest, files)
    count = partial(count_kept, settings=settings, now=now)
    if snapshot is None or snapshot.basis.now > now or not snapshot.has_only(shop.facts.items):
        log.info("no kept counts fit these tables and settings: all events are counted")
        counts = parts.total(count, KeptCounts)
    else:
        new = [name for name in files if name not in snapshot.basis.files]
        log.info("%d of %d files of events are new since the kept counts", len(new), len(files))
        kept = snapshot.counts(shop.facts.items).at(now - snapshot.basis.now, settings)
        before, after = _changed(shop, parts, snapshot, new, own, count)
        counts = kept.replaced(before, after)
    if signatures(shop.data_dir) == files and own_rows(shop.users).equals(own):
        write(keep.folder, Basis(digest, now, files), counts, own, shop.facts.items)
    else:
        log.warning("tables were changed during the training: its counts are not kept, the next one counts again")
    return counts


def _changed(
    shop: Shop, parts: SparkParts, snapshot: Snapshot, new: Sequence[str], own: pl.DataFrame, count: partial[KeptCounts]
) -> tuple[KeptCounts | None, KeptCounts | None]:
    """Count the changed users as they were at the snapshot and as they are; None where they have no events."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as F  # noqa: N812

    session, has_users, then = shop.session, shop.facts.has_users, snapshot.users()
    known = list(snapshot.basis.files)
    differ = (one.join(other, on=OWN, how="anti", nulls_equal=True) for one, other in ((then, own), (own, then)))
    rows = pl.concat(differ).select(pl.col("user_id").alias(UNIT)).unique()
    added = with_keys(read_events(session, shop.data_dir, new or known), has_users=has_users).where(F.lit(bool(new)))
    units = added.select(f"`{UNIT}`").union(_to_spark(session, rows)).distinct().persist(StorageLevel.DISK_ONLY)
    old = with_keys(read_events(session, shop.data_dir, known), has_users=has_users)
    old = old.join(units, UNIT, "left_semi").select(*added.columns).persist(StorageLevel.DISK_ONLY)
    found = _count(shop, parts, old, then, count), _count(shop, parts, old.unionByName(added), own, count)
    old.unpersist()
    units.unpersist()
    return found


def _count(
    shop: Shop, parts: SparkParts, events: DataFrame, own: pl.DataFrame, count: partial[KeptCounts]
) -> KeptCounts | None:
    """Count some events, with the zones and the choices of their users."""
    rest = {name: dtype for name, dtype in USERS.items() if name not in OWN}
    users = _to_spark(
        shop.session, own.select(*OWN, *(pl.lit(None, dtype).alias(name) for name, dtype in rest.items()))
    )
    events = without_opted_out(events, users)
    found = scan(events, shop.timezone)
    if not found.n_events:
        return None
    plan = PartPlan.of(found, shop.part_events)
    records = make_records(events, users, shop.items, shop.facts, shop.timezone, plan)
    return SparkParts(records, parts.frame, {}, parts.dataset, parts.share).total(count, KeptCounts)


def own_rows(users: DataFrame) -> pl.DataFrame:
    """Return the users with a zone or a choice of their own, the columns `OWN`."""
    chosen = users.where(users["timezone"].isNotNull() | ~users[PERSONALIZATION]).select(*OWN)
    table = pl.from_arrow(chosen.toArrow())
    assert isinstance(table, pl.DataFrame)
    return table.select(pl.col(name).cast(USERS[name]) for name in OWN).sort("user_id")


def _to_spark(session: SparkSession, table: pl.DataFrame) -> DataFrame:
    import pyarrow as pa

    arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    kinds = {pa.large_string(): pa.string(), pa.large_list(pa.large_string()): pa.list_(pa.string())}
    schema = pa.schema([pa.field(each.name, kinds.get(each.type, each.type)) for each in arrow.schema])
    return session.createDataFrame(arrow.cast(schema))


def digest_of(facts: ShopFacts, timezone: str, settings: KeptSettings) -> str:
    """Return the digest of what decides the counts of given events of given users."""
    variants = sorted(facts.variant_of.items())
    of_events = facts.receipt_scope, facts.has_users, facts.has_hours, facts.target_event
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    text = repr((code_fingerprint(), code.hexdigest(), settings, timezone, variants, of_events))
    return hashlib.sha256(text.encode()).hexdigest()
