"""The fitted engine in fewer bytes, as it is stored and served."""

from __future__ import annotations

from dataclasses import replace

from recsys.fitting.engine import Engine
from recsys.models.compact_rows import CompactRows


def compact(engine: Engine) -> Engine:
    """Return an engine with the same lists, in half of the bytes or fewer.

    Lists of items bought together are packed (`recsys.models.list_packing`), and vectors and scores of similar items
    are encoded (`recsys.models.compact_rows`), which changes a score in the fifth digit.

    Args:
        engine: with arrays, as it was fitted.
    """
    als, content, hybrid = engine.als, engine.content, engine.hybrid
    return replace(
        engine,
        als=replace(als, item_factors=CompactRows.array(als.item_factors)),
        content=replace(content, embedding=CompactRows.array(content.embedding)),
        hybrid=replace(
            hybrid,
            vectors=CompactRows.array(hybrid.vectors),
            similar_score=CompactRows.array(hybrid.similar_score),
        ),
        copurchase=engine.copurchase.packed(engine.catalog),
    )
