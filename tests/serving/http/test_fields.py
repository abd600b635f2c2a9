from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import MAX_ID_BYTES
from serving.http.fields import Filter, Id, Limit, Name, NoParameters, Timestamp, has_control_characters, is_id


@given(st.text(min_size=1, max_size=300))
def test_an_id_has_few_bytes_and_no_control_characters(text: str) -> None:
    expected = len(text.encode()) <= MAX_ID_BYTES and not any(c < " " or "\x7f" <= c <= "\x9f" for c in text)
    assert is_id(text) == expected


@pytest.mark.parametrize("text", ["茶" * 85, "a" * 256, "🦊", "two words", "a/b", "\u200b"])
def test_ids(text: str) -> None:
    assert is_id(text)
    assert msgspec.convert(text, Id) == text


@pytest.mark.parametrize("text", ["茶" * 86, "a" * 257, "x\n", "x\x85", "\x00"])
def test_texts_that_are_not_ids(text: str) -> None:
    assert not is_id(text)


def test_control_characters() -> None:
    assert has_control_characters("a\tb")
    assert not has_control_characters("a b")


@pytest.mark.parametrize(
    ("value", "hint"),
    [("", Id), ("", Name), ("x" * 257, Name), (0, Limit), (101, Limit), ("x" * 100_000, Filter), (1, Id)]
    + [(time, Timestamp) for time in ("2024-05-01", "2024-05-01T08:00:00", "yesterday")],
)
def test_values_out_of_range(value: object, hint: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, hint)


def test_a_call_without_parameters_takes_none() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"x": 1}, NoParameters)
