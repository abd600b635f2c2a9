from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from training.ingest.csv_reader import CsvHeader
from training.ingest.json_reader import read_json
from training.ingest.readers import read_table
from training.ingest.text_files import text_pieces

CSV = "item_id,title\n007,手工皮具\n8,茶\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (CSV.encode(), "utf-8"),
        (b"\xef\xbb\xbf" + CSV.encode(), "utf-8"),
        (CSV.replace("\n", "\r\n").encode(), "utf-8"),
        (CSV.replace(",", ";").encode(), "utf-8"),
        (CSV.encode("gb18030"), "gb18030"),
        (CSV.encode("gbk"), "gbk"),
        (CSV.encode("utf-16"), "utf-16"),
    ],
)
def test_csv_in_its_encoding(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(data)
    raw = read_table(path, "items", encoding)
    assert raw.frame.to_dict(as_series=False) == {"item_id": ["007", "8"], "title": ["手工皮具", "茶"]}
    assert raw.rows.to_list() == [1, 2]


def test_csv_gz_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(b"item_id,title\na,x\n,\nb,y\n", mtime=0))
    raw = read_table(path, "items")
    assert raw.frame["item_id"].to_list() == ["a", "b"]
    assert raw.rows.to_list() == [1, 3]


@pytest.mark.parametrize(
    ("name", "data", "encoding", "words"),
    [
        ("items.csv", b"", "utf-8", "is empty"),
        ("items.csv", b"\n \n", "utf-8", "is empty"),
        (
            "items.csv",
            CSV.encode("gb18030"),
            "utf-8",
            "not valid UTF-8 at byte 18; set --encoding gb18030 (Chinese)",
        ),
        ("items.csv", "item_id,größe\na,1\n".encode("cp1252"), "utf-8", "cp1252 (Western)"),
        ("items.csv", b"\xff" + CSV.encode(), "gb18030", "not valid gb18030 at byte 0"),
        ("items.csv", CSV.encode("utf-16-le"), "utf-8", "--encoding"),
        ("items.csv", b"a,b,a\n1,2,3\n", "utf-8", "two columns named 'a'"),
        ("items.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "utf-8", "not a whole gzip file"),
        ("items.parquet", b"", "utf-8", "is empty"),
        ("items.parquet", b"PAR1" + bytes(40), "utf-8", "not a whole Parquet file"),
        ("items.doc", b"PK", "utf-8", "unknown suffix"),
        ("items.xlsx", b"PK", "utf-8", "not a whole spreadsheet"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, data: bytes, encoding: str, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match="items") as raised:
        read_table(path, "items", encoding)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": ["a"] * 1000}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_table(path, "items")


def test_missing_file_and_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv", "items")
    (tmp_path / "items.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(ConfigError, match="'klingon' is unknown"):
        read_table(tmp_path / "items.csv", "items", "klingon")


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"item_id": 7, "tags": ["a", 1], "price": 2, "x": {"y": 1}}\n{"item_id": "007", "price": 2.5}\n\n{broken\n3\n',
        encoding="utf-8",
    )
    raw = read_table(path, "items")
    assert raw.frame["item_id"].to_list() == ["7", "007"]
    assert raw.frame["tags"].to_list() == [["a", "1"], None]
    assert raw.frame["price"].to_list() == [2.0, 2.5]
    assert raw.frame["x"].to_list() == ['{"y":1}', None]
    assert raw.rows.to_list() == [1, 2]
    assert raw.broken.rows() == [(4, "unparsable JSON", "{broken"), (5, "expected an object", "3")]


TAG = st.text("t")


@given(
    st.lists(
        st.fixed_dictionaries(
            {"item_id": st.integers(0, 99) | st.text("ab", min_size=1)},
            optional={
                "price": st.integers(0, 9) | st.floats(0, 9) | st.just("x"),
                "tags": st.lists(st.text("t")) | st.text("t"),
            },
        ),
        min_size=1,
    ),
    st.integers(1, 200),
)
def test_a_file_in_pieces_is_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], size: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    whole = read_table(path, "items")
    pieces = read_json(path.name, text_pieces(path, "utf-8", is_csv=False, size=size), "items")
    assert pieces.rows.to_list() == whole.rows.to_list()
    assert set(pieces.frame.columns) == set(whole.frame.columns)
    for column in whole.frame.columns:
        assert pieces.frame[column].cast(whole.frame[column].dtype).to_list() == whole.frame[column].to_list()


def test_json_array(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text('[{"item_id": "a"},\n {"item_id": "b"}]', encoding="utf-8")
    assert read_table(path, "items").frame["item_id"].to_list() == ["a", "b"]


def test_payloads_unfold_in_events(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"type": "track", "event": "Order Completed", "messageId": "m", "userId": "u",'
        ' "properties": {"products": [{"product_id": "a"}, {"product_id": "b"}]}}\n'
        '{"type": "track", "properties": 3}\n',
        encoding="utf-8",
    )
    raw = read_table(path, "events")
    assert raw.frame["item_id"].to_list() == ["a", "b"]
    assert raw.rows.to_list() == [1, 1]
    assert raw.broken["reason"].to_list() == ["properties: expected an object, got a number"]


PRICE = {"price": "dear"}


@pytest.mark.parametrize(
    "payload",
    [
        {"item_id": "a", "user_id": "u", "price": "dear", "event": "purchase"},
        {"event_name": "purchase", "user_id": "u", "items": [{"item_id": "a", "price": "dear"}]},
        {"type": "track", "event": "Order Completed", "properties": {"products": [{"sku": "a", "price": "dear"}]}},
        {
            "eventType": "purchase-complete",
            "productDetails": [{"product": {"id": "a", "priceInfo": {"price": "dear"}}}],
        },
        {"events": [{"name": "purchase", "params": {"items": [{"item_id": "a", "price": "dear"}]}}]},
    ],
)
def test_an_unreadable_number_does_not_cost_its_payload(tmp_path: Path, payload: dict[str, Any]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(payload), encoding="utf-8")
    raw = read_table(path, "events")
    assert raw.broken.is_empty()
    assert raw.frame["item_id"].to_list() == ["a"]
    assert raw.frame["price"].to_list() == ["dear"]


def test_the_other_items_of_a_payload_keep_their_numbers(tmp_path: Path) -> None:
    items = [{"item_id": "a", "price": 1}, {"item_id": "b", "price": "7,90"}, {"item_id": "c", "quantity": "x"}]
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"event_name": "purchase", "items": items}), encoding="utf-8")
    assert read_table(path, "events").frame.select("item_id", "price", "quantity").rows() == [
        ("a", "1", None),
        ("b", "7,90", None),
        ("c", None, "x"),
    ]


