"""Bad input on the way in: each row of the table of what may be wrong ends in one sentence and the right code."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.cli.conftest import Run
from training import demo_data

GOOD = "item_id,event,timestamp,user_id\n苹果/红,purchase,2024-05-01T08:00:00Z,用户 1\n苹果/红,purchase,2024-05-02,b\n"
HEADER = GOOD.splitlines()[0]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(content: str | bytes, name: str = "events.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_good_file_becomes_tables_and_a_report(recsys: Run, write: Write, out: Path) -> None:
    said = recsys("ingest", "--events", write(GOOD), "--out", out, "--timezone", "Asia/Shanghai")
    assert said.code == 0
    assert "events" in said.out
    assert f"{out} is written, in the zone Asia/Shanghai" in said.out
    assert "reading events" in said.err, "progress is told, and apart from the result"
    assert pl.read_parquet(out / "events.parquet").height == 2


def test_json_is_all_that_is_on_standard_output(recsys: Run, write: Write, out: Path) -> None:
    said = recsys("ingest", "--events", write(GOOD), "--out", out, "--timezone", "UTC", "--json")
    assert json.loads(said.out)["tables"]["events"]["kept"] == 2
    report = recsys("doctor", "--data", out, "--json")
    assert json.loads(report.out)["users"] == 2
    assert "Supported lists" in recsys("doctor", "--data", out).out


def test_entries_of_the_live_log_that_cannot_be_read_are_named(recsys: Run, tmp_path: Path, out: Path) -> None:
    log = tmp_path / "store.sqlite"
    with closing(SqliteStore(log)) as store:
        store.append([LogEntry("item_put", f"i{n}", 1.7e9, 1.7e9, {"offers": n}) for n in range(30)])
        store.append([LogEntry("item_put", "tea", 1.7e9, 1.7e9, {"title": "Tea"})])
    said = recsys("ingest", "--from-store", log, "--out", out)
    assert said.code == 0, said.err
    assert "the live log: 30 entries cannot be read and are left out" in said.out
    assert "the live log: entry 6: item_put 'i5': offers is '5': expected a list of objects" in said.out
    assert said.out.count("expected a list of objects") == 20
    report = json.loads(recsys("ingest", "--from-store", log, "--out", out, "--json").out)
    assert len(report["set_aside"]) == 30
    checked = recsys("store", "check", "--store", log)
    assert (checked.code, checked.out.count("expected a list of objects")) == (1, 30)


def test_options_go_before_the_file_of_settings(recsys: Run, write: Write, out: Path) -> None:
    settings = write('[ingest]\ntimezone = "Mars/North"\ncolumns = { "会员" = "user_id" }\n', "shop.toml")
    events = write(GOOD.replace("user_id", "会员").encode("gb18030"))
    options = ("--config", settings, "--timezone", "Asia/Shanghai", "--encoding", "gb18030")
    assert recsys("ingest", "--events", events, "--out", out, *options).code == 0
    assert pl.read_parquet(out / "events.parquet")["user_id"].to_list() == ["用户 1", "b"]


def test_columns_are_mapped_one_by_one(recsys: Run, write: Write, out: Path) -> None:
    events = write("sku,who,at\na,u,2024-05-01T08:00:00Z\n")
    columns = [word for pair in ("sku=item_id", "who=user_id", "at=timestamp") for word in ("--column", pair)]
    said = recsys("ingest", "--events", events, "--out", out, *columns, "--default-event", "purchase")
    assert said.code == 0
    wrong = recsys("ingest", "--events", events, "--out", out, "--column", "sku")
    assert (wrong.code, "expected THEIRS=OURS" in wrong.err) == (2, True)
    missed = recsys("ingest", "--events", events, "--out", out, "--column", "skuu=item_id")
    assert (missed.code, "'skuu'" in missed.err, "sku, who, at" in missed.err) == (2, True, True), missed.err


def test_names_of_events_are_mapped_one_by_one(recsys: Run, write: Write, out: Path) -> None:
    events = write(GOOD.replace("purchase", "购买") + "i,page_view,2024-05-02,u\n,scroll,2024-05-02,u\n")
    refused = recsys("ingest", "--events", events, "--out", out)
    assert (refused.code, "'购买' 2" in refused.err, "view_item" in refused.err) == (2, True, True), refused.err
    names = ("--event-name", "购买=purchase", "--event-name", "page_view=skip")
    said = recsys("ingest", "--events", events, "--out", out, *names)
    assert said.code == 0, said.err
    assert "'page_view' 1, 'scroll' 1" in said.out
    wrong = recsys("ingest", "--events", events, "--out", out, "--event-name", "购买")
    assert (wrong.code, "expected THEIRS=OURS" in wrong.err) == (2, True)


def test_a_repeated_option_adds_a_file(recsys: Run, write: Write, out: Path) -> None:
    more = write(GOOD.replace("用户 1", "c"), "more.csv")
    said = recsys("ingest", "--events", write(GOOD), "--events", more, "--out", out, "--timezone", "UTC", "--json")
    assert json.loads(said.out)["tables"]["events"]["rows"] == 4
    assert set(pl.read_parquet(out / "events.parquet")["user_id"]) == {"用户 1", "b", "c"}


def test_the_columns_of_files_without_a_header_are_named(recsys: Run, write: Write, out: Path) -> None:
    events = ("--events", write("1,7,purchase,1714550400\n2,7,purchase,1714550400\n"), "--out", out)
    mapped = [word for pair in ("1=user_id", "7=item_id", "1714550400=timestamp") for word in ("--column", pair)]
    for options in ((), (*mapped, "--column", "purchase=event")):
        refused = recsys("ingest", *events, *options)
        assert (refused.code, "--no-header --columns" in refused.err) == (2, True), "a row would be lost"
    names = "user_id,item_id,event,timestamp"
    said = recsys("ingest", *events, "--no-header", "--columns", names, "--json")
    assert json.loads(said.out)["tables"]["events"]["kept"] == 2
    items = ("--items", write("7,tea\n", "items.csv"))
    several = recsys("ingest", *events, *items, "--no-header", "--columns", names)
    assert (several.code, "name its table, such as --columns events:user_id" in several.err) == (2, True), several.err
    named = ("--no-header", "--columns", f"events:{names}", "--columns", "items:item_id,title")
    assert recsys("ingest", *events, *items, *named).code == 0
    assert pl.read_parquet(out / "items.parquet")["title"].to_list() == ["tea"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--no-header",), "--no-header needs the names: add --columns"),
        (("--columns", "a,b"), "it goes with --no-header"),
        (("--header", "--columns", "a,b"), "it goes with --no-header"),
        (("--no-header", "--columns", "offers:a,b"), "'offers', expected a table with files: events"),
    ],
)
def test_options_of_the_header_that_do_not_fit(
    recsys: Run, write: Write, out: Path, options: tuple[str, ...], message: str
) -> None:
    said = recsys("ingest", "--events", write(GOOD), "--out", out, *options)
    assert (said.code, message in said.err) == (2, True), said.err


def test_ids_of_one_person_are_joined(recsys: Run, write: Write, out: Path) -> None:
    identities = write("id,user_id\nb,用户 1\n", "identities.csv")
    said = recsys("ingest", "--events", write(GOOD), "--identities", identities, "--out", out, "--timezone", "UTC")
    assert said.code == 0, said.err
    assert pl.read_parquet(out / "events.parquet")["user_id"].to_list() == ["用户 1", "用户 1"]
    assert json.loads((out / "dataset.json").read_text())["merges"] == {"b": "用户 1"}


def test_help_names_the_table_of_settings(recsys: Run) -> None:
    assert "[ingest]" in recsys("ingest", "--help").out


@pytest.mark.parametrize("column", ["item_id", "event", "timestamp", "user_id"])
def test_a_required_column_that_is_missing_is_named(recsys: Run, write: Write, out: Path, column: str) -> None:
    said = recsys("ingest", "--events", write(GOOD.replace(column, "x", 1)), "--out", out)
    assert said.code == 2
    assert column in said.err.splitlines()[-1]
    assert not out.exists()


BAD_ROWS = {
    "unparsable time": (",purchase,yesterday,u", "timestamp"),
    "time without a zone": ("i,purchase,2024-05-01T08:00:00,u", "zone"),
    "empty id": (",purchase,2024-05-01T08:00:00Z,u", "item_id"),
    "unknown event": ("i,bought,2024-05-01T08:00:00Z,u", "event"),
    "future": ("i,purchase,2124-05-01T08:00:00Z,u", "future"),
    "long id": (f"{'i' * 257},purchase,2024-05-01T08:00:00Z,u", "256"),
    "control character": ("i\x07,purchase,2024-05-01T08:00:00Z,u", "control"),
    "nobody": ("i,purchase,2024-05-01T08:00:00Z,", "user_id"),
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_too_many_bad_rows_fail_with_one_sentence(recsys: Run, write: Write, out: Path, row: str, reason: str) -> None:
    said = recsys("ingest", "--events", write(f"{GOOD}{row}\n"), "--out", out, "--now", "2024-06-01T00:00:00Z")
    assert said.code == 2
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("recsys: events: ")
    assert "rejected" in sentence
    assert not out.exists()
    rejects = pl.read_parquet(out.parent / "data.rejects.parquet")
    assert any(reason in text for text in rejects["reason"])


@pytest.mark.parametrize(
    ("value", "column", "effect", "aside"),
    [
        ("0", "quantity", "1 row left out: a purchase of quantity zero", "rejects"),
        ("-0.5", "price", "1 cell emptied: price", "emptied"),
        ("x", "quantity", "1 cell emptied: quantity", "emptied"),
    ],
)
def test_bad_numbers_are_kept_apart_with_their_reason(
    recsys: Run, write: Write, out: Path, value: str, column: str, effect: str, aside: str
) -> None:
    lines = [f"i{n},purchase,2024-05-01T08:00:00Z,u,{value if n == 0 else 1}" for n in range(30)]
    events = write("\n".join([f"{HEADER},{column}", *lines, ""]))
    said = recsys("ingest", "--events", events, "--out", out)
    assert said.code == 0
    assert effect in said.out
    assert f"line 2 of events.csv has '{value}'; expected" in said.out
    kept_aside = pl.read_parquet(out / f"{aside}.parquet")
    assert kept_aside["original" if aside == "rejects" else "value"].str.contains(value, literal=True).all()
    assert kept_aside.height == 1


def test_a_duplicate_event_id_is_kept_apart(recsys: Run, write: Write, out: Path) -> None:
    row = "i,purchase,2024-05-01T08:00:00Z,u,e1"
    said = recsys("ingest", "--events", write(f"{HEADER},event_id\n{row}\n{row}\n"), "--out", out)
    assert said.code == 0
    assert "1 row left out: duplicate event_id" in said.out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("events.csv", b""),
        ("events.csv", f"{HEADER}\n".encode()),
        ("events.parquet", b""),
        ("events.parquet", b"PAR1 and then nothing"),
        ("events.csv", GOOD.encode("gb18030")),
        ("events.xlsx", b"PK"),
    ],
    ids=["empty", "header only", "empty Parquet", "truncated Parquet", "wrong encoding", "unknown kind"],
)
def test_files_that_cannot_be_used_are_one_sentence(
    recsys: Run, write: Write, out: Path, name: str, content: bytes
) -> None:
    assert recsys("ingest", "--events", write(GOOD), "--out", out, "--timezone", "UTC").code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    said = recsys("ingest", "--events", write(content, name), "--out", out, "--timezone", "UTC")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("recsys: ")
    assert "Traceback" not in said.err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before, "nothing is written over"


@pytest.mark.parametrize("command", ["doctor", "train"])
def test_a_folder_with_nothing_usable_is_one_sentence(recsys: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    models = ("--models", tmp_path / "models") if command == "train" else ()
    said = recsys(command, "--data", tmp_path, *models)
    assert said.code == 2
    assert "dataset.json" in said.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--timezone", "Mars/North"], "not an IANA time zone"),
        (["--encoding", "nonsense"], "nonsense"),
        (["--max-reject-share", "2"], "expected a number in [0, 1]"),
        (["--now", "2024-05-01"], "expected an offset"),
        (["--now", "yesterday"], "expected an RFC 3339 time"),
        (["--now", "1900-01-01T00:00:00Z"], "--now is '1900-01-01T00:00:00Z', expected a time from 1970 to 9998"),
        (["--config", "nowhere.toml"], "cannot be read"),
    ],
)
def test_settings_that_cannot_be_are_named(
    recsys: Run, write: Write, out: Path, options: list[str], words: str
) -> None:
    said = recsys("ingest", "--events", write(GOOD), "--out", out, *options)
    assert (said.code, words in said.err) == (2, True), said.err


def test_the_demo_says_what_it_lacks(recsys: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "PACKAGE", "no_such_package")
    said = recsys("demo-data", "--out", tmp_path / "demo")
    assert (said.code, "completejourney" in said.err) == (2, True)


def test_the_generated_shop_is_written_once(recsys: Run, tmp_path: Path) -> None:
    words = ("demo-data", "--shop", "cn", "--users", 30, "--seed", 5, "--out", tmp_path / "cn")
    assert recsys(*words).out == f"{tmp_path / 'cn'} is written\n"
    assert recsys(*words).out == f"{tmp_path / 'cn'} is up to date\n"
    assert pl.read_parquet(tmp_path / "cn" / "users.parquet").height == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shop", "jp"], "--shop is 'jp', expected grocer or cn"),
        (["--users", "30"], "--users and --seed are for the generated shop"),
        (["--shop", "cn", "--users", "3"], "--users is 3, expected 10 to 200,000 users"),
        (["--shop", "cn", "--seed", "-2"], "--seed is -2, expected 0 or more"),
    ],
)
def test_demo_shops_that_do_not_exist_are_refused(recsys: Run, tmp_path: Path, words: list[str], message: str) -> None:
    said = recsys("demo-data", *words, "--out", tmp_path / "x")
    assert (said.code, message in said.err) == (2, True), said.err
    assert not (tmp_path / "x").exists()
