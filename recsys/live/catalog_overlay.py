"""The current catalog: that of the bundle with the item changes of the live log, without a change to the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.ids import NO_ITEM, UNKNOWN, ExtendedIdMap
from recsys.data.catalog import PATH_SEPARATOR, Catalog
from recsys.data.row_changes import RowDict, apply_patch, offers_after, promote_dtype, to_frame
from recsys.fitting.engine import Engine
from recsys.live.cold_items import ColdItems
from recsys.live.offer_overlay import OfferOverlay
from recsys.models.collaborative.affinity import fit_affinity
from recsys.models.pairs.copurchase import CopurchaseModel
from recsys.models.pairs.purchase_order import ReversedTypePairs
from recsys.models.pairs.sequence import NeighborLists
from recsys.models.temporal.rest import RestModel
from recsys.search.vector_index import ExtendedIndex

NOT_CONTENT: Final = frozenset(
    {"item_id", "item_group_id", "available", "list_price", "currency", "created_at", "updated_at"}
)
"""Columns that do not describe the content of an item; nor does a later change of its price."""

MAX_CHUNKS: Final = 64
"""Chunks of a table's columns, one per addition of items, beyond which the table is copied into one."""


class CatalogOverlay:
    """Item changes over one engine, and the engine that includes them, which is built on access.

    Rows of new items follow those of the bundle. A deleted item keeps its row, so histories stay valid, but it is in no
    list and has no id until it is put again.

    Args:
        base: the bundle's engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        self._base, self._engine = base, base
        self._rows: dict[str, int] = {}
        self._changed: dict[int, RowDict] = {}
        self._pending: set[int] = set()
        self._columns: set[str] = set()
        self._own: dict[str, pl.DataType] = {}
        self._deleted: set[str] = set()
        self._types = {name: code for code, name in enumerate(base.catalog.type_names)}
        self._categories: dict[str, int] | None = None
        self._groups: dict[str, int] | None = None
        self._cold_items = ColdItems(base)
        self._offers = OfferOverlay(base.offers)
        self._is_same_shape = True
        self.version = 0

    @property
    def engine(self) -> Engine:
        """The engine over the current catalog."""
        if self._pending:
            self._engine = self._build()
            self._is_same_shape = True
            self._pending, self._columns = set(), set()
        return self._engine

    def warm_up(self) -> None:
        """Compute what the first change would otherwise wait for."""
        self._category("")
        self._cold_items.warm_up()

    def row(self, item_id: str) -> int:
        """Return the row of an item, deleted or not; an unknown item gets a new row."""
        row = self._base.items.row(item_id)
        if row == UNKNOWN:
            row = self._rows.get(item_id, UNKNOWN)
        if row == UNKNOWN:
            row = len(self._base.items) + len(self._rows)
            self._rows[item_id] = row
            unknown: RowDict = {"available": False} if self._base.dataset_info.is_catalog_complete else {}
            self._change(row, unknown | {"item_id": item_id}, set(), same_shape=False)
        return row

    def apply(self, item_id: str, entry_type: str, body: Mapping[str, Any], *, keeps_offers: bool = False) -> None:
        """Apply a change: `item_put`, `item_patch` or `item_delete`; with `keeps_offers`, not to the item's offers."""
        row = self.row(item_id)
        before = self._changed.get(row) or self._base.items_table.row(row, named=True)
        after = apply_patch(before, entry_type, body)
        if after is None:
            self._deleted.add(item_id)
            after = before | {"available": False}
        else:
            self._deleted.discard(item_id)
        offers = None if keeps_offers else offers_after(entry_type, body)
        if offers is not None:
            self._offers.replace(row, offers)
        for name in after:
            if name not in self._base.items_table.schema:
                self._own[name] = promote_dtype(self._own.get(name, pl.Null()), after[name])
        differs = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
        irrelevant = NOT_CONTENT if row >= len(self._base.items) else NOT_CONTENT | {"price"}
        if differs - irrelevant:
            self._cold_items.stale.add(row)
        same_shape = "category" not in differs and row not in self._cold_items.stale
        self._change(row, after | {"item_id": item_id}, differs, same_shape=same_shape)

    def _change(self, row: int, values: RowDict, differs: set[str], *, same_shape: bool) -> None:
        self._changed[row] = values
        self._pending.add(row)
        self._columns |= differs
        self._is_same_shape &= same_shape
        self.version += 1

    def _build(self) -> Engine:
        rows, before = sorted(self._pending), self._engine
        changes = to_frame([self._changed[row] for row in rows], {**before.items_table.schema, **self._own})
        table = self._table(rows, changes)
        catalog = self._catalog(rows, changes)
        extended = before
        if not self._is_same_shape:
            self._cold_items.update(table, catalog)
            extended = self._extended(catalog)
        engine = replace(extended, items_table=table, catalog=catalog, offers=self._offers.offers)
        return self._with_known(engine, rows, changes)

    def _table(self, rows: list[int], changes: pl.DataFrame) -> pl.DataFrame:
        """Build the items table; unchanged columns are not copied."""
        before = self._engine.items_table
        n_old = int(np.searchsorted(rows, len(before)))
        old, new = changes.head(n_old), changes.tail(len(changes) - n_old)
        source = np.arange(len(before))
        source[rows[:n_old]] = len(before) + np.arange(n_old)
        widened = [name for name, dtype in self._own.items() if before.schema.get(name) != dtype]
        table = before.drop(widened, strict=False)
        names = [name for name in table.columns if n_old and name in self._columns]
        table = table.with_columns(pl.concat([table[name], old[name]]).gather(source) for name in names)
        table = pl.concat([table, new.select(table.columns)]) if len(new) else table
        table = table.with_columns(self._own_columns(widened, len(table))) if widened else table
        return table.rechunk() if table.n_chunks() > MAX_CHUNKS else table

    def _own_columns(self, names: list[str], n_items: int) -> pl.DataFrame:
        """Build the columns that the bundle does not have, from all their values, as their types may have changed."""
        rows = sorted(self._changed)
        values = [{name: self._changed[row].get(name) for name in names} for row in rows]
        source = np.full(n_items, len(rows))
        source[rows] = np.arange(len(rows))
        return to_frame([*values, {}], {name: self._own[name] for name in names})[source]

    def _catalog(self, rows: list[int], changes: pl.DataFrame) -> Catalog:
        before = self._engine.catalog
        n_lookahead = len(self._base.items) + len(self._rows) - len(before.item_type)
        levels = pl.col("category").list.drop_nulls()
        paths = changes.select(pl.when(levels.list.len() > 0).then(levels.list.join(PATH_SEPARATOR))).to_series()
        types = [self._type(path) if path is not None else UNKNOWN for path in paths]
        groups = [self._group(name) if name is not None else UNKNOWN for name in changes["item_group_id"]]
        names = tuple(self._types)
        categories = [self._category(name) for name in names[len(before.type_names) :]]
        return Catalog(
            item_type=_with(before.item_type, n_lookahead, UNKNOWN, rows, types),
            type_category=np.append(before.type_category, np.array(categories, np.int32)),
            type_names=names,
            group=_with(before.group, n_lookahead, UNKNOWN, rows, groups),
            price=_with(
                before.price, n_lookahead, np.nan, rows, changes["price"].cast(pl.Float32).fill_null(float("nan"))
            ),
            available=_with(before.available, n_lookahead, True, rows, changes["available"].fill_null(True)),
        )

    def _type(self, path: str) -> int:
        return self._types.setdefault(path, len(self._types))

    def _category(self, type_name: str) -> int:
        """Return the category of a type; a new category is numbered after the known ones."""
        if self._categories is None:
            base = self._base.catalog
            known = zip(base.type_names, base.type_category.tolist(), strict=True)
            self._categories = {_parent(name): code for name, code in known if code >= 0}
        parent = _parent(type_name)
        if not parent:
            return UNKNOWN
        return self._categories.setdefault(parent, max(self._categories.values(), default=UNKNOWN) + 1)

    def _group(self, group_id: str) -> int:
        if self._groups is None:
            names = self._base.items_table["item_group_id"]
            known = zip(names.to_list(), self._base.catalog.group.tolist(), strict=True)
            self._groups = {name: code for name, code in known if name is not None}
        return self._groups.setdefault(group_id, max(self._groups.values(), default=UNKNOWN) + 1)

    def _extended(self, catalog: Catalog) -> Engine:
        """Build the engine whose models have rows for the new items."""
        base, new, n_new = self._base, self._cold_items, len(self._rows)
        popularity, repeat, timeofday = base.popularity, base.repeat, base.timeofday
        similar_idx, similar_score = new.similar()
        return replace(
            base,
            popularity=replace(
                popularity,
                share=_with(popularity.share, n_new, 0),
                trend=_with(popularity.trend, n_new, 1),
                n_buyers=_with(popularity.n_buyers, n_new, 0),
                is_head=_with(popularity.is_head, n_new, False),
                momentum=_with(popularity.momentum, n_new, 1),
            ),
            repeat=replace(
                repeat,
                interval_days=np.concatenate([repeat.interval_days, new.of_type(repeat.interval_days)]),
                repeat_rate=np.concatenate([repeat.repeat_rate, new.of_type(repeat.repeat_rate)]),
                kernels=replace(
                    repeat.kernels,
                    curve_of=_with(repeat.kernels.curve_of, n_new, 0),
                    height=_with(repeat.kernels.height, n_new, 1),
                ),
                rest=RestModel(
                    _with(repeat.rest.days, n_new, 0),
                    _with(repeat.rest.is_durable_type, len(catalog.type_names) - len(base.catalog.type_names), False),
                ),
            ),
            timeofday=replace(timeofday, lift=np.concatenate([timeofday.lift, new.of_type(timeofday.lift, 1.0)])),
            als=replace(base.als, item_factors=new.item_factors),
            hybrid=replace(base.hybrid, vectors=new.vectors, similar_idx=similar_idx, similar_score=similar_score),
            affinity=fit_affinity(
                catalog, np.concatenate([base.popularity.share, new.expected_share]), base.affinity.config
            ),
            ease=replace(base.ease, row_of=_with(base.ease.row_of, n_new, NO_ITEM)),
            copurchase=self._copurchase(catalog, n_new),
            sequence=replace(
                base.sequence,
                around=_with_items(base.sequence.around, n_new),
                after=_with_items(base.sequence.after, n_new),
            ),
            index=ExtendedIndex.over(base.index, new.own_vectors),
        )

    def _copurchase(self, catalog: Catalog, n_new: int) -> CopurchaseModel:
        model, n_types = self._base.copurchase, len(catalog.type_names)
        pairs, n_lookahead = model.reversed_pairs.pairs, len(catalog.type_names) - model.reversed_pairs.pairs.shape[0]
        ends = np.concatenate([pairs.indptr, np.repeat(pairs.indptr[-1:], n_lookahead)])
        related = self._cold_items.related
        return replace(
            model,
            # Many lists of `partners` are read for one user, who is shown new items by their content.
            partners=related("partners", model.partners, joined=False, substitutes=True),
            bought_together=related("bought_together", model.bought_together, joined=True, substitutes=True),
            complementary=related("complementary", model.complementary, joined=True, substitutes=False),
            n_baskets=_with(model.n_baskets, n_new, 0),
            is_paired_type=_with(model.is_paired_type, n_lookahead, False),
            reversed_pairs=ReversedTypePairs(
                sparse.csr_matrix((pairs.data, pairs.indices, ends), shape=(n_types, n_types)),
                model.reversed_pairs.min_price_ratio,
            ),
        )

    def _with_known(self, engine: Engine, rows: list[int], changes: pl.DataFrame) -> Engine:
        """Return the engine with the properties that would take a pass over all items and users to compute."""
        base, before, n_new = self._base, self._engine, len(self._rows)
        titles = [*before.titles, *[""] * (len(base.items) + n_new - len(before.titles))]
        for row, title in zip(rows, changes.select(pl.coalesce("title", "item_id")).to_series(), strict=True):
            titles[row] = title
        newest = np.arange(len(base.items), len(base.items) + n_new, dtype=np.int32)
        rows_of_new, hidden = MappingProxyType(self._rows.copy()), frozenset(self._deleted)
        return engine.with_computed(
            items=ExtendedIdMap((*base.items.ids, *self._rows), base.items, rows_of_new, hidden),
            titles=tuple(titles),
            by_popularity=np.concatenate([base.by_popularity, newest]),
            variants=base.variants,
            users=base.users,
            user_timezones=base.user_timezones,
            is_opted_out=base.is_opted_out,
        )


def _with_items(lists: NeighborLists, n_new: int) -> NeighborLists:
    """Return lists for a catalog with new items, which have no neighbors."""
    return replace(lists, row_of=_with(lists.row_of, n_new, NO_ITEM))


def _parent(type_name: str) -> str:
    return type_name.rpartition(PATH_SEPARATOR)[0]


def _with(
    values: npt.NDArray[Any], n_new: int, default: Any, rows: Sequence[int] = (), row_values: Iterable[Any] = ()
) -> npt.NDArray[Any]:
    """Return a copy with `n_new` more entries of a default, and with other values at some rows."""
    extended = np.concatenate([values, np.full((n_new, *values.shape[1:]), default, values.dtype)])
    if len(rows):
        extended[np.asarray(rows)] = np.asarray(list(row_values), values.dtype)
    return extended
