"""Tokens of a title: words between spaces, and pairs of Chinese, Japanese and Korean characters."""

from __future__ import annotations

import polars as pl

CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー]"
CJK_RUN = CJK + "+"
WORD = r"[\p{L}\p{M}\p{Nd}--" + CJK + "]+"


def title_tokens(titles: pl.Series) -> pl.DataFrame:
    """Split titles into tokens.

    Chinese puts no spaces between words, and most of its words have two characters. Pairs of neighboring characters
    find them without a dictionary. A run of a single character is a token itself.

    Args:
        titles: strings, nulls allowed.

    Returns:
        `row` (int64, row in `titles`) and `token` (lower case), distinct and sorted; no rows if no title has a token.

    Reference:
        Nie, Gao, Zhang & Zhou (2000), On the Use of Words and N-grams for Chinese Information Retrieval, IRAL: bigrams
        retrieve as well as segmented words.

    >>> title_tokens(pl.Series(["Phone case 手机壳"]))["token"].to_list()
    ['case', 'phone', '手机', '机壳']
    """
    rows = (
        titles.rename("title")
        .to_frame()
        .select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
            pl.col("title").str.normalize("NFKC").str.to_lowercase(),
        )
    )
    words = _exploded(rows, pl.col("title").str.extract_all(WORD))
    runs = _exploded(rows, pl.col("title").str.extract_all(CJK_RUN)).with_row_index("run")
    characters = runs.with_columns(pl.col("token").str.extract_all(r".")).explode("token")
    pairs = characters.select(
        "row",
        (pl.col("token") + pl.col("token").shift(-1).over("run")).alias("pair"),
        pl.when(pl.len().over("run") == 1).then("token").alias("token"),
    ).select("row", pl.coalesce("pair", "token").alias("token"))
    return pl.concat([words, pairs.drop_nulls()]).unique().sort("row", "token")


def _exploded(rows: pl.DataFrame, tokens: pl.Expr) -> pl.DataFrame:
    return rows.select("row", tokens.alias("token")).explode("token").drop_nulls()
