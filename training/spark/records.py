"""The events of some users as one record of Spark: arrays, numbered by the facts of the whole shop."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import IdMap
from recsys.core.schema import USERS
from recsys.data.dataset import Dataset, build_dataset
from recsys.data.event_columns import Events
from recsys.data.shop_facts import ShopFacts
from training.spark.facts import KEY, UNIT, Scan, in_order

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import RDD
    from pyspark.sql import DataFrame

PART: Final = "part"
SCHEMA: Final = f"{PART} int, arrays binary, profiles binary"
KEYS_PER_PART: Final = 200
"""Keys of users that the bounds of the parts are chosen from, per part."""


class PartPlan(NamedTuple):
    """How many parts a shop has.

    Attributes:
        n_named: parts of users.
        n_anonymous: parts of anonymous events.
        part_events: events of a part, about.
    """

    n_named: int
    n_anonymous: int
    part_events: int

    @classmethod
    def of(cls, found: Scan, part_events: int) -> PartPlan:
        """Return the plan for the events that a scan counted."""
        named, anonymous = found.n_events - found.n_anonymous, found.n_anonymous
        return cls(max(1, -(-named // part_events)), max(1, -(-anonymous // part_events)), part_events)


class Record(NamedTuple):
    """The events of some users.

    Attributes:
        number: of the part; users of later parts have later rows.
        n_users: number of its users, 0 for anonymous events.
        events: sorted by time; rows of users are those of the part.
        basket_keys: int32, see `Dataset.basket_keys`.
        profiles: the rows of the users' table, as an Arrow file.
        is_visitor: bool (n_users,), see `Dataset.is_visitor`.
    """

    number: int
    n_users: int
    events: Events
    basket_keys: npt.NDArray[np.int32]
    profiles: bytes
    is_visitor: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """What all parts have in common.

    Attributes:
        n_items: number of items.
        target_event: code of the event that counts as success.
        timezone: IANA zone of the shop.
        cutoff: seconds since 1970, later events are left out; None for all events.
    """

    n_items: int
    target_event: int
    timezone: str
    cutoff: int | None = None

    def dataset(self, record: Record, catalog: pl.DataFrame | None = None) -> Dataset:
        """Return the events of a record as a dataset whose ids are not known."""
        known = Dataset(
            users=IdMap(("",) * record.n_users),
            items=IdMap(("",) * self.n_items),
            events=record.events,
            catalog=pl.DataFrame() if catalog is None else catalog,
            profiles=pl.DataFrame(),
            timezone=self.timezone,
            fingerprint="",
            target_event=self.target_event,
            basket_keys=record.basket_keys,
        )
        return known if self.cutoff is None else known.until(self.cutoff)


def make_records(
    events: DataFrame, users: DataFrame, items: pl.DataFrame, facts: ShopFacts, timezone: str, plan: PartPlan
) -> RDD[Record]:
    """Group events and users into parts, and number them.

    The users of a part are those between two keys, so that parts in their order have the users in theirs. Anonymous
    events are apart, those of one basket together.

    Args:
        events: with keys, see `training.spark.facts.with_keys`.
        users: the columns of `schema.USERS` and the shop's own.
        items: the columns of `schema.ITEMS`, one row per item.
        facts: about all events.
        timezone: IANA zone of the shop.
        plan: how many parts there are.
    """
    from pyspark.sql import functions as F  # noqa: N812

    bounds = _bounds(events, plan)
    numbered, of_users = _with_part(events, KEY, bounds, plan.n_anonymous), _with_part(users, "user_id", bounds, 1)
    columns = items.select(name for name in items.columns if name in ("item_id", "item_group_id", "currency"))

    def build(key: tuple[Any, ...], events_of: pa.Table, users_of: pa.Table) -> pa.Table:
        return _build(key[0].as_py(), events_of, users_of, columns, facts, timezone)

    grouped = numbered.groupBy(PART).cogroup(of_users.groupBy(PART)).applyInArrow(build, SCHEMA)
    return grouped.select(F.col(PART), "arrays", "profiles").rdd.map(_record)


def _bounds(events: DataFrame, plan: PartPlan) -> list[str]:
    """Return keys between which there are about equally many events."""
    n_parts = plan.n_named
    if n_parts == 1:
        return []
    keys = events.select(KEY).where(events[f"`{KEY}`"].isNotNull())
    share = KEYS_PER_PART / plan.part_events
    drawn = sorted(row[0] for row in (keys if share >= 1 else keys.sample(fraction=share, seed=0)).collect())
    chosen = (drawn[len(drawn) * number // n_parts] for number in range(1, n_parts)) if drawn else ()
    return sorted(set(chosen))


def _with_part(table: DataFrame, column: str, bounds: list[str], n_anonymous: int) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    key = F.col(f"`{column}`")
    number = F.size(F.filter(F.array(*map(F.lit, bounds)), lambda bound: bound <= key)) if bounds else F.lit(0)
    if n_anonymous == 1:
        rest = F.lit(len(bounds) + 1)
    else:
        rest = F.lit(len(bounds) + 1) + F.pmod(F.xxhash64(F.col(f"`{UNIT}`")), F.lit(n_anonymous))
    return table.withColumn(PART, F.when(key.isNull(), rest).otherwise(number).cast("int"))


def _build(
    number: int, events: pa.Table, users: pa.Table, items: pl.DataFrame, facts: ShopFacts, timezone: str
) -> pa.Table:
    import pyarrow as pa

    rows, profiles = _frame(events), _frame(users).drop(PART)
    typed = [pl.col(name).cast(dtype) for name, dtype in USERS.items()]
    found = build_dataset(in_order(rows), items, profiles.with_columns(typed), timezone=timezone, facts=facts)
    arrays = {each.name: getattr(found.events, each.name) for each in fields(Events)}
    arrays |= {
        "basket_keys": found.basket_keys,
        "n_users": np.array(len(found.users)),
        "is_visitor": found.is_visitor,
    }
    file = io.BytesIO()
    found.profiles.write_ipc(file)
    columns = {PART: pa.array([number], pa.int32()), "arrays": [packed(arrays)], "profiles": [file.getvalue()]}
    return pa.table(columns)


def _frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def _record(row: Any) -> Record:
    arrays = unpacked(bytes(row[1]))
    events = Events(**{each.name: arrays[each.name] for each in fields(Events)})
    return Record(row[0], int(arrays["n_users"]), events, arrays["basket_keys"], bytes(row[2]), arrays["is_visitor"])


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Write arrays as the bytes of an `.npz` file."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **dict(arrays))
    return file.getvalue()


def unpacked(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read what `packed` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
