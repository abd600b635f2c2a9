from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.fields import Id, Limit, MaxPrice, Name, Parameters, Timestamp
from serving.http.parameters import ParameterReader
from serving.problems import FieldError, InvalidRequestError


class Sample(Parameters, frozen=True):
    item_id: Id
    needed: Name
    limit: Limit = 20
    as_of: Timestamp | None = None
    all: bool = False
    price: MaxPrice | None = None


READER = ParameterReader(Sample, ["item_id"])
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda id_: len(id_.encode()) <= 256)


def read(query: str, item: str = "i") -> Sample:
    return READER.read((item.encode(),), query.encode())


def faults(query: str, item: str = "i") -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        read(query, item)
    return {fault.field: fault.message for fault in caught.value.errors}


@given(IDS, IDS, st.integers(1, 100), st.datetimes(timezones=st.just(UTC)))
def test_encoded_values_are_read_back(item_id: str, name: str, limit: int, as_of: datetime) -> None:
    query = urlencode({"needed": name, "limit": limit, "as_of": as_of.isoformat()})
    assert read(query, quote(item_id, safe="")) == Sample(item_id, name, limit, as_of)


@given(st.binary(), st.binary())
def test_any_bytes_are_read_or_refused_with_a_reason(item: bytes, query: bytes) -> None:
    faults: tuple[FieldError, ...] | None = None
    try:
        READER.read((item,), query)
    except InvalidRequestError as error:
        faults = error.errors
    assert faults != ()


def test_defaults() -> None:
    assert read("needed=x") == Sample("i", "x", 20, None)
    assert read("&needed=x&&") == Sample("i", "x", 20, None)


def test_names_can_be_encoded_too() -> None:
    assert read("%6eeeded=x").needed == "x"


def test_a_plus_is_a_space_in_the_query_and_itself_in_the_path() -> None:
    assert read("needed=a+b%2Bc", "a+b") == Sample("a+b", "a b+c")


@pytest.mark.parametrize("offset", ["+08:00", "%2B08:00", " 08:00", "%2b08%3A00"])
def test_the_plus_of_an_offset_may_come_as_a_space(offset: str) -> None:
    east = timezone(timedelta(hours=8))
    assert read(f"needed=x&as_of=2024-05-01T08:00:00{offset}").as_of == datetime(2024, 5, 1, 8, tzinfo=east)


@pytest.mark.parametrize("price", ["19.9", "19", "0.01", "100000"])
def test_a_number_may_have_decimals(price: str) -> None:
    assert read(f"needed=x&price={price}").price == float(price)


@pytest.mark.parametrize("price", ["0", "-1.5", "1,5", "1e3", "nan", "inf", "", "1.", ".5", "9" * 400, "١"])
def test_a_number_is_written_out_and_in_range(price: str) -> None:
    assert "expected a number above 0" in faults(f"needed=x&price={quote(price)}")["price"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5", "1e1", " 5", "9" * 5000, "true", "١"])
def test_limit(limit: str) -> None:
    message = faults(f"needed=x&limit={quote(limit)}")["limit"]
    assert "expected an integer from 1 to 100" in message
    assert limit[:20] in message or "has 5000 bytes" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "as_of", ["yesterday", "2024-05-01", "2024-05-01T08:00:00", "1714521600", "", "2024-13-01T00:00:00Z"]
)
def test_as_of(as_of: str) -> None:
    assert "expected an RFC 3339 time with an offset" in faults(f"needed=x&as_of={as_of}")["as_of"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("", "1 to 256 bytes"),
        ("a%00b", "control characters"),
        ("%7f", "control characters"),
        ("%c2%85", "control characters"),
        ("a%0A", "control characters"),
        ("%ff", "not UTF-8"),
        ("%ed%a0%80", "not UTF-8"),
        ("a" * 4096, "has 4096 bytes"),
        (quote("茶" * 86), "has 258 bytes"),
    ],
)
def test_ids(item: str, message: str) -> None:
    assert message in faults("needed=x", item)["item_id"]


def test_all_faults_are_reported_at_once() -> None:
    assert set(faults("limit=0&as_of=x&colour=red", "%00")) == {"item_id", "needed", "limit", "as_of", "colour"}


def test_unknown_repeated_and_misplaced_parameters() -> None:
    assert "takes needed, limit, as_of, all" in faults("needed=x&size=3")["size"]
    assert "twice" in faults("needed=x&needed=x")["needed"]
    assert "unknown" in faults("needed=x&item_id=i")["item_id"]


@pytest.mark.parametrize("text", ["1", "True", "yes", "", "null"])
def test_booleans_are_strict(text: str) -> None:
    assert read("needed=x&all=true").all is True
    assert read("needed=x&all=false").all is False
    assert "expected true or false" in faults(f"needed=x&all={text}")["all"]


def test_null_is_not_offered_for_an_optional_parameter() -> None:
    assert "null" not in faults("needed=x&as_of=x")["as_of"]
    assert "is missing: expected a name" in faults("")["needed"]


@pytest.mark.parametrize("n_letters", [1, 250])
def test_the_same_parameters_read_again_are_equal_and_faults_are_found_again(n_letters: int) -> None:
    reader, item = ParameterReader(Sample, ["item_id"], remembers=True), b"i" * n_letters
    first = reader.read((item,), b"needed=x&limit=3")
    assert reader.read((item,), b"needed=x&limit=3") == first == Sample(item.decode(), "x", 3)
    assert reader.read((item,), b"needed=x&limit=4").limit == 4
    for _ in range(2):
        with pytest.raises(InvalidRequestError):
            reader.read((item,), b"needed=x&limit=0")


def test_only_short_parameters_are_remembered() -> None:
    reader = ParameterReader(Sample, ["item_id"], remembers=True)
    assert reader.read((b"i",), b"needed=x") is reader.read((b"i",), b"needed=x")
    long = b"i" * 250
    assert reader.read((long,), b"needed=x") is not reader.read((long,), b"needed=x")
