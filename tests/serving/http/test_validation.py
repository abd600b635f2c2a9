from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType, inspect

from serving.api.catalog_models import ItemFields
from serving.api.request_models import ListRequest, RankRequest
from serving.api.routes import OPERATIONS
from serving.http.fields import Id, Integer, Limit, Timestamp
from serving.http.validation import (
    MAX_FAULTS,
    converts,
    decodes,
    describe,
    find_faults,
    has_valid_ids,
    id_fields,
)
from serving.problems import FieldError


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    price: Annotated[float, Meta(ge=0)]
    kind: Literal["a", "b"] = "a"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    id: Id | None = None
    ids: Annotated[list[Id], Meta(max_length=3)] = []
    inner: Inner | UnsetType | None = UNSET
    table: dict[Annotated[str, Meta(min_length=1)], int | list[str] | None] = {}
    rows: Annotated[list[Inner], Meta(min_length=1)] | None = None
    free: Any = None


LEAVES = st.sampled_from([None, True, -1, 0, 1, 0.5, 1e300, 1 << 70, "", "a", "b", "x\n", "茶" * 86, "\ud800"])
NAMES = st.sampled_from(["id", "ids", "inner", "table", "rows", "free", "price", "kind", "", "other"])
VALUES = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=4) | st.dictionaries(NAMES, part, max_size=4), max_leaves=12
)
OUTER = st.fixed_dictionaries(
    {},
    optional={
        "id": LEAVES,
        "ids": st.lists(LEAVES, max_size=4),
        "inner": st.fixed_dictionaries({}, optional={"price": LEAVES, "kind": LEAVES}),
        "table": st.dictionaries(NAMES, VALUES, max_size=3),
        "rows": st.lists(st.fixed_dictionaries({}, optional={"price": LEAVES, "kind": LEAVES}), max_size=3),
        "free": VALUES,
    },
)


def accepted(value: Any) -> bool:
    try:
        fields = msgspec.json.decode(json.dumps(value), type=Outer)
    except ValueError:
        return False
    return has_valid_ids(fields, id_fields(Outer))


@given(VALUES | OUTER)
def test_faults_are_empty_if_and_only_if_the_value_is_accepted(value: Any) -> None:
    assert (find_faults(value, Outer) == []) == accepted(value)


@given(VALUES | OUTER)
def test_every_fault_is_at_a_part_of_its_own_that_can_be_sent_back(value: Any) -> None:
    faults = find_faults(value, Outer)
    fields = [fault.field for fault in faults]
    assert len(faults) <= MAX_FAULTS
    assert msgspec.json.decode(msgspec.json.encode(faults), type=list[FieldError]) == faults
    assert not any(
        one != other and other.startswith((f"{one}.", f"{one}[")) for one in fields for other in fields if one
    )


def faults_of(value: Any, hint: Any = Outer) -> dict[str, str]:
    return {fault.field: fault.message for fault in find_faults(value, hint)}


def test_innermost_parts_are_reported_all_at_once() -> None:
    value = {
        "id": "",
        "ids": ["a", "b\n", 5],
        "inner": {"price": "1", "kind": "c"},
        "table": {"": 1, "a": {}},
        "rows": [{"price": 1}, {"prize": 2}],
        "color": "red",
    }
    assert faults_of(value) == {
        "color": "unknown field 'color': expected one of id, ids, inner, table, rows, free",
        "id": "id is '': expected an id of 1 to 256 bytes of UTF-8 without control characters or null",
        "ids[1]": "ids[1] is 'b\\n': expected an id of 1 to 256 bytes of UTF-8 without control characters",
        "ids[2]": "ids[2] is 5: expected an id of 1 to 256 bytes of UTF-8 without control characters",
        "inner.price": "inner.price is '1': expected a number of at least 0",
        "inner.kind": "inner.kind is 'c': expected one of a, b",
        "table.": "table.: expected a name that is text of at least 1 characters",
        "table.a": "table.a is {}: expected an integer, an array or null",
        "rows[1].prize": "unknown field 'prize': expected one of price, kind",
        "rows[1].price": "rows[1].price is missing: expected a number of at least 0",
    }


