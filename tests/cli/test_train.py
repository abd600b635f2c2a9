from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.bundles.registry import current_version, versions
from tests.cli.conftest import Run
from tests.jobs import train_small, write_shop
from tests.shop import ShopTables, copied_models

SMALL = "[als]\nn_factors = 8\n[content]\nn_dimensions = 8\n"


@pytest.fixture(scope="module")
def data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def models(tmp_path: Path, shop_models: Path) -> Path:
    """A copy of the shop's models that a test may change."""
    return copied_models(shop_models, tmp_path / "models")


def test_training_tells_stages_memory_and_the_bundle(recsys: Run, data: Path, settings: Path, tmp_path: Path) -> None:
    models = tmp_path / "new"
    said = recsys("train", "--data", data, "--models", models, "--config", settings)
    assert said.code == 0
    assert "collaborative filtering" in said.out
    assert "MB peak memory" in said.out
    assert f"current: {current_version(models)}" in said.out
    again = recsys("train", "--data", data, "--models", models, "--config", settings, "--if-changed", "--json")
    assert json.loads(again.out)["is_new"] is False


def test_a_collapsed_export_is_refused_unless_it_is_accepted(
    recsys: Run, data: Path, settings: Path, shop_tables: ShopTables, tmp_path: Path
) -> None:
    words = ("train", "--models", tmp_path / "new", "--config", settings, "--data")
    assert recsys(*words, data).code == 0
    healthy = current_version(tmp_path / "new")
    one = write_shop(replace(shop_tables, events=shop_tables.events.head(1)), tmp_path / "one")
    refused = recsys(*words, one)
    assert (refused.code, current_version(tmp_path / "new")) == (2, healthy)
    assert "events fell from" in refused.err
    assert "--accept-shrink" in refused.err
    assert recsys(*words, one, "--accept-shrink").code == 0
    assert current_version(tmp_path / "new") != healthy


def test_print_config_is_the_defaults_as_toml(recsys: Run, settings: Path) -> None:
    assert tomllib.loads(recsys("train", "--print-config").out)["als"]["n_factors"] != 8
    assert tomllib.loads(recsys("train", "--print-config", "--config", settings).out)["als"]["n_factors"] == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [("[als]\nn_factor = 8", "do you mean 'als.n_factors'?"), ("seed = -1", "'seed' is -1"), ("seed =", "not TOML")],
)
def test_bad_settings_are_named_before_any_work(
    recsys: Run, data: Path, tmp_path: Path, settings: Path, text: str, words: str
) -> None:
    settings.write_text(text)
    said = recsys("train", "--data", data, "--models", tmp_path / "new", "--config", settings)
    assert (said.code, words in said.err) == (2, True), said.err
    assert not (tmp_path / "new").exists()


def test_training_without_data_is_a_wrong_call(recsys: Run) -> None:
    said = recsys("train")
    assert (said.code, "--data" in said.err) == (2, True)


@pytest.mark.usefixtures("fitted")
def test_models_are_listed_activated_and_rolled_back(recsys: Run, data: Path, models: Path) -> None:
    (old,) = versions(models)
    new = train_small(data, models, later_s=60).version
    table = recsys("models", "list", "--models", models).out
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [[old, "previous"], [new, "current"]]
    assert [bundle["version"] for bundle in json.loads(recsys("models", "list", "--models", models, "--json").out)] == [
        old,
        new,
    ]
    assert recsys("models", "rollback", "--models", models).out == f"current: {old}\n"
    assert current_version(models) == old
    assert recsys("models", "activate", new, "--models", models).code == 0
    assert current_version(models) == new
    unknown = recsys("models", "activate", "nonsense", "--models", models)
    assert (unknown.code, "is not a bundle" in unknown.err) == (2, True)


def test_no_models_are_said(recsys: Run, tmp_path: Path) -> None:
    listed = recsys("models", "list", "--models", tmp_path)
    assert (listed.code, "has no bundle" in listed.out) == (0, True)
    for words in (["verify"], ["rollback"]):
        assert recsys("models", *words, "--models", tmp_path).code == 2


def alter(folder: Path) -> str:
    path = folder / "items.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return "items.parquet is altered"


def truncate(folder: Path) -> str:
    path = folder / "index.faiss"
    path.write_bytes(path.read_bytes()[:-1])
    return "index.faiss is altered"


def lose(folder: Path) -> str:
    (folder / "users.parquet").unlink()
    return "users.parquet is missing"


def age(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 0}))
    return "has schema version 0"


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize("harm", [alter, truncate, lose, age])
def test_a_bundle_that_is_not_whole_is_refused_and_the_old_one_stays(
    recsys: Run, data: Path, models: Path, harm: object
) -> None:
    before = current_version(models)
    new = train_small(data, models, later_s=60).version
    assert before is not None
    assert recsys("models", "rollback", "--models", models).code == 0
    assert callable(harm)
    reason = harm(models / new)
    said = recsys("models", "verify", "--models", models)
    assert (said.code, reason in said.err, f"{before} is whole" in said.out) == (2, True, True), said.err
    said = recsys("models", "activate", new, "--models", models)
    assert (said.code, reason in said.err) == (2, True)
    assert current_version(models) == before
    assert recsys("recommend", "--models", models, "--user", "u010").code == 0
    said = recsys("recommend", "--models", models / new, "--user", "u010")
    assert (said.code, reason in said.err) == (2, True)
    assert recsys("models", "list", "--models", models).code == 0


def test_what_a_killed_job_left_is_no_bundle(recsys: Run, models: Path) -> None:
    (version,) = versions(models)
    half = Path(shutil.copytree(models / version, models / f".partial-{version}-1"))
    (half / "manifest.json").unlink()
    assert versions(models) == (version,)
    assert recsys("models", "verify", "--models", models).code == 0
    said = recsys("recommend", "--models", models / half.name, "--user", "u")
    assert said.code == 2


def test_only_spark_keeps_counts(recsys: Run, data: Path, tmp_path: Path) -> None:
    refused = recsys("train", "--data", data, "--models", tmp_path / "new", "--state", tmp_path / "state")
    assert refused.code == 2
    assert "add --engine spark" in refused.err
    assert not (tmp_path / "state").exists()
