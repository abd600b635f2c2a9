"""From a shop's files to lists: a slice of the demo's data through every command, and shops that hold too little."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.pipeline.recommender import Recommender
from tests.jobs import run_jobs
from tests.ports import free_port
from training.demo_data import TIMEZONE, package_data, raw_tables

ROOT: Final = Path(__file__).parents[1]
COMMAND: Final = (sys.executable, "-c", "from cli.main import main; main()")
N_HOUSEHOLDS: Final = 60
MIN_LINES: Final = 5
PATIENCE_S: Final = 60.0

Row = dict[str, Any]


def recsys(*words: object) -> str:
    """Run the command as a process of its own; what it wrote to standard output."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Shop:
    """A shop that has been trained, and its server."""

    models: Path
    client: httpx.Client

    def ask(self, path: str, **parameters: str | int) -> dict[str, Any]:
        response = self.client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return dict(response.json())


def slice_files(folder: Path) -> dict[str, Path]:
    """The files of a shop: what some households of the demo's data bought in a year, of items bought a few times."""
    try:
        package = package_data()
    except ConfigError as error:
        pytest.skip(str(error))
    raw = folder / "raw"
    raw.mkdir()
    people = pl.read_parquet(package / "demographics.parquet").sort("household_id").head(N_HOUSEHOLDS)
    lines = pl.scan_parquet(package / "transactions.parquet").join(people.lazy(), on="household_id", how="semi")
    bought = lines.filter(pl.len().over("product_id") >= MIN_LINES).collect()
    bought.write_parquet(raw / "transactions.parquet")
    people.write_parquet(raw / "demographics.parquet")
    products = pl.read_parquet(package / "products.parquet").join(bought, on="product_id", how="semi")
    products.write_parquet(raw / "products.parquet")
    paths = {}
    for name, frame in raw_tables(raw).items():
        paths[name] = folder / f"{name}.parquet"
        frame.write_parquet(paths[name])
    return paths


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("end-to-end")
    data, models = folder / "data", folder / "models"
    files = [word for name, path in slice_files(folder).items() for word in (f"--{name}", path)]
    recsys("ingest", *files, "--out", data, "--timezone", TIMEZONE)
    assert "Supported lists" in recsys("doctor", "--data", data)
    recsys("train", "--data", data, "--models", models)
    port = free_port()
    words = ("serve", "--models", str(models), "--port", str(port), "--clock", "data")
    with subprocess.Popen([*COMMAND, *words], cwd=ROOT, stderr=subprocess.DEVNULL) as server:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client, server)
            yield Shop(models, client)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0


def wait_until_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server has ended"
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the server was not ready in time")


@pytest.fixture(scope="module")
def library(shop: Shop) -> Recommender:
    return Recommender.open(shop.models)


def test_complements_go_with_the_item_and_cannot_replace_it(shop: Shop, library: Recommender) -> None:
    item_id = library.examples().item_id
    answer = shop.ask(f"/v1/items/{quote(item_id, safe='')}/recommendations", placement="complementary", limit=10)
    assert len(answer["items"]) == 10
    engine = library.engine
    types = engine.catalog.item_type[engine.items.rows([item["item_id"] for item in answer["items"]])]
    assert engine.catalog.item_type[engine.items.row(item_id)] not in types
    assert "baskets" in answer["items"][0]["reasons"][0]["text"]


def test_the_long_tail_is_the_tail_and_the_shoppers_own(shop: Shop, library: Recommender) -> None:
    engine = library.engine
    lists = [
        shop.ask(f"/v1/users/{user_id}/recommendations", placement="long_tail", limit=20)
        for user_id in engine.users.ids[:10]
    ]
    for user_id, answer in zip(engine.users.ids, lists, strict=False):
        rows = engine.items.rows([item["item_id"] for item in answer["items"]])
        assert engine.is_tail[rows].mean() >= 0.8
        assert not set(rows) & set(engine.history.of(engine.users.row(user_id), library.data_end).item_idx)
    assert len({tuple(item["item_id"] for item in answer["items"]) for answer in lists}) == len(lists)


def test_the_hour_changes_the_list_and_says_why(shop: Shop, library: Recommender) -> None:
    user_id = library.examples().user_id
    day = datetime.fromtimestamp(library.data_end, ZoneInfo(TIMEZONE)) - timedelta(days=2)
    lists = {}
    for hour in (8, 20):
        as_of = day.replace(hour=hour, minute=0).isoformat()
        answer = shop.ask(f"/v1/users/{user_id}/recommendations", placement="time_of_day", as_of=as_of)
        lists[hour] = [item["item_id"] for item in answer["items"]]
        assert "hour" in {reason["code"] for item in answer["items"] for reason in item["reasons"]}
    assert lists[8] != lists[20]


