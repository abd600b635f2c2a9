from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from recsys.core.schema import EVENTS, ITEMS, USERS
from training.ingest.ingest import IngestConfig, InputFiles, ingest, rejects_beside
from training.ingest.reports import IngestReport

Run = Callable[..., tuple[IngestReport, Path]]
Write = Callable[..., Path]
LENIENT = IngestConfig(max_reject_share=1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event": "view_item", "quantity": "-1"}, "quantity is negative"),
        ({"quantity": "0"}, "a purchase of quantity zero"),
        ({"timestamp": "yesterday"}, "timestamp cannot be read as a time"),
        ({"timestamp": "2024-05-01 08:00:00"}, "timestamp has no time zone"),
        ({"timestamp": "2024-06-01T00:06:00Z"}, "timestamp is in the future, got '2024-06-01T00:06:00Z'"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "timestamp is before 1990-01-01"),
        ({"timestamp": "0"}, "timestamp is before 1990-01-01"),
        ({"timestamp": "1899-12-30"}, "timestamp is before 1990-01-01"),
        ({"timestamp": None}, "timestamp is empty"),
        ({"item_id": None}, "item_id is empty"),
        ({"item_id": " "}, "item_id is blank"),
        ({"item_id": "\u3000"}, "item_id is blank"),
        ({"item_id": "手" * 86}, "item_id is longer than 256 bytes of UTF-8"),
        ({"item_id": "a\tb"}, "item_id contains control characters"),
        ({"item_id": "a\x7fb"}, "item_id contains control characters"),
        ({"item_id": "a\x85b"}, "item_id contains control characters"),
        ({"item_id": "NULL"}, "item_id is a word for nothing"),
        ({"item_id": "4,00638E+12"}, "item_id lost its digits in a spreadsheet"),
        ({"event": "bought"}, "event is not a known name, got 'bought'"),
        ({"event": None}, "event is empty"),
        ({"user_id": None}, "none of user_id, visitor_id, session_id, basket_id is filled"),
    ],
)
def test_a_bad_row_is_kept_aside_with_its_reason(
    run: Run, events_file: Write, good: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    report, out = run(events=events_file([good, good | {"item_id": "j"} | change]))
    assert report.tables["events"].kept == 1
    rejects = pl.read_parquet(out / "rejects.parquet")
    assert rejects.select("table", "row").rows() == [("events", 2)]
    assert rejects["reason"][0].startswith(reason)
    assert "; " not in rejects["reason"][0], "one fault gives one reason"
    original = json.loads(rejects["original"][0])
    assert all(original[name] == value for name, value in change.items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantity": "abc"}, "quantity is not a number"),
        ({"quantity": "inf"}, "quantity is infinite"),
        ({"price": "-0.5"}, "price is negative"),
        ({"price": "on request"}, "price is not a number"),
        ({"position": "1.5"}, "position is not a whole number"),
        ({"position": "-1"}, "position is negative"),
        ({"propensity": "0"}, "propensity is not above zero"),
        ({"propensity": "2"}, "propensity is above one"),
        ({"received_at": "soon"}, "received_at cannot be read as a time"),
        ({"visitor_id": "x" * 257}, "visitor_id is longer than 256 bytes of UTF-8"),
        ({"basket_id": "a\x00b"}, "basket_id contains control characters"),
        ({"session_id": "(not set)"}, "session_id is a word for nothing"),
        ({"basket_id": "1.2E+12"}, "basket_id lost its digits in a spreadsheet"),
        ({"event_id": " "}, "event_id is blank"),
    ],
)
def test_a_bad_cell_is_emptied_and_its_row_stays(
    run: Run, events_file: Write, good: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    report, out = run(events=events_file([good, good | {"item_id": "j"} | change]))
    table, ((column, value),) = report.tables["events"], change.items()
    assert (table.kept, table.rejected, table.emptied) == (2, 0, {reason: 1})
    assert table.examples[reason].startswith(f"line 3 of events.csv has {value[:60]!r}"[:40])
    assert pl.read_parquet(out / "events.parquet")[column].to_list() == [None, None]
    kept_aside = pl.read_parquet(out / "emptied.parquet")
    assert kept_aside.rows() == [("events", 2, column, reason.partition(" ")[2], value, "events.csv", 3)]


@pytest.mark.parametrize(
    "word", ["\\N", "NULL", "undefined", "null", "None", "nan", "NaN", "(not set)", "N/A", "-", "—"]
)
def test_a_word_for_nothing_is_an_empty_cell(run: Run, events_file: Write, good: dict[str, Any], word: str) -> None:
    word = word.replace("\u00a0", " ")
    nobody = good | {"item_id": "k", "user_id": word}
    rows = [good, good | {"item_id": "j", "user_id": word, "basket_id": "b", "price": word, "region": word}, nobody]
    report, out = run(events=events_file(rows))
    events = pl.read_parquet(out / "events.parquet")
    assert events.select("item_id", "user_id", "price", "region").rows()[1:] == [("j", None, None, None)]
    assert report.tables["events"].emptied == {"user_id is a word for nothing": 1}
    (reason,) = pl.read_parquet(out / "rejects.parquet")["reason"]
    assert "none of user_id" in reason
    assert "user_id is a word for nothing" in reason
    real = IngestConfig(max_reject_share=1.0, real_words=(word.lower(),))
    _, out = run(real, events=events_file([row | {"price": "1"} for row in rows]))
    assert word in pl.read_parquet(out / "events.parquet")["user_id"]


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "0.35"},
        {"quantity": "0", "event": "view_item"},
        {"price": "0"},
        {"timestamp": "2024-06-01T00:05:00Z"},
        {"timestamp": "2024-05-01"},
        {"item_id": "手" * 85 + "a"},
        {"item_id": "a/b?c 😀"},
        {"user_id": None, "session_id": "s"},
        {"event": "Order Completed"},
        {"event": "purchase-complete"},
        {"value": "-3.5"},
    ],
)
def test_a_good_row_stays(run: Run, events_file: Write, good: dict[str, Any], change: dict[str, Any]) -> None:
    report, _ = run(events=events_file([good | change]))
    assert report.tables["events"].kept == 1


