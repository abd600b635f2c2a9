"""Ids that are probably not what they seem: words, one person for many, several spellings of one id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from recsys.data.null_words import NULL_WORDS, are_null_words, spelled
from training.doctor.feasibility import counted
from training.doctor.measurements import MAX_LISTED, share

ODD_WORDS: Final = (
    *NULL_WORDS,
    "unknown",
    "guest",
    "anonymous",
    "anonym",
    "test",
    "default",
    "0",
    "-1",
    "na",
    "?",
    "x",
)
MIN_PEOPLE: Final = 20
MIN_SHARE: Final = 0.02
MIN_TIMES_MEDIAN: Final = 50
"""One person is implausible with `MIN_SHARE` of the events and this many times the median person's, of `MIN_PEOPLE`."""

MIN_REPLACED: Final = 10
MIN_REPLACED_SHARE: Final = 0.5
ROUNDED: Final = r"^\d{7,}0{5}$"
"""A long number whose last digits are zero, as a spreadsheet rounds it."""

EVENT_IDS: Final = ("item_id", "user_id", "visitor_id", "session_id", "basket_id")
ITEM_IDS: Final = ("item_id", "item_group_id")


@dataclass(frozen=True)
class IdHealth:
    """Findings about ids.

    Attributes:
        words: rows whose id looks like a word for nothing, by column and id.
        crowds: people with an implausible share of the events, in [0, 1], by id.
        spellings: groups of ids that differ by case, blanks or leading zeros only: number of groups and one of them, by
            column.
        strangers: tables of which no id is in the events, with an id of each.
        replaced: rows of a table that a later row of the same id replaces, and all rows, where they are most.
        rounded: ids of a table that end with zeros as rounded numbers do, where most of the long ones do.
    """

    words: Mapping[tuple[str, str], int]
    crowds: Mapping[str, float]
    spellings: Mapping[str, tuple[int, tuple[str, ...]]]
    strangers: Mapping[str, tuple[str, str]]
    replaced: Mapping[str, tuple[int, int]]
    rounded: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "words": [[column, word, count] for (column, word), count in self.words.items()],
            "crowds": dict(self.crowds),
            "spellings": {name: [count, list(ids)] for name, (count, ids) in self.spellings.items()},
            "strangers": {name: list(ids) for name, ids in self.strangers.items()},
            "replaced": {name: list(counts) for name, counts in self.replaced.items()},
            "rounded": dict(self.rounded),
        }

    def lines(self) -> list[str]:
        """Return one sentence per finding."""
        return [
            *(f"{column} {word!r} looks like a word for nothing: {counted(count, 'row')}; leave such cells empty"
              for (column, word), count in self.words.items()),
            *(f"one person, {name!r}, has {part:.1%} of the events of all people: probably many guests"
              for name, part in self.crowds.items()),
            *(f"{counted(count, f'{column}')} in several spellings, such as {', '.join(map(repr, ids))}: write each id "
              "one way" for column, (count, ids) in self.spellings.items()),
            *(f"no id of the {name} table is in the events (there {found!r}, in the table {own!r}): other ids, or "
              "another shop" for name, (found, own) in self.strangers.items()),
            *(f"{counted(count, 'row')} of {total:,} of the {name} file have the id of a later row and are replaced by "
              "it: ids may have lost their digits" for name, (count, total) in self.replaced.items()),
            *(f"{counted(count, 'id')} of {name} end with zeros like rounded numbers: export the ids as texts"
              for name, count in self.rounded.items()),
        ]  # fmt: skip


NO_IDS: Final = IdHealth({}, {}, {}, {}, {}, {})


def measure_ids(tables: Mapping[str, pl.DataFrame], ingested: Mapping[str, Any]) -> IdHealth:
    """Examine the ids of all tables.

    Args:
        tables: canonical columns by name of the table; empty if a table is missing.
        ingested: content of `report.json`.
    """
    events, items = tables["events"], tables["items"]
    columns = {
        f"{name} of {table}": tables[table][name]
        for table, names in (("events", EVENT_IDS), ("items", ITEM_IDS))
        for name in names
    }
    item_ids = pl.concat([events["item_id"], items["item_id"]])
    people = pl.concat([events["user_id"], events["visitor_id"], tables["users"]["user_id"]])
    return IdHealth(
        words={(name, word): count for name, ids in columns.items() for word, count in _words(ids).items()},
        crowds=_crowds(events),
        spellings={name: found for name, ids in (("item", item_ids), ("person", people)) if (found := _spellings(ids))},
        strangers={
            name: ids
            for name, key in (("items", "item_id"), ("users", "user_id"), ("offers", "item_id"))
            if (ids := _strangers(events[key], tables[name][key]))
        },
        replaced={
            name: (report["duplicates"], report["rows"])
            for name, report in ingested.items()
            if name in ("items", "users")
            and report.get("duplicates", 0) >= MIN_REPLACED
            and report["duplicates"] >= MIN_REPLACED_SHARE * report["rows"]
        },
        rounded={
            name: count
            for name, ids in (("items", item_ids), ("people", people))
            if (count := _rounded(ids.drop_nulls().unique()))
        },
    )


def _words(ids: pl.Series) -> dict[str, int]:
    found = ids.filter(are_null_words(ids, spelled(ODD_WORDS)))
    counts = found.value_counts(name="n").sort("n", found.name, descending=[True, False]).head(MAX_LISTED)
    return dict(counts.iter_rows())


def _crowds(events: pl.DataFrame) -> dict[str, float]:
    people = events.select(who=pl.coalesce("user_id", "visitor_id")).to_series().drop_nulls()
    counts = people.value_counts(name="n").sort("n", "who", descending=[True, False])
    if counts.height < MIN_PEOPLE:
        return {}
    middle = counts["n"].to_numpy()[counts.height // 2]
    crowd = counts.filter((pl.col("n") >= MIN_SHARE * people.len()) & (pl.col("n") >= MIN_TIMES_MEDIAN * middle))
    return {who: share(n, people.len()) for who, n in crowd.head(MAX_LISTED).iter_rows()}


def _spellings(ids: pl.Series) -> tuple[int, tuple[str, ...]] | None:
    frame = ids.drop_nulls().unique().sort().to_frame("id")
    key = pl.col("id").str.strip_chars().str.to_lowercase().str.replace(r"^0+(\d)", "$1")
    groups = frame.group_by(key.alias("key"), maintain_order=True).agg("id").filter(pl.col("id").list.len() > 1)
    return (groups.height, tuple(groups["id"][0].head(3))) if groups.height else None


def _strangers(found: pl.Series, own: pl.Series) -> tuple[str, str] | None:
    """Return an id of the events and one of the table, if there are some of both and none in common."""
    known, ids = found.drop_nulls().unique(), own.drop_nulls().unique()
    if known.is_empty() or ids.is_empty() or known.is_in(ids.implode()).any():
        return None
    return str(known.min()), str(ids.min())


def _rounded(ids: pl.Series) -> int:
    is_long = ids.str.contains(r"^\d{12,}$")
    count = int(ids.str.contains(ROUNDED).sum())
    return count if 2 * count > int(is_long.sum()) else 0
