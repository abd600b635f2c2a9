"""Edits of a file of placements: what is edited is as wanted, what is not stays to the byte."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError
from recsys.drafts.toml_edit import differences, parsed, with_tables, with_values, written

EXAMPLE = (Path(__file__).parents[3] / "docs" / "placements.toml").read_text(encoding="utf-8")
ROWS = """# ours

[placements.a]          # first
limit = 3
# about boosts
boosts = [
    {filter = "price < 3", factor = 2},   # cheap
]

# second
[placements."b c".titles]
en = "[placements.a]"
[placements."b c"]
extends = "for_you"

[[placements.a.promotions]]
filter = "x = '#'"
share = 0.1

# end
[pages.home]
placements = ["a"]
"""


def test_other_lines_stay() -> None:
    edited = with_tables(ROWS, {"placements": {"a": {"limit": 9}}})
    assert edited.startswith('# ours\n\n[placements.a]\nlimit = 9\n\n# second\n[placements."b c".titles]\n')
    assert edited.endswith('extends = "for_you"\n\n\n# end\n[pages.home]\nplacements = ["a"]\n')
    assert parsed(edited)["placements"]["a"] == {"limit": 9}


def test_tables_are_removed_with_their_parts_and_added_at_the_end() -> None:
    edited = with_tables(ROWS, {"placements": {"a": None, "b c": None}, "pages": {"new page": {"placements": ["x"]}}})
    assert parsed(edited) == {"pages": {"home": {"placements": ["a"]}, "new page": {"placements": ["x"]}}}
    assert edited.endswith('\n\n[pages."new page"]\nplacements = ["x"]\n')
    assert with_tables("", {"placements": {"a": {}}}) == "[placements.a]\n"
    assert with_tables("x = 1", {"placements": {"a": {}}}) == "x = 1\n\n[placements.a]\n"


def test_what_is_equal_is_not_touched() -> None:
    assert with_tables(ROWS, {"placements": {"a": parsed(ROWS)["placements"]["a"], "gone": None}}) == ROWS


def test_lines_that_end_as_on_windows_and_a_byte_order_mark() -> None:
    text = "\ufeff[placements.a]\r\nlimit = 3\r\n[pages.p]\r\nplacements = 'a'\r\n"
    edited = with_tables(text, {"placements": {"a": {"limit": 4}}})
    assert edited == "[placements.a]\r\nlimit = 4\r\n[pages.p]\r\nplacements = 'a'\r\n"
    assert with_tables(text, {"pages": {"p": None}}) == "\ufeff[placements.a]\r\nlimit = 3\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "placements.a.limit = 3\n",
        "[placements]\na = {limit = 3}\n",
        "[placements]\na.limit = 3\n",
        "[pages.p]\nplacements = '''\n[placements.a]\n'''\n[placements]\na.limit = 2",
    ],
)
def test_a_table_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write \[placements.a\] as tables with a header"):
        with_tables(text, {"placements": {"a": {"limit": 4}}})


@pytest.mark.parametrize("value", [None, [None], {"a": None}])
def test_null_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="null"):
        with_tables("", {"placements": {"a": {"limit": value}}})


def test_a_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        with_tables("[placements", {"placements": {"a": {}}})


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
NAMES = st.one_of(st.text(string.ascii_lowercase, min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=3)
CHANGES = st.dictionaries(NAMES, st.one_of(st.none(), TABLES), max_size=3)


@given(VALUES)
def test_every_value_is_read_as_it_was_written(value: Any) -> None:
    assert parsed(f"x = {written(value)}")["x"] == value


@given(CHANGES, CHANGES)
def test_an_edit_changes_nothing_else(first: dict[str, Any], second: dict[str, Any]) -> None:
    text = with_tables(EXAMPLE, {"placements": first})
    changes = {"placements": second, "pages": first}
    edited = with_tables(text, changes)
    assert parsed(edited) == with_values(parsed(text), changes)
    assert with_tables(text, differences(parsed(text), parsed(edited))) == edited
