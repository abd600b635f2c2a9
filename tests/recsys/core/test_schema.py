from __future__ import annotations

import polars as pl

from recsys.core.schema import (
    EVENT_ALIASES,
    EVENT_NAMES,
    EVENTS,
    PERSONALIZATION,
    REQUIRED,
    TABLES,
    TIMESTAMP,
    USERS,
    WHO,
    DatasetInfo,
)


def test_required_columns_exist_in_their_tables() -> None:
    assert REQUIRED.keys() == TABLES.keys()
    for table, columns in REQUIRED.items():
        assert set(columns) <= TABLES[table].keys()
    assert set(WHO) <= EVENTS.keys()


def test_every_timestamp_is_in_utc_microseconds() -> None:
    times = [dtype for table in TABLES.values() for dtype in table.values() if isinstance(dtype, pl.Datetime)]
    assert times
    assert all(dtype == TIMESTAMP for dtype in times)


def test_aliases_are_of_known_events_and_none_is_a_known_name() -> None:
    assert set(EVENT_ALIASES.values()) <= set(EVENT_NAMES)
    assert not EVENT_ALIASES.keys() & set(EVENT_NAMES)
    assert len(set(EVENT_NAMES)) == len(EVENT_NAMES)


def test_the_codes_of_events_in_stored_bundles_do_not_change() -> None:
    assert EVENT_NAMES == (
        "view_item_list", "view_item", "select_item", "add_to_wishlist", "add_to_cart",
        "remove_from_cart", "begin_checkout", "purchase", "refund",
    )  # fmt: skip


def test_the_opt_out_is_a_column_of_users() -> None:
    assert USERS[PERSONALIZATION] == pl.Boolean()


def test_a_folder_of_files_alone_has_no_log() -> None:
    info = DatasetInfo(1, "UTC", "digest", {"events": 3})
    assert (info.store_seq, info.merges) == (0, {})