def test_all_the_reasons_of_a_row(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    bad = good | {"quantity": "abc", "event": "bought", "price": "-1"}
    report, out = run(events=events_file([good, bad]))
    reasons = set(pl.read_parquet(out / "rejects.parquet")["reason"][0].split("; "))
    assert reasons == {"quantity is not a number", "event is not a known name, got 'bought'", "price is negative"}
    assert set(report.tables["events"].reasons) == {reason.partition(", got ")[0] for reason in reasons}


def test_duplicates_keep_the_first_and_are_no_fault(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    rows = [
        good | {"event_id": "e", "item_id": "bad", "quantity": "0"},
        good | {"event_id": "e", "item_id": "first"},
        good | {"event_id": "e", "item_id": "second"},
        good | {"event_id": "f"},
        good,
        good,
        good | {"user_id": "v"},
    ]
    config = IngestConfig(max_reject_share=0.2)
    report, out = run(config, events=events_file(rows))
    table = report.tables["events"]
    assert (table.rows, table.kept, table.duplicates, table.rejected) == (7, 4, 2, 1)
    assert "bad" not in pl.read_parquet(out / "events.parquet")["item_id"]
    assert "first" in pl.read_parquet(out / "events.parquet")["item_id"]
    rejects = pl.read_parquet(out / "rejects.parquet")
    assert rejects.select("row", "reason").rows()[1:] == [(3, "duplicate event_id"), (6, "duplicate row")]


def test_canonical_output(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    rows = [good | {"timestamp": "2024-05-02"}, good | {"timestamp": "2024-05-01", "colour": "red"}]
    report, out = run(IngestConfig(timezone="Asia/Shanghai"), events=events_file(rows))
    events = pl.read_parquet(out / "events.parquet")
    assert dict(events.schema) == EVENTS
    assert events["timestamp"].to_list() == [
        datetime(2024, 4, 30, 16, tzinfo=UTC),
        datetime(2024, 5, 1, 16, tzinfo=UTC),
    ]
    assert report.tables["events"].ignored_columns == ("colour",)
    assert json.loads((out / "dataset.json").read_text())["timezone"] == "Asia/Shanghai"
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report.to_dict()["tables"]))
    assert sorted(path.name for path in out.iterdir()) == [
        "dataset.json",
        "emptied.parquet",
        "events.parquet",
        "rejects.parquet",
        "report.json",
    ]


def test_ids_of_any_type_are_texts(run: Run, tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "events.parquet"
    frame = pl.DataFrame({"item_id": [1, 2], "user_id": [17850.0, float("nan")], "session_id": ["007", "008"]})
    frame.with_columns(event=pl.lit("view_item"), timestamp=pl.lit(now)).write_parquet(path)
    _, out = run(events=path)
    events = pl.read_parquet(out / "events.parquet")
    assert events.select("item_id", "user_id", "session_id").rows() == [
        ("1", "17850", "007"),
        ("2", None, "008"),
    ]


def test_columns_are_mapped_and_the_event_filled(run: Run, events_file: Write) -> None:
    path = events_file([{"StockCode": "85123A", "InvoiceDate": "12/1/2010 8:26", "CustomerID": "17850"}])
    config = IngestConfig(
        timezone="Europe/London",
        columns={
            "StockCode": "item_id",
            "InvoiceDate": "timestamp",
            "CustomerID": "user_id",
        },
        default_event="purchase",
        timestamp_format="%m/%d/%Y %H:%M",
    )
    _, out = run(config, events=path)
    row = pl.read_parquet(out / "events.parquet").row(0, named=True)
    assert (row["item_id"], row["event"], row["user_id"]) == ("85123A", "purchase", "17850")
    assert row["timestamp"] == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"sku": "a", "event": "purchase", "timestamp": "2024-05-01", "user_id": "u"},
            "--column THEIRS=item_id",
        ),
        ({"item_id": "a", "timestamp": "2024-05-01", "user_id": "u"}, "--default-event purchase"),
        ({"item_id": "a", "event": "purchase", "user_id": "u"}, "'timestamp' is missing"),
        ({"item_id": "a", "event": "purchase", "timestamp": "2024-05-01"}, "none of the columns user_id"),
    ],
)
def test_a_missing_column_fails_at_once(run: Run, events_file: Write, row: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as raised:
        run(events=events_file([row]))
    assert words in str(raised.value)
    assert all(name in str(raised.value) for name in row), "it lists the columns found"


def test_too_many_bad_rows_fail_the_job_and_leave_the_old_output(
    run: Run, events_file: Write, good: dict[str, Any]
) -> None:
    _, out = run(events=events_file([good]))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    rows = [good | {"item_id": str(place)} for place in range(9)] + [good | {"quantity": "0"}]
    with pytest.raises(DataError) as raised:
        run(IngestConfig(), events=events_file(rows))
    assert "1 of 10 rows of events.csv (10.0%)" in str(raised.value)
    assert "'a purchase of quantity zero' (1 row): line 11 of events.csv has" in str(raised.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert pl.read_parquet(rejects_beside(out))["row"].to_list() == [10]
    run(IngestConfig(max_reject_share=0.1), events=events_file(rows))
    assert not rejects_beside(out).exists(), "a job that succeeds takes the old rejects away"
    assert sorted(path.name for path in out.parent.iterdir()) == ["events.csv", "out"]


def test_nothing_usable(run: Run, events_file: Write, good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is valid"):
        run(events=events_file([good | {"event": "x"}]))
    (tmp_path / "header.csv").write_text("item_id\n", encoding="utf-8")
    (tmp_path / "broken.jsonl").write_text("{a\n{b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no row is valid; .*'unparsable JSON' \(2 rows\): line 1 of broken"):
        run(events=tmp_path / "broken.jsonl")
    rejects_beside(tmp_path / "out").unlink()
    with pytest.raises(DataError, match=r"^header\.csv has no rows under its header: export it again$"):
        run(items=tmp_path / "header.csv")
    assert not rejects_beside(tmp_path / "out").exists(), "nothing came, so nothing was rejected"


def test_the_reason_of_a_failure_is_a_fault_and_no_duplicate(
    run: Run, events_file: Write, good: dict[str, Any]
) -> None:
    with pytest.raises(
        DataError, match=r"1 of 4 rows .* was rejected, .*'a purchase of quantity zero' \(1 row\): line 5"
    ):
        run(IngestConfig(), events=events_file([good, good, good, good | {"quantity": "0"}]))


@pytest.mark.parametrize(
    ("ours", "words"), [("user", "did you mean user_id?"), ("itemid", "item_id"), ("zzz", "expected one of item_id")]
)
def test_a_column_is_mapped_to_one_of_a_table(
    run: Run, events_file: Write, good: dict[str, Any], ours: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=f"column 'Kunde' is mapped to '{ours}'.*{re.escape(words)}"):
        run(IngestConfig(columns={"Kunde": ours}), events=events_file([good | {"Kunde": "u"}]))


def test_lines_that_are_no_object_are_shown_with_their_place(run: Run, tmp_path: Path, good: dict[str, Any]) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("\n".join([json.dumps(good), "[1]", '"x"', "3"]), encoding="utf-8")
    report, _ = run(LENIENT, events=path)
    events = report.tables["events"]
    assert (events.kept, events.reasons) == (1, {"event: expected an object": 3})
    assert events.examples["event: expected an object"].startswith("line 2 of e.jsonl has '[1]'")


def test_a_mapped_column_that_no_file_has_is_refused(
    run: Run, events_file: Write, good: dict[str, Any], tmp_path: Path
) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,cost\ni,2\n", encoding="utf-8")
    run(IngestConfig(columns={"cost": "price"}), events=events_file([good]), items=items)
    with pytest.raises(ConfigError, match=r"column 'coast' .* no file has it \(columns found: .*cost.*\)"):
        run(IngestConfig(columns={"coast": "price"}), events=events_file([good]), items=items)


def test_events_that_are_not_about_an_item_are_passed_over(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    who_and_when = {"user_pseudo_id": "v", "event_timestamp": 1483603200000000}
    names = ["page_view", "session_start", "scroll", "user_engagement", "view_item", "page_view"]
    payloads: list[dict[str, Any]] = [{"event_name": name} | who_and_when for name in names]
    payloads[4] |= {"items": [{"item_id": "a"}]}
    path.write_text("\n".join(map(json.dumps, payloads)), encoding="utf-8")
    report, _ = run(IngestConfig(max_reject_share=0.0), events=path)
    table = report.tables["events"]
    assert (table.rows, table.kept, table.rejected) == (6, 1, 0)
    assert table.skipped == {"page_view": 2, "scroll": 1, "session_start": 1, "user_engagement": 1}

    payloads[0] |= {"items": [{"item_id": "a"}]}
    path.write_text("\n".join(map(json.dumps, payloads)), encoding="utf-8")
    report, out = run(LENIENT, events=path)
    assert report.tables["events"].unknown_events == {"page_view": 1}
    assert pl.read_parquet(out / "rejects.parquet")["row"].to_list() == [1]

    path.write_text(json.dumps(payloads[1]), encoding="utf-8")
    with pytest.raises(DataError, match=r"all 1 row of events\.jsonl .* not about an item \('session_start' 1\)"):
        run(events=path)


def test_part_files_are_numbered_on_past_what_is_passed_over(run: Run, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    seen = {"event_name": "view_item", "user_id": "u", "timestamp": "2024-05-01T08:00:00Z", "items": [{"item_id": "a"}]}
    for name in ("a.jsonl", "b.jsonl"):
        lines = [seen, {"event_name": "scroll", "user_id": "u"}, {"event_name": "scroll", "user_id": "u"}]
        (parts / name).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report, out = run(events=parts)
    assert pl.read_parquet(out / "rejects.parquet").select("row", "reason").rows() == [(4, "duplicate row")]
    assert report.tables["events"].skipped == {"scroll": 4}


def test_zoneless_times_say_what_to_do(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="set the shop's, such as --timezone"):
        run(IngestConfig(), events=events_file([good | {"timestamp": "2024-05-01 08:00:00"}]))


def test_chinese_catalogue_in_gb18030(run: Run, tmp_path: Path) -> None:
    text = (
        "商品编号,标题,类目,标签,价格\n"
        "皮-1,手工植鞣革钱包,箱包 > 皮具 > 钱包,手工|小众,199.00\n"
        '茶/2,明前龙井,食品>茶叶>绿茶,"春茶,送礼",88\n'
    )
    path = tmp_path / "catalogue.csv"
    path.write_bytes(text.encode("gb18030"))
    names = {"商品编号": "item_id", "标题": "title", "类目": "category", "标签": "tags", "价格": "price"}
    with pytest.raises(DataError, match="set --encoding gb18030"):
        run(IngestConfig(columns=names), items=path)
    _, out = run(IngestConfig(encoding="gb18030", columns=names), items=path)
    items = pl.read_parquet(out / "items.parquet")
    assert items["item_id"].to_list() == ["皮-1", "茶/2"]
    assert items["category"].to_list() == [["箱包", "皮具", "钱包"], ["食品", "茶叶", "绿茶"]]
    assert items["tags"].to_list() == [["手工", "小众"], ["春茶", "送礼"]]
    assert items["available"].to_list() == [True, True]


def test_items_last_wins_and_attributes_pass_through(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    rows: list[dict[str, Any]] = [
        {"item_id": "a", "price": 1, "colour": "red", "row": 1},
        {"item_id": "b", "price": -1},
        {"item_id": "c", "available": "no", "category": ["x", " ", "y"]},
        {"item_id": "a", "price": 2, "colour": "blue", "row": 4, "problems": "few"},
        {"item_id": "d", "available": "maybe"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    report, out = run(items=path)
    items = pl.read_parquet(out / "items.parquet")
    assert list(items.columns[: len(ITEMS)]) == list(ITEMS)
    assert items.select("item_id", "price", "available", "colour", "row", "problems").rows() == [
        ("b", None, True, None, None, None),
        ("c", None, False, None, None, None),
        ("a", 2.0, True, "blue", 4, "few"),
        ("d", None, False, None, None, None),
    ]
    assert items["category"].to_list() == [None, ["x", "y"], None, None]
    table = report.tables["items"]
    assert (table.duplicates, table.rejected) == (1, 0)
    assert table.reasons == {"duplicate item_id: a later row replaces it": 1}
    assert table.emptied == {"available is not true or false": 1, "price is negative": 1}


def test_users(run: Run, events_file: Write, good: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text(
        "user_id,timezone,personalization,tags,tier\n"
        "a,Asia/Shanghai,,x|y,gold\nb,Mars/Olympus,,,\na,Asia/Tokyo,false,,silver\n",
        encoding="utf-8",
    )
    report, out = run(events=events_file([good]), users=path)
    users = pl.read_parquet(out / "users.parquet")
    assert list(users.columns) == [*USERS, "tier"]
    assert users.select("user_id", "timezone", "personalization", "tier").rows() == [
        ("b", None, True, None),
        ("a", "Asia/Tokyo", False, "silver"),
    ]
    assert report.tables["users"].emptied == {"timezone is not an IANA time zone": 1}


def test_offers(run: Run, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id\na\n", encoding="utf-8")
    offers = tmp_path / "offers.csv"
    offers.write_text(
        "item_id,region,price,available,valid_from,valid_to\n"
        "a,north,2,,2024-01-01,2024-02-01\na,north,2,,2024-01-01,2024-02-01\n"
        "a,south,,,,\na,east,-2,,,\na,west,,false,2024-02-01,2024-01-01\n"
        "a,  ,2,,,\n",
        encoding="utf-8",
    )
    report, out = run(items=items, offers=offers)
    assert pl.read_parquet(out / "offers.parquet").height == 1
    assert report.tables["offers"].reasons == {
        "duplicate row": 1,
        "neither price nor available is filled": 2,
        "price is negative": 1,
        "region is blank": 1,
        "valid_to is before valid_from": 1,
    }


def test_json_lines_payloads(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    payload = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m",
        "userId": "u",
        "timestamp": "2024-05-01T08:00:00Z",
        "properties": {
            "order_id": "o",
            "products": [{"product_id": "a"}, {"product_id": " "}],
        },
    }
    path.write_text(json.dumps(payload) + "\n{broken\n" + json.dumps(payload) + "\n", encoding="utf-8")
    report, out = run(events=path)
    assert pl.read_parquet(out / "events.parquet")["event_id"].to_list() == ["m#1"]
    rejects = pl.read_parquet(out / "rejects.parquet").select("row", "reason").rows()
    assert rejects == [
        (1, "item_id is blank"),
        (2, "unparsable JSON"),
        (3, "duplicate event_id"),
        (3, "item_id is blank"),
    ]
    assert report.tables["events"].rows == 5


def test_the_same_input_gives_the_same_tables(run: Run, events_file: Write, good: dict[str, Any]) -> None:
    path = events_file([good | {"item_id": str(place % 97), "basket_id": str(place)} for place in range(2000)])
    first, one = run(out="one", events=path)
    second, two = run(out="two", events=path)
    assert first == second
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()


@pytest.mark.parametrize(
    "config",
    [
        IngestConfig(timezone="Mars/Olympus"),
        IngestConfig(max_reject_share=1.5),
        IngestConfig(future_tolerance=-1),
        IngestConfig(default_event="bought"),
        IngestConfig(columns={"sku": "itemid"}),
        IngestConfig(encoding="klingon"),
    ],
)
def test_bad_settings(run: Run, events_file: Write, good: dict[str, Any], config: IngestConfig) -> None:
    with pytest.raises(ConfigError):
        run(config, events=events_file([good]))


def test_places_that_are_not_replaced(
    run: Run, events_file: Write, good: dict[str, Any], tmp_path: Path, now: datetime
) -> None:
    path = events_file([good])
    with pytest.raises(ConfigError, match=r"no dataset\.json"):
        ingest(InputFiles(events=path), LENIENT, tmp_path, now)
    with pytest.raises(ConfigError, match="is a file"):
        ingest(InputFiles(events=path), LENIENT, path, now)
    _, out = run(events=path)
    with pytest.raises(ConfigError, match="is inside"):
        ingest(InputFiles(events=out / "events.parquet"), LENIENT, out, now)
    with pytest.raises(ConfigError, match="no input: add"):
        ingest(InputFiles(users=path), LENIENT, out, now)
    with pytest.raises(ConfigError, match="no time zone"):
        ingest(InputFiles(events=path), LENIENT, out, now.replace(tzinfo=None))


def test_progress_runs_from_nothing_to_all(
    events_file: Write, good: dict[str, Any], tmp_path: Path, now: datetime
) -> None:
    seen: list[float] = []
    ingest(
        InputFiles(events=events_file([good])),
        LENIENT,
        tmp_path / "out",
        now,
        lambda _, share: seen.append(share),
    )
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


IDS = st.none() | st.sampled_from(["a", "b", " ", "x" * 257, "\x01", "7.0"])
NUMBERS = st.none() | st.sampled_from(["1", "0", "-2", "nan", "inf", "abc", "2.5"])
ROWS = st.fixed_dictionaries(
    {
        "item_id": IDS,
        "event": st.sampled_from([None, "purchase", "Product Viewed", "nonsense"]),
        "timestamp": st.sampled_from([None, "2024-05-01", "2024-05-01T08:00:00Z", "1714550400", "x", "2999-01-01"]),
        "user_id": IDS,
        "basket_id": IDS,
        "event_id": IDS,
        "quantity": NUMBERS,
        "price": NUMBERS,
        "note": st.sampled_from(["x", "y"]),
    }
)


@settings(
    max_examples=60,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ROWS, min_size=1, max_size=12))
def test_kept_and_rejected_rows_are_the_input(run: Run, events_file: Write, rows: list[dict[str, Any]]) -> None:
    good = {"item_id": "z", "event": "view_item", "timestamp": "2024-05-01", "user_id": "z", "note": "x"}
    report, out = run(events=events_file([good, *rows]))
    table = report.tables["events"]
    kept, rejects = pl.read_parquet(out / "events.parquet"), pl.read_parquet(out / "rejects.parquet")
    n_skipped = sum(table.skipped.values())
    assert table.rows == len(rows) + 1 == kept.height + rejects.height + n_skipped
    assert (table.kept, table.duplicates + table.rejected) == (kept.height, rejects.height)
    assert rejects["row"].is_unique().all()
    assert rejects.filter(pl.col("reason").fill_null("") == "").is_empty()
    for row, original in rejects.select("row", "original").rows():
        given_row = {name: value for name, value in rows[row - 2].items() if value is not None}
        assert given_row.items() <= json.loads(original).items()
    left = [rows[place] for place in range(len(rows)) if place + 2 not in rejects["row"]]
    is_skipped = [row["event"] == "nonsense" and not (row["item_id"] or "").strip() for row in left]
    assert n_skipped == sum(is_skipped)
    left = [row for row, skipped in zip(left, is_skipped, strict=True) if not skipped]
    assert sorted(kept["item_id"]) == sorted(["z", *(row["item_id"] for row in left)])
