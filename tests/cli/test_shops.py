"""Many shops from the command line: their list, and the training of all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.jobs import write_shop
from tests.shop import ShopTables, copied_models


@pytest.fixture
def root(tmp_path: Path, shop_models: Path) -> Path:
    """A shop with a bundle and broken tables, one with a bundle alone, and one whose file is wrong."""
    for name in ("broken", "served", "wrong"):
        (tmp_path / name).mkdir()
    for name in ("served", "broken"):
        copied_models(shop_models, tmp_path / name / "models")
    (tmp_path / "broken" / "data").mkdir()
    (tmp_path / "broken" / "data" / "dataset.json").write_text("{}")
    (tmp_path / "broken" / "shop.toml").write_text("open = true")
    (tmp_path / "served" / "shop.toml").write_text('open = true\nhosts = ["shop.example"]')
    (tmp_path / "wrong" / "shop.toml").write_text("hosts = 1")
    return tmp_path


def test_the_list_has_hosts_bundles_and_problems(recsys: Run, root: Path) -> None:
    said = recsys("shops", "list", root, "--json")
    found = {row["shop"]: row for row in json.loads(said.out)}
    assert list(found) == ["broken", "served", "wrong"]
    assert (found["served"]["hosts"], found["served"]["tables"]) == ("shop.example", "no")
    assert found["served"]["bundle"] == (root / "served" / "models" / "CURRENT").read_text().strip()
    assert "hosts is 1" in found["wrong"]["problem"]


def test_a_shop_that_fails_keeps_its_bundle_and_stops_no_other(
    recsys: Run, root: Path, shop_tables: ShopTables
) -> None:
    write_shop(shop_tables, root / "served" / "data")
    (root / "served" / "recsys.toml").write_text("[als]\nn_factors = 8\n[content]\nn_dimensions = 8\n")
    before = (root / "broken" / "models" / "CURRENT").read_text().strip()
    said = recsys("shops", "train", root, "--json")
    found = {row["shop"]: row for row in json.loads(said.out)}
    assert said.code == 1
    assert found["broken"]["result"].startswith("failed: ")
    assert found["broken"]["bundle"] == before
    assert found["served"]["result"] in {"trained", "up to date"}
    assert found["wrong"]["result"].startswith("refused: ")
    assert recsys("shops", "train", root, "--only", "served", "--json").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [(["TYPO"], "does not exist"), ([".", "--only", "nobody"], "--only has 'nobody'")],
)
def test_what_is_not_there_is_named(recsys: Run, tmp_path: Path, words: list[str], message: str) -> None:
    said = recsys("shops", "train", tmp_path / words[0], *words[1:])
    assert (said.code, message in said.err) == (2, True)
