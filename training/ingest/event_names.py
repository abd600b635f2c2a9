"""Names of events: the shop's own, those of other kinds of events, and unknown ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, OTHER_EVENTS
from recsys.data.null_words import are_null_words
from training.ingest.extended_json import unwrap_column

SKIP: Final = "skip"
"""Stands for one of the engine's names where the shop's events of a name are not wanted."""

MAX_LISTED: Final = 10
"""Names that a message lists."""

KNOWN_NAMES: Final = ", ".join(EVENT_NAMES)


def aliases_of(names: Mapping[str, str]) -> Mapping[str, str]:
    """Return the engine's name of every other name, the shop's own included and the skipped ones left out.

    >>> aliases_of({"购买": "Order Completed", "Product Viewed": "skip"})["购买"]
    'purchase'
    """
    own = {theirs: EVENT_ALIASES.get(ours, ours) for theirs, ours in names.items()}
    return MappingProxyType({theirs: ours for theirs, ours in (EVENT_ALIASES | own).items() if ours != SKIP})


def find_skipped(events: pl.DataFrame, names: Mapping[str, str], null_words: pl.Series | None = None) -> pl.Series:
    """Return the name of each event that is not about an item, null for all others.

    These are the events that the shop leaves out by `SKIP`, those of `recsys.core.schema.OTHER_EVENTS`, and those of an
    unknown name without an item.

    Args:
        events: rows under the standard column names.
        names: by the shop's name of an event, the engine's, an alias of it, or `SKIP`.
        null_words: spellings of the words for nothing, which an event without an item may have for its item.

    Returns:
        String (n_rows,).
    """
    name, item_id = _texts(events["event"]), events["item_id"]
    known = [*EVENT_NAMES, *EVENT_ALIASES, *names]
    left_out = [theirs for theirs, ours in names.items() if ours == SKIP]
    others = [other for other in OTHER_EVENTS if other not in names]
    has_name = name.str.strip_chars() != ""
    is_skipped = name.is_in(left_out + others) | (_are_empty(item_id, null_words) & has_name & ~name.is_in(known))
    return name.set(~is_skipped.fill_null(False), None)


def _texts(values: pl.Series) -> pl.Series:
    """Cast to texts; lists, objects and bytes are none."""
    values = unwrap_column(values)
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Duration):
        return pl.repeat(None, values.len(), dtype=pl.String(), eager=True).alias(values.name)
    return values.cast(pl.String, strict=False)


def _are_empty(ids: pl.Series, null_words: pl.Series | None) -> pl.Series:
    texts = _texts(ids)
    is_empty = ids.is_null() | (texts.str.strip_chars() == "").fill_null(False)
    return is_empty if null_words is None else is_empty | are_null_words(texts, null_words)


def counts_of(names: pl.Series) -> dict[str, int]:
    """Count names, the most frequent first; nulls are left out."""
    counts = names.drop_nulls().value_counts(name="n").sort("n", names.name, descending=[True, False])
    return dict(counts.iter_rows())


def listed(counts: Mapping[str, int]) -> str:
    """Write names with their counts.

    >>> listed({"view": 20, "cart": 3})
    "'view' 20, 'cart' 3"
    """
    shown = [f"{name!r} {count:,}" for name, count in list(counts.items())[:MAX_LISTED]]
    rest = len(counts) - len(shown)
    return ", ".join([*shown, *([f"and {rest:,} other names"] if rest else [])])


def mapping_advice(names: Iterable[str]) -> str:
    """Write how unknown names are mapped."""
    example = next(iter(names))
    return (
        f"known are {KNOWN_NAMES} and their aliases: map yours with --event-name '{example}=purchase', or leave "
        f"events out with --event-name '{example}={SKIP}'"
    )