def test_a_container_of_the_wrong_size_is_reported_without_its_entries() -> None:
    assert list(faults_of({"ids": [1] * 4})) == ["ids"]
    assert list(faults_of({"rows": []})) == ["rows"]
    assert "at most 3 entries" in faults_of({"ids": ["x"] * 4})["ids"]


def test_the_number_of_faults_and_the_length_of_values_are_limited() -> None:
    faults = find_faults({str(number): 1 for number in range(100)}, Outer)
    assert len(faults) == MAX_FAULTS
    (fault,) = find_faults({"id": ["x" * 1000]}, Outer)
    assert len(fault.value or "") <= 80
    assert len(fault.message) < 250


def test_values_that_only_a_tolerant_call_accepts() -> None:
    odd = {"free": ["\ud800", float("inf")]}
    assert [fault.field for fault in find_faults(odd, Outer)] == ["free"]
    assert find_faults(odd, Outer, accepts=converts) == []
    assert not decodes(float("inf"), float)
    assert "not valid Unicode" in faults_of({"table": {"a": ["\ud800"]}})["table.a[0]"]
    assert "out of range" in faults_of({"inner": {"price": float("inf")}})["inner.price"]


def test_deep_nesting_is_an_error_of_its_own() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        find_faults({"free": deep}, Outer)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Limit, "an integer from 1 to 100"),
        (Integer, "an integer from -9007199254740992 to 9007199254740992"),
        (Annotated[int, Meta(ge=0)], "an integer of at least 0"),
        (Annotated[float, Meta(gt=0, lt=0.5)], "a number above 0 and below 0.5"),
        (Annotated[float, Meta(le=1)], "a number of at most 1"),
        (float, "a number"),
        (bool | None, "true or false or null"),
        (Timestamp | None, "an RFC 3339 time with an offset, such as 2024-05-01T08:00:00+08:00 or null"),
        (Annotated[str, Meta(min_length=2, max_length=4)], "text of 2 to 4 characters"),
        (Annotated[str, Meta(max_length=4)], "text of at most 4 characters"),
        (list[int], "an array"),
        (dict[str, int] | list[int] | str, "an object, an array or text"),
        (Inner, "an object"),
        (Any, "JSON of valid Unicode and finite numbers"),
    ],
)
def test_types_in_words(hint: Any, words: str) -> None:
    assert set(describe(inspect.type_info(hint)).replace(" or ", ", ").split(", ")) == set(
        words.replace(" or ", ", ").split(", ")
    )


def marks(part: Any) -> int:
    """Count the ids in a type, at any depth."""
    if isinstance(part, inspect.Metadata) and (part.extra or {}).get("is_id"):
        return 1
    if isinstance(part, (inspect.Type, inspect.Field)):
        return sum(marks(getattr(part, name)) for name in part.__struct_fields__ if name != "default")
    return sum(map(marks, part)) if isinstance(part, tuple) else 0


def test_every_declared_id_is_checked() -> None:
    structs = {operation.parameters for operation in OPERATIONS}
    structs |= {operation.body.struct for operation in OPERATIONS if operation.body is not None}
    for struct in structs:
        assert len(id_fields(struct)) == marks(inspect.type_info(struct)), struct
    assert id_fields(ListRequest)
    assert set(id_fields(RankRequest)) == {"item_ids", "user_id", "visitor_id", "session_id"}
    assert id_fields(ItemFields) == ("item_group_id",)


def test_valid_ids() -> None:
    names = id_fields(Outer)
    assert names == ("id", "ids")
    assert has_valid_ids(Outer(), names)
    assert has_valid_ids(Outer(id="a", ids=["茶" * 85]), names)
    assert not has_valid_ids(Outer(id="茶" * 86), names)
    assert not has_valid_ids(Outer(ids=["a", "b\x7f"]), names)
