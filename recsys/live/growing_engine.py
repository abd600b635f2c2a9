"""An engine over a catalog that grows and changes in place: a change costs the same in a catalog of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.ids import NO_ITEM, UNKNOWN, ExtendedIdMap
from recsys.core.sequences import ExtendedSequence
from recsys.data.catalog import PATH_SEPARATOR, Catalog
from recsys.data.offers import Offers
from recsys.data.past_terms import NO_PAST_TERMS, PastTermsOf
from recsys.data.row_changes import to_frame
from recsys.fitting.engine import Engine
from recsys.live.catalog_changes import CatalogChanges, ItemChange
from recsys.live.cold_items import ColdItems
from recsys.live.extended_affinity import ExtendedAffinity, JoinedItems
from recsys.live.growing_array import GrowingArray, NewestFirst
from recsys.live.live_table import LiveTable
from recsys.live.type_values import TypeMeans, TypeShares
from recsys.models.pairs.copurchase import CopurchaseModel
from recsys.models.pairs.purchase_order import ReversedTypePairs
from recsys.models.temporal.rest import RestModel
from recsys.search.vector_index import ExtendedIndex

READ: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(),
    "item_group_id": pl.String(),
    "title": pl.String(),
    "category": pl.List(pl.String()),
    "price": pl.Float64(),
    "available": pl.Boolean(),
    "created_at": pl.Datetime("us", "UTC"),
}
"""Columns that the arrays of a catalog are made of."""

NOT_CONTENT: Final = frozenset(
    {"item_id", "item_group_id", "available", "list_price", "currency", "created_at", "updated_at"}
)
"""Columns that do not describe the content of an item; nor does a later change of its price."""


class GrowingEngine:
    """The models of one engine over its items and new ones, whose values follow changes.

    An `Engine` that was returned earlier stays usable: it has its number of items, and the current values of these.

    Args:
        base: the bundle's engine; never changed.
        changes: the changed rows.
        past_terms: earlier prices and availability.
    """

    def __init__(self, base: Engine, changes: CatalogChanges, past_terms: PastTermsOf = NO_PAST_TERMS) -> None:
        self._base, self._changes, self._past_terms = base, changes, past_terms
        catalog, popularity, types = base.catalog, base.popularity, base.catalog.item_type
        self._types = {name: code for code, name in enumerate(catalog.type_names)}
        self._type_category = catalog.type_category
        known = zip(catalog.type_names, catalog.type_category.tolist(), strict=True)
        self._categories = {_parent(name): code for name, code in known if code >= 0}
        self._n_categories = int(catalog.type_category.max(initial=UNKNOWN)) + 1
        names = zip(base.items_table["item_group_id"].to_list(), catalog.group.tolist(), strict=True)
        self._groups = {name: code for name, code in names if name is not None}
        self._n_groups = int(catalog.group.max(initial=UNKNOWN)) + 1
        self._has_groups = catalog.has_groups
        self._is_service = np.zeros(len(base.items), np.bool_)
        services = base.items.rows(base.dataset_info.service_items)
        self._is_service[services[services >= 0]] = True
        self._titles: dict[int, str] = {}
        self._means = {
            "interval_days": TypeMeans(base.repeat.interval_days, types),
            "repeat_rate": TypeMeans(base.repeat.repeat_rate, types),
            "lift": TypeMeans(base.timeofday.lift, types, 1.0),
        }
        self._shares = TypeShares(popularity.share, types)
        self._joined = JoinedItems()
        self._arrays: dict[str, GrowingArray[Any]] = {
            name: GrowingArray(values, default)
            for name, (values, default) in {
                "item_type": (types, UNKNOWN),
                "group": (catalog.group, UNKNOWN),
                "price": (catalog.price, np.nan),
                "available": (catalog.available, True),
                "listed": (catalog.available & ~self._is_service, True),
                "listed_tail": (catalog.available & ~self._is_service & base.is_tail, True),
                "share": (popularity.share, 0),
                "trend": (popularity.trend, 1),
                "n_buyers": (popularity.n_buyers, 0),
                "is_head": (popularity.is_head, False),
                "is_tail": (base.is_tail, True),
                "momentum": (popularity.momentum, 1),
                "interval_days": (base.repeat.interval_days, 0),
                "repeat_rate": (base.repeat.repeat_rate, 0),
                "rest_days": (base.repeat.rest.days, 0),
                "curve_of": (base.repeat.kernels.curve_of, 0),
                "height": (base.repeat.kernels.height, 1),
                "lift": (base.timeofday.lift, 1),
                "ease": (base.ease.row_of, NO_ITEM),
                "around": (base.sequence.around.row_of, NO_ITEM),
                "after": (base.sequence.after.row_of, NO_ITEM),
                "n_baskets": (base.copurchase.n_baskets, 0),
                "share_in_type": (base.share_in_type, 0),
                "by_popularity": (base.by_popularity, 0),
                "created_at_s": (base.created_at_s, 0),
                "has_left": (np.zeros(len(base.items), np.bool_), False),
            }.items()
        }
        self._newest = NewestFirst(base.newest, self._arrays["created_at_s"])
        self._n_unlisted = int((~self._arrays["listed"].values).sum())
        self._type_names, self._table, self._n_schemas = catalog.type_names, base.items_table, 0
        self._state, self._n_moved = object(), 0
        self._offered = replace(base).offered
        self._shape: object = None
        self._engine = base
        self.cold_items = ColdItems(base)

    def engine(self, offers: Offers) -> Engine:
        """Return the engine over the current catalog.

        Args:
            offers: the current offers.
        """
        changes, cold, newest = self._changes, self.cold_items, len(self._newest.values)
        shape = (changes.n_items, changes.n_schemas, len(self._types), self._has_groups, newest, cold.is_empty)
        wanted = (shape, bool(self._n_moved), not self._n_unlisted)
        if wanted != self._shape or offers is not self._engine.offers:
            if offers is not self._engine.offers or self._n_schemas != changes.n_schemas:
                self._offered = replace(self._base).offered
            if self._n_schemas != changes.n_schemas:
                self._n_schemas, self._state = changes.n_schemas, object()
                nulls = [
                    pl.repeat(None, len(self._base.items), dtype=dtype, eager=True).alias(name)
                    for name, dtype in changes.own.items()
                ]
                self._table = self._base.items_table.with_columns(nulls)
            self._engine, self._shape = self._compose(offers), wanted
        return self._engine

    def update(self, changes: Mapping[int, frozenset[str]]) -> None:
        """Set the values of changed and new rows.

        Args:
            changes: by row, the columns that changed.
        """
        n_before, n_items = len(self._arrays["item_type"].values), self._changes.n_items
        for array in self._arrays.values():
            array.grow(n_items)
        new = np.arange(n_before, n_items, dtype=np.int32)
        self._arrays["by_popularity"][new] = new
        rows = sorted(changes)
        known = ({name: row.get(name) for name in READ} for row in map(self._changes.values, rows))
        with np.errstate(over="ignore"):
            for row, value in zip(rows, to_frame(known, READ).iter_rows(named=True), strict=True):
                self._set(row, value)
        self.cold_items.grow(self._catalog())
        for row, columns in changes.items():
            price = set() if row >= len(self._base.items) else {"price"}
            if columns - NOT_CONTENT - price:
                self.cold_items.stale.add(row)

    def _set(self, row: int, value: Mapping[str, Any]) -> None:
        arrays, is_new = self._arrays, row >= len(self._base.items)
        levels = [level for level in value["category"] or () if level is not None]
        type_ = self._type(PATH_SEPARATOR.join(levels)) if levels else UNKNOWN
        group = UNKNOWN if value["item_group_id"] is None else self._group(value["item_group_id"])
        available = value["available"] is not False
        listed = available and not (not is_new and self._is_service[row])
        price = np.nan if value["price"] is None else value["price"]
        self._n_unlisted += int(arrays["listed"].values[row]) - int(listed)
        arrays["group"][row], arrays["price"][row], arrays["available"][row] = group, price, available
        arrays["listed"][row] = listed
        arrays["listed_tail"][row] = listed and arrays["is_tail"].values[row]
        self._newest.move(row, 0 if value["created_at"] is None else max(int(value["created_at"].timestamp()), 0))
        self._titles[row] = value["title"] if value["title"] is not None else value["item_id"]
        if type_ != arrays["item_type"].values[row] or is_new:
            self._move(row, type_)

    def _move(self, row: int, type_: int) -> None:
        """Set the type of an item, and what follows from it."""
        arrays, base = self._arrays, self._base
        self._n_moved += 1
        arrays["item_type"][row] = type_
        if row >= len(base.items):
            for name, means in self._means.items():
                arrays[name][row] = means.of(type_)
            self._joined.move(row, type_, self._shares.within(self._shares.expected(type_), type_))
            return
        is_back, share = type_ == base.catalog.item_type[row], float(base.popularity.share[row])
        within = float(base.share_in_type[row]) if is_back else self._shares.within(share, type_)
        arrays["has_left"][row] = not is_back
        arrays["share_in_type"][row] = within if type_ != UNKNOWN else share
        self._joined.move(row, UNKNOWN if is_back else type_, within)

    def _type(self, path: str) -> int:
        """Return the code of a product type; a new one is numbered after the known ones."""
        code = self._types.get(path)
        if code is None:
            code = self._types[path] = len(self._types)
            self._type_category = np.append(self._type_category, np.int32(self._category(path)))
        return code

    def _category(self, type_name: str) -> int:
        parent = _parent(type_name)
        if parent and parent not in self._categories:
            self._categories[parent] = self._n_categories
            self._n_categories += 1
        return self._categories[parent] if parent else UNKNOWN

    def _group(self, group_id: str) -> int:
        self._has_groups = True
        if group_id not in self._groups:
            self._groups[group_id] = self._n_groups
            self._n_groups += 1
        return self._groups[group_id]

    def _catalog(self) -> Catalog:
        if len(self._type_names) != len(self._types):
            self._type_names = tuple(self._types)
        catalog = Catalog(
            item_type=self._arrays["item_type"].values,
            type_category=self._type_category,
            type_names=self._type_names,
            group=self._arrays["group"].values,
            price=self._arrays["price"].values,
            available=self._arrays["available"].values,
        )
        vars(catalog)["has_groups"] = self._has_groups  # the property would read all items after every change
        return catalog

    def _compose(self, offers: Offers) -> Engine:
        """Build the engine over the current arrays, without a pass over all items."""
        base, arrays = self._base, {name: array.values for name, array in self._arrays.items()}
        table = LiveTable.frame(self._table, self._changes)
        engine = replace(base, items_table=table, catalog=self._catalog(), offers=offers)
        if self._changes.added or self._n_moved or not self.cold_items.is_empty:
            engine = self._with_models(engine, arrays)
        return self._with_known(engine, arrays)

    def _with_models(self, engine: Engine, arrays: Mapping[str, npt.NDArray[Any]]) -> Engine:
        """Return the engine with models that have rows for new items, and that see new types and content."""
        base, new = self._base, self.cold_items
        n_new_types = len(engine.catalog.type_names) - len(base.catalog.type_names)
        similar_idx, similar_score = new.similar()
        return replace(
            engine,
            popularity=replace(
                base.popularity,
                share=arrays["share"],
                trend=arrays["trend"],
                n_buyers=arrays["n_buyers"],
                is_head=arrays["is_head"],
                momentum=arrays["momentum"],
            ),
            repeat=replace(
                base.repeat,
                interval_days=arrays["interval_days"],
                repeat_rate=arrays["repeat_rate"],
                kernels=replace(base.repeat.kernels, curve_of=arrays["curve_of"], height=arrays["height"]),
                rest=RestModel(arrays["rest_days"], _extended(base.repeat.rest.is_durable_type, n_new_types)),
            ),
            timeofday=replace(base.timeofday, lift=arrays["lift"]),
            als=replace(base.als, item_factors=new.item_factors),
            hybrid=replace(base.hybrid, vectors=new.vectors, similar_idx=similar_idx, similar_score=similar_score),
            affinity=ExtendedAffinity.over(base.affinity, arrays["item_type"], self._joined, arrays["has_left"]),
            ease=replace(base.ease, row_of=arrays["ease"]),
            copurchase=self._copurchase(arrays["n_baskets"], n_new_types),
            sequence=replace(
                base.sequence,
                around=replace(base.sequence.around, row_of=arrays["around"]),
                after=replace(base.sequence.after, row_of=arrays["after"]),
            ),
            index=ExtendedIndex.over(base.index, new.own_vectors),
        )

    def _copurchase(self, n_baskets: npt.NDArray[np.int32], n_new_types: int) -> CopurchaseModel:
        model = self._base.copurchase
        pairs = model.reversed_pairs.pairs
        n_types = pairs.shape[0] + n_new_types
        ends = np.concatenate([pairs.indptr, np.repeat(pairs.indptr[-1:], n_new_types)])
        related = self.cold_items.related_items.lists
        return replace(
            model,
            # Many lists of `partners` are read for one user, who is shown new items by their content.
            partners=related("partners", model.partners, joined=False, substitutes=True),
            bought_together=related("bought_together", model.bought_together, joined=True, substitutes=True),
            complementary=related("complementary", model.complementary, joined=True, substitutes=False),
            n_baskets=n_baskets,
            is_paired_type=_extended(model.is_paired_type, n_new_types),
            reversed_pairs=ReversedTypePairs(
                sparse.csr_matrix((pairs.data, pairs.indices, ends), shape=(n_types, n_types)),
                model.reversed_pairs.min_price_ratio,
            ),
        )

    def _with_known(self, engine: Engine, arrays: Mapping[str, npt.NDArray[Any]]) -> Engine:
        """Return the engine with the properties that would take a pass over all items and users to compute."""
        base, changes = self._base, self._changes
        ids = ExtendedSequence.texts(base.items.ids, changes.added, changes.n_items)
        return engine.with_computed(
            items=ExtendedIdMap(ids, base.items, changes.rows, changes.deleted),
            titles=ExtendedSequence.texts(base.titles, changes.added, changes.n_items, self._titles),
            by_popularity=arrays["by_popularity"],
            sales_by_bucket=base.sales_by_bucket,  # new items have no sales, and nothing changes those of others
            is_tail=arrays["is_tail"],
            share_in_type=arrays["share_in_type"],
            created_at_s=arrays["created_at_s"],
            newest=self._newest.values,
            listable={"all": arrays["listed"] if self._n_unlisted else None, "tail": arrays["listed_tail"]},
            offered=self._offered,
            state=self._state,
            general_state=self._state,
            variants=base.variants,
            users=base.users,
            user_timezones=base.user_timezones,
            is_opted_out=base.is_opted_out,
            past_terms=self._past_terms,
            catalog_price=arrays["price"],
            tag_masks=base.tag_masks,
        )


def changed_columns(changes: list[ItemChange]) -> dict[int, frozenset[str]]:
    """Return the columns that changed, by row."""
    found: dict[int, frozenset[str]] = {}
    for change in changes:
        found[change.row] = found.get(change.row, frozenset()) | change.columns
    return found


def _extended(values: npt.NDArray[np.bool_], n_new: int) -> npt.NDArray[np.bool_]:
    return np.concatenate([values, np.zeros(n_new, np.bool_)]) if n_new else values


def _parent(type_name: str) -> str:
    return type_name.rpartition(PATH_SEPARATOR)[0]