def test_the_command_and_the_server_give_the_same_list(shop: Shop, library: Recommender) -> None:
    user_id = library.examples().user_id
    as_of = datetime.fromtimestamp(library.data_end, UTC).isoformat()
    words = ("--models", shop.models, "--user", user_id, "--as-of", as_of, "--limit", 10)
    told = json.loads(recsys("recommend", *words, "--json"))
    served = shop.ask(f"/v1/users/{user_id}/recommendations", as_of=as_of, limit=10)
    assert [item["item_id"] for item in told["items"]] == [item["item_id"] for item in served["items"]]
    assert told["items"][0]["title"] in recsys("recommend", *words)


def test_lists_for_all_are_those_of_each(shop: Shop, library: Recommender, tmp_path: Path) -> None:
    users, out = tmp_path / "users.txt", tmp_path / "lists.parquet"
    users.write_text("\n".join(library.engine.users.ids))
    recsys("recommend", "--models", shop.models, "--users", users, "--out", out, "--placement", "discover")
    rows = pl.read_parquet(out)
    assert rows["user_id"].n_unique() == len(library.engine.users)
    user_id = library.examples().user_id
    (expected,) = library.recommend([user_id], "discover")
    assert rows.filter(user_id=user_id)["item_id"].to_list() == [item.item_id for item in expected]


# Shops that hold too little: each trains, says what it could not learn, and serves what it can.

MONDAY: Final = datetime(2024, 5, 6, 1, tzinfo=UTC)


def events_of(who: Sequence[int], what: Sequence[int], *, hours: Sequence[int] | None = None) -> list[Row]:
    """A purchase each: shopper, item and hours after Monday 9 h in Shanghai, a basket a shopper and hour."""
    moments = hours or [31 * place for place in range(len(who))]
    return [
        {
            "item_id": f"i{item}",
            "event": "purchase",
            "timestamp": (MONDAY + timedelta(hours=hour)).isoformat(),
            "user_id": f"u{user}",
            "basket_id": f"b{user}-{hour}",
        }
        for user, item, hour in zip(who, what, moments, strict=True)
    ]


def without(rows: Sequence[Row], *columns: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def catalogue(n_items: int) -> list[Row]:
    kinds = ("茶 > 绿茶", "茶 > 红茶", "零食 > 坚果")
    return [
        {"item_id": f"i{n}", "title": f"商品 {n}", "category": kinds[n % 3], "brand": f"牌{n % 2}"}
        for n in range(n_items)
    ]


FEW = events_of([n % 10 for n in range(30)], [(n * n + n // 10) % 8 for n in range(30)])
DATES = [{**row, "timestamp": row["timestamp"][:10]} for row in FEW]
SAME_DAY = events_of([n % 10 for n in range(30)], [n % 7 for n in range(30)], hours=[n % 10 for n in range(30)])

POOR_SHOPS: Final[dict[str, tuple[list[Row], list[Row], tuple[str, ...]]]] = {
    "10 users and 30 events": (FEW, catalogue(8), ("No user bought an item on two days",)),
    "one user": (events_of([0] * 9, [n % 4 for n in range(9)]), catalogue(5), ("users cannot be compared",)),
    "one item": (events_of([0, 1, 2, 0], [0] * 4), catalogue(1), ("have no pair", "users cannot be compared")),
    "no baskets of two": (without(FEW, "basket_id"), catalogue(8), ("use what one user bought",)),
    "no items table": (FEW, [], ("No item has a title",)),
    "items alone": ([], catalogue(9), ("There are no events",)),
    "every item bought once": (events_of(range(12), range(12)), catalogue(12), ("have no pair",)),
    "all on one day": (SAME_DAY, catalogue(7), ("span 0 days",)),
    "dates without times": (DATES, catalogue(8), ("dates without hours",)),
    "baskets of nobody": (without(SAME_DAY, "user_id"), catalogue(7), ("No event has a user",)),
}


@pytest.mark.parametrize(("events", "items", "words"), POOR_SHOPS.values(), ids=POOR_SHOPS)
def test_a_poor_shop_trains_says_what_it_lacks_and_serves(
    tmp_path: Path, events: list[Row], items: list[Row], words: tuple[str, ...]
) -> None:
    report, engine = run_jobs(tmp_path, events, items)
    for word in words:
        assert any(word in note for note in report.notes), report.notes
    known = {row["item_id"] for row in (*events, *items)}
    for name, placement in engine.placements.items():
        if placement.anchor == "item":
            lists = engine.related(sorted(known), name)
            assert not any(seed in ids_of(found) for seed, found in zip(sorted(known), lists, strict=True))
        else:
            lists = engine.recommend([*{row.get("user_id", "") for row in events}, "stranger"], name)
        for found in lists:
            assert set(ids_of(found)) <= known
            assert len(set(ids_of(found))) == len(found)
            assert all(item.reasons for item in found)
            assert [item.rank for item in found] == list(range(1, len(found) + 1))
    (popular,) = engine.recommend(["stranger"], "popular")
    assert popular, "a stranger is never left with nothing"
    if items and len(known) > 1:
        assert all(engine.related(sorted(known), "similar")), "content alone tells what is similar"


def ids_of(found: Sequence[Any]) -> list[str]:
    return [item.item_id for item in found]
