"""Item features from tags, category, brand, price and title, and a short embedding of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from recsys.core.schema import ITEMS
from recsys.data.catalog import PATH_SEPARATOR
from recsys.models.arrays import normalize_rows
from recsys.models.content.tokenizer import title_tokens

PAIRS_AT_A_TIME: Final = 200_000
"""Pairs whose features are compared at a time; bounds the memory."""


@dataclass(frozen=True)
class ContentConfig:
    """Settings of the content model.

    Attributes:
        category_weight: weight of the category features.
        brand_weight: weight of the brand features.
        tag_weight: weight of the tag features.
        title_weight: weight of the title features.
        attribute_weight: weight of the features of further columns.
        price_weight: weight of the price features.
        cross_weight: weight of the features type × brand.
        idf_power: exponent of a feature's inverse document frequency; above 1, rare features decide.
        min_items: items that a feature must have; rarer features are left out.
        max_features: features kept, the most frequent first.
        n_dimensions: length of the embedding.
        max_attribute_values: distinct values up to which a further column is a feature; columns with more are taken
            for ids or links.
    """

    category_weight: NonNegativeFloat = 1.0
    brand_weight: NonNegativeFloat = 1.0
    tag_weight: NonNegativeFloat = 0.9
    title_weight: NonNegativeFloat = 0.5
    attribute_weight: NonNegativeFloat = 0.4
    price_weight: NonNegativeFloat = 0.3
    cross_weight: NonNegativeFloat = 0.7
    idf_power: PositiveFloat = 1.0
    min_items: PositiveInt = 2
    max_features: PositiveInt = 200_000
    n_dimensions: PositiveInt = 64
    max_attribute_values: PositiveInt = 1000


@dataclass(frozen=True)
class ContentModel:
    """Items by their content.

    Attributes:
        features: float32 CSR (n_items, n_features), rows of length 1, or 0 for items without known features.
        vocabulary: name of each feature, `block:value`.
        feature_weight: float32 (n_features,), block weight × a power of the idf.
        projection: float32 (n_features, n_dimensions), maps features to the embedding.
        embedding: float32 (n_items, n_dimensions), rows of length 1 or 0.
    """

    features: sparse.csr_matrix
    vocabulary: tuple[str, ...]
    feature_weight: npt.NDArray[np.float32]
    projection: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]

    def embed(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Embed items that the model was not fitted on.

        Args:
            items: the columns of `schema.ITEMS` and the shop's own; features outside the vocabulary are ignored.

        Returns:
            float32 (len(items), n_dimensions), rows of length 1, or 0 for items without known features.
        """
        return self.project(self.encode(items))

    def encode(self, items: pl.DataFrame) -> sparse.csr_matrix:
        """Encode items as `features` has them, float32 CSR (len(items), n_features); see `embed`."""
        long = _long_features(items, tuple(name for name in items.columns if name not in ITEMS))
        return _encode(long, len(items), self.vocabulary, self.feature_weight)

    def project(self, features: sparse.csr_matrix) -> npt.NDArray[np.float32]:
        """Embed encoded items, float32 (n, n_dimensions), rows of length 1 or 0."""
        return normalize_rows(np.asarray(features @ self.projection, np.float32))

    def similarity(self, item: int, others: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Compute the cosine between the features of one item and those of others.

        Args:
            item: row of the item.
            others: int32 (n,), rows of the others.

        Returns:
            float32 (n,), in [0, 1].
        """
        return np.asarray((self.features[others] @ self.features[item].T).todense(), np.float32).ravel()

    def pair_similarity(self, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Compute the cosine between the features of the items of pairs.

        Args:
            one: int32 (n,), rows.
            other: int32 (n,), rows.

        Returns:
            float32 (n,), in [0, 1].
        """
        cosine = np.empty(len(one), np.float32)
        for start in range(0, len(one), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            products = self.features[one[part]].multiply(self.features[other[part]])
            cosine[part] = np.asarray(products.sum(axis=1)).ravel()
        return cosine


def fit_content(items: pl.DataFrame, config: ContentConfig, rng: np.random.Generator) -> ContentModel:
    """Build idf-weighted features and their truncated singular value decomposition.

    Args:
        items: one row per item: the columns of `schema.ITEMS` and the shop's own.
        config: settings.
        rng: source of the random start of the decomposition.

    Returns:
        The model; the embedding is zero where an item has no features.
    """
    long = _long_features(items, _attribute_columns(items, config))
    counts = long.group_by("feature").agg(pl.len().alias("n_items"))
    kept = counts.filter(pl.col("n_items") >= config.min_items).sort("n_items", "feature", descending=[True, False])
    kept = kept.head(config.max_features).sort("feature")
    vocabulary = tuple(kept["feature"])
    idf = np.log(max(len(items), 1) / kept["n_items"].to_numpy()) + 0.05
    weight = (idf**config.idf_power * _block_weights(vocabulary, config)).astype(np.float32)
    features = _encode(long, len(items), vocabulary, weight)
    projection = _principal_axes(features, config.n_dimensions, rng)
    embedding = normalize_rows(np.asarray(features @ projection, np.float32))
    return ContentModel(features, vocabulary, weight, projection, embedding)


def _attribute_columns(items: pl.DataFrame, config: ContentConfig) -> tuple[str, ...]:
    textual = (pl.String, pl.Boolean, pl.Categorical, pl.List(pl.String))
    own = (name for name in items.columns if name not in ITEMS and items.schema[name] in textual)
    return tuple(name for name in own if items[name].n_unique() <= config.max_attribute_values)


def _long_features(items: pl.DataFrame, attributes: tuple[str, ...]) -> pl.DataFrame:
    """Return one line per row and feature (`block:value`), distinct and sorted."""
    columns = items.select("category", "price", "brand", "tags")  # the shop's own may have any name, such as `row`
    rows = columns.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    path = pl.col("category").list.drop_nulls()
    max_depth = rows.select(path.list.len().max()).item() or 0
    type_name = pl.when(path.list.len() > 0).then(path.list.join(PATH_SEPARATOR))
    band = pl.when(pl.col("price") > 0).then(pl.col("price").log(2).round().cast(pl.Int64).cast(pl.String))
    levels = [
        _block(rows, f"category{n}", pl.when(path.list.len() >= n).then(path.list.head(n).list.join(PATH_SEPARATOR)))
        for n in range(1, max_depth + 1)
    ]
    blocks = [
        *levels,
        _block(rows, "brand", pl.col("brand")),
        _block(rows, "cross", pl.concat_str(type_name, pl.lit(" × "), "brand")),
        _block(rows, "price", band),
        _block(rows.explode("tags"), "tag", pl.col("tags")),
        title_tokens(items["title"]).select("row", pl.concat_str(pl.lit("title:"), "token").alias("feature")),
        *(_attribute_block(items[name]) for name in attributes),
    ]
    return pl.concat(blocks).unique().sort("row", "feature")


def _attribute_block(column: pl.Series) -> pl.DataFrame:
    rows = column.alias("value").to_frame().with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    is_list = isinstance(column.dtype, pl.List)
    return _block(
        rows.explode("value") if is_list else rows, f"attribute:{column.name}", pl.col("value").cast(pl.String)
    )


def _block(rows: pl.DataFrame, kind: str, value: pl.Expr) -> pl.DataFrame:
    return rows.select("row", pl.concat_str(pl.lit(f"{kind}:"), value).alias("feature")).drop_nulls()


def _block_weights(vocabulary: tuple[str, ...], config: ContentConfig) -> npt.NDArray[np.float32]:
    weights = {
        "brand": config.brand_weight,
        "cross": config.cross_weight,
        "price": config.price_weight,
        "tag": config.tag_weight,
        "title": config.title_weight,
        "attribute": config.attribute_weight,
    }
    kinds = (name.split(":", 1)[0] for name in vocabulary)
    return np.fromiter((weights.get(kind, config.category_weight) for kind in kinds), np.float32)


def _encode(
    long: pl.DataFrame, n_rows: int, vocabulary: tuple[str, ...], weight: npt.NDArray[np.float32]
) -> sparse.csr_matrix:
    columns = pl.DataFrame({"feature": vocabulary}, {"feature": pl.String}).with_row_index("column")
    known = long.join(columns, on="feature", how="inner", maintain_order="left")
    row, column = known["row"].to_numpy(), known["column"].to_numpy().astype(np.int32)
    matrix = sparse.csr_matrix((weight[column], (row, column)), shape=(n_rows, len(vocabulary)), dtype=np.float32)
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags_array((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ matrix).tocsr()


def _principal_axes(
    features: sparse.csr_matrix, n_dimensions: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Compute the leading right singular vectors by subspace iteration.

    Returns:
        float32 (n_features, n_dimensions), orthonormal columns; zero columns where the data has fewer dimensions.

    Reference:
        Halko, Martinsson & Tropp (2011), Finding Structure with Randomness, SIAM Review. Deviation: the sign of each
        vector is fixed by its largest entry, so that the result is reproducible.
    """
    n_features = features.shape[1]
    rank = min(n_dimensions, *features.shape)
    axes = np.zeros((n_features, n_dimensions), np.float32)
    if not rank or not features.nnz:
        return axes
    sketch = features.T @ rng.standard_normal((features.shape[0], min(rank + 10, *features.shape)))
    for _ in range(4):
        basis, _ = np.linalg.qr(sketch)
        sketch = features.T @ (features @ basis)
    basis, _ = np.linalg.qr(sketch)
    gram = (projected := features @ basis).T @ projected
    values, vectors = np.linalg.eigh(gram)
    leading = basis @ vectors[:, np.argsort(-values)[:rank]]
    axes[:, :rank] = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(rank)])
    return axes
