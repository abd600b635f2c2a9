"""Bundles that variants name: what may start, and what is kept from clean-up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from recsys.bundles.registry import PINNED, current_version, pin, pinned
from recsys.bundles.variant_bundles import admit_bundles
from recsys.core.errors import ConfigError
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import ramp, start, stop
from tests.recsys.experiments.files import write_experiments
from tests.shop import copied_models

AT = "2026-11-01T00:00:00Z"


@pytest.fixture
def models(shop_models: Path, tmp_path: Path) -> Path:
    return copied_models(shop_models, tmp_path / "models")


def written(folder: Path, bundle: str, second: str = "") -> Path:
    text = f'[experiments.newer.variants]\ncontrol = {{}}\nnew = {{bundle = "{bundle}"}}\n'
    if second:
        text += f'second = {{bundle = "{second}"}}\n'
    return write_experiments(folder, text + "[experiments.calm.variants]\ncontrol = {}\nb = {}\n")


def test_a_start_pins_its_bundles_and_no_other_change_checks_them(models: Path, tmp_path: Path) -> None:
    version = current_version(models) or ""
    path = written(tmp_path, version)
    pin(models, ["another"])
    change_state(path, start("newer", AT), partial(admit_bundles, models))
    assert pinned(models) == tuple(sorted(("another", version)))
    shutil.rmtree(models)
    change_state(path, ramp("newer", AT, 0.5), partial(admit_bundles, None))
    change_state(path, stop("newer", AT), partial(admit_bundles, None))


def without_models(models: Path) -> None:
    return None


def unwritable(models: Path) -> Path:
    (models / PINNED).mkdir()
    return models


@pytest.mark.parametrize(
    ("bundle", "second", "folder", "message"),
    [
        ("none-such", "", lambda models: models, r"'experiments.newer.variants.new.bundle' is 'none-such', which"),
        ("", "x", lambda models: models, "'experiments.newer.variants.second.bundle' is 'x', which"),
        ("", "", without_models, "cannot start 'newer': its variants name bundles; give their folder with --models"),
        ("", "", unwritable, "its bundles cannot be kept from clean-up"),
    ],
)
def test_a_start_is_refused_with_the_remedy_and_changes_nothing(
    models: Path,
    tmp_path: Path,
    bundle: str,
    second: str,
    folder: Callable[[Path], Path | None],
    message: str,
) -> None:
    path = written(tmp_path, bundle or current_version(models) or "", second)
    with pytest.raises(ConfigError, match=message):
        change_state(path, start("newer", AT), partial(admit_bundles, folder(models)))
    assert read_experiments(path).states.history == ()
    change_state(path, start("calm", AT), partial(admit_bundles, None))


def test_the_number_of_bundles_is_bounded(models: Path, tmp_path: Path) -> None:
    path = written(tmp_path, current_version(models) or "")
    with pytest.raises(ConfigError, match="would name 1 bundles, expected at most 0: stop another experiment"):
        change_state(path, start("newer", AT), partial(admit_bundles, models, limit=0))
    change_state(path, start("newer", AT), partial(admit_bundles, models, limit=1))
