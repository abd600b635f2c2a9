"""Where a request comes from, said at the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.core.schema import OFFERS
from recsys.data.offers import OFFER_KEYS, Offers, read_offers
from recsys.fitting.engine import Engine
from tests.cli.conftest import Run
from tests.shop import table

SOLD_OUT, NAME = "case-3", "武汉一店"


@pytest.fixture(scope="module")
def models(shop_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, with an item sold out in a region, in a store and in a channel of one name."""
    rows = [{"item_id": SOLD_OUT, key: NAME, "available": False} for key in OFFER_KEYS]
    engine = replace(shop_engine, offers=Offers(read_offers(table(rows, OFFERS), shop_engine.items)))
    folder = tmp_path_factory.mktemp("offers")
    activate(folder, write_bundle(engine, folder, Provenance(datetime.now(UTC), "shop", {}, ())).version)
    return folder


@pytest.mark.parametrize("key", OFFER_KEYS)
def test_what_is_sold_out_there_is_not_listed_and_explained(recsys: Run, models: Path, key: str) -> None:
    words = ("--models", models, "--placement", "popular", "--limit", 100, "--json")

    def listed(*where: str) -> set[str]:
        return {item["item_id"] for item in json.loads(recsys("recommend", *words, *where).out)["items"]}

    def stage(*where: str) -> str:
        return str(json.loads(recsys("explain", *words, "--item", SOLD_OUT, *where).out)["stage"])

    here, elsewhere = (f"--{key}", NAME), (f"--{key}", "上海店")
    assert SOLD_OUT not in listed(*here)
    assert listed(*elsewhere) == listed() > listed(*here)
    assert [stage(*here), stage(*elsewhere), stage()] == ["sold_out_here", "listed", "listed"]


def test_lists_for_many_users_are_of_one_store(recsys: Run, models: Path, tmp_path: Path) -> None:
    users, out = tmp_path / "users.txt", tmp_path / "lists.parquet"
    users.write_text("u010\nnobody\n")
    words = ("--models", models, "--users", users, "--out", out, "--placement", "for_you", "--limit", 100)

    def listed(*where: str) -> set[str]:
        assert recsys("recommend", *words, *where).code == 0
        return set(pl.read_parquet(out)["item_id"])

    assert SOLD_OUT in listed()
    assert SOLD_OUT not in listed("--store", NAME)


@pytest.mark.parametrize("command", [("recommend",), ("explain", "--item", SOLD_OUT)])
def test_an_empty_name_is_refused(recsys: Run, models: Path, command: tuple[str, ...]) -> None:
    said = recsys(*command, "--models", models, "--store", " ")
    assert (said.code, "--store is ' ', expected a name" in said.err) == (2, True)