def test_ga4_parquet_export_unfolds(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = [{"event_name": "view_item", "event_timestamp": 1483603200000000, "items": [{"item_id": "a"}]}]
    pl.DataFrame(rows).write_parquet(path)
    assert read_table(path, "events").frame["item_id"].to_list() == ["a"]


def test_folder_of_part_files(tmp_path: Path) -> None:
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "part-1.csv").write_text("item_id,title\nb,y\n", encoding="utf-8")
    (tmp_path / "part-0.csv").write_text("item_id\na\nc\n", encoding="utf-8")
    raw = read_table(tmp_path, "items")
    assert raw.frame.rows() == [("a", None), ("c", None), ("b", "y")]
    assert raw.rows.to_list() == [1, 2, 3]


def test_folder_of_nothing_or_of_several_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no file"):
        read_table(tmp_path, "items")
    (tmp_path / "a.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="several kinds"):
        read_table(tmp_path, "items")


def test_part_files_that_disagree(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": [["a"]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"item_id": [1]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="disagree"):
        read_table(tmp_path, "items")


ROWS = ("7,a,purchase,1714550400", "8,b,view_item,1714550401")


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_a_file_without_a_header_keeps_every_row(tmp_path: Path, separator: str, ending: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join(ROWS).replace(",", separator) + ending, encoding="utf-8")
    names = ("user_id", "item_id", "event", "timestamp")
    raw = read_table(path, "events", header=CsvHeader(names))
    assert raw.frame.columns == list(names)
    assert raw.frame.rows() == [tuple(row.split(",")) for row in ROWS]
    assert raw.rows.to_list() == [1, 2]


@pytest.mark.parametrize(
    ("first", "is_data"),
    [
        ("1,2268000,2520377,purchase,1790000000", True),
        ("u1,i1,2026-05-01 08:00:00,3.5", True),
        ("u1;i1;2026-05-01;3,5", True),
        ("12345", True),
        ("item_id,price,2024,2025", True),
        ("item_id,title,price,2025", False),
        ("u1,i1,purchase,2026-05-01", False),
        ("item_id", False),
    ],
)
def test_a_first_line_of_numbers_and_times_is_no_header(tmp_path: Path, first: str, is_data: bool) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{first}\n{first}\n", encoding="utf-8")
    if is_data:
        with pytest.raises(DataError, match=r"has no header: .*--no-header --columns"):
            read_table(path, "events")
    assert read_table(path, "events", header=CsvHeader(is_trusted=True)).frame.height == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("user_id", "item_id", "event"), "has 4 fields in its first line, and --columns names 3"),
        (("user_id", "item_id", "event", "event"), "two columns named 'event'; name each column once"),
    ],
)
def test_the_given_names_fit_the_file(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join(ROWS), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_table(path, "events", header=CsvHeader(names))
