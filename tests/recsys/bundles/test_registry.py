from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.bundles.bundle import MANIFEST, PARTIAL, Provenance, write_bundle
from recsys.bundles.registry import (
    CURRENT,
    LIVE_LOG,
    LOCK,
    PINNED,
    PREVIOUS,
    activate,
    current_version,
    live_log_beside,
    locked,
    pin,
    pinned,
    previous_version,
    prune,
    rollback,
    sweep,
    versions,
)
from recsys.core.errors import BundleError
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender

CREATED_AT = datetime(2024, 7, 2, 12, tzinfo=UTC)


def _write(engine: Engine, models: Path, minutes: int = 0) -> str:
    return write_bundle(engine, models, Provenance(CREATED_AT + timedelta(minutes=minutes), "data", {})).version


def test_versions_are_activated_and_rolled_back(shop_engine: Engine, tmp_path: Path) -> None:
    assert current_version(tmp_path) is None
    assert versions(tmp_path / "nowhere") == ()
    first, second = _write(shop_engine, tmp_path), _write(shop_engine, tmp_path, minutes=1)
    assert versions(tmp_path) == (first, second)
    assert current_version(tmp_path) is None
    with pytest.raises(BundleError, match="no earlier version"):
        rollback(tmp_path)
    activate(tmp_path, first)
    assert current_version(tmp_path) == first
    activate(tmp_path, second)
    activate(tmp_path, second)
    assert current_version(tmp_path) == second
    assert rollback(tmp_path) == first
    assert current_version(tmp_path) == first
    assert rollback(tmp_path) == second
    assert Recommender.open(tmp_path).version == second
    assert {path.name for path in tmp_path.iterdir()} == {first, second, CURRENT, PREVIOUS}


@pytest.fixture
def two(shop_engine: Engine, tmp_path: Path) -> tuple[Path, str, str]:
    """A folder of two bundles, the first current."""
    first, second = _write(shop_engine, tmp_path), _write(shop_engine, tmp_path, minutes=1)
    activate(tmp_path, first)
    return tmp_path, first, second


@pytest.mark.parametrize("version", ["", ".", "..", "nonsense", "../x", CURRENT])
def test_an_unknown_version_is_not_activated(two: tuple[Path, str, str], version: str) -> None:
    models, first, _ = two
    with pytest.raises(BundleError, match="is not a bundle"):
        activate(models, version)
    assert current_version(models) == first


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../x", b"a" * 5000, b"gone"])
@pytest.mark.parametrize("name", [CURRENT, PREVIOUS])
def test_activation_repairs_what_names_no_version(two: tuple[Path, str, str], content: bytes, name: str) -> None:
    """Every error about `CURRENT` recommends it."""
    models, _, second = two
    (models / name).write_bytes(content)
    activate(models, second)
    assert current_version(models) == second


def test_a_damaged_version_is_not_activated(two: tuple[Path, str, str]) -> None:
    models, first, second = two
    (models / second / "index.faiss").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"index\.faiss is altered"):
        activate(models, second)
    assert current_version(models) == first
    assert not (models / PREVIOUS).exists()


def test_current_is_replaced_atomically(two: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    models, first, second = two

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        activate(models, second)
    monkeypatch.undo()
    assert current_version(models) == first
    assert Recommender.open(models).version == first
    activate(models, second)
    assert current_version(models) == second


def _folders(models: Path, *names: str) -> None:
    """Make folders that look like bundles: enough for what does not read them."""
    for name in names:
        (models / name).mkdir()
        (models / name / MANIFEST).write_text("{}")


def test_versions_are_complete_bundles_in_order(tmp_path: Path) -> None:
    _folders(tmp_path, "b", "a", f"{PARTIAL}c-1")
    (tmp_path / "no manifest").mkdir()
    assert versions(tmp_path) == ("a", "b")


def test_an_empty_current_file_names_no_version(tmp_path: Path) -> None:
    (tmp_path / CURRENT).write_text("\n")
    assert current_version(tmp_path) is None
    assert previous_version(tmp_path) is None


@pytest.mark.parametrize(("keep", "removed"), [(1, ("b", "d")), (3, ("b",)), (9, ())])
def test_prune_keeps_the_latest_the_current_and_the_previous(
    tmp_path: Path, keep: int, removed: tuple[str, ...]
) -> None:
    _folders(tmp_path, *"abcde")
    (tmp_path / CURRENT).write_text("a\n")
    (tmp_path / PREVIOUS).write_text("c\n")
    assert prune(tmp_path, keep) == removed
    assert versions(tmp_path) == tuple(name for name in "abcde" if name not in removed)
    assert not list(tmp_path.glob(f"{PARTIAL}*"))


def test_prune_keeps_what_running_experiments_need(tmp_path: Path) -> None:
    _folders(tmp_path, *"abcde")
    assert pinned(tmp_path) == ()
    pin(tmp_path, ["b", "d", "b", "gone"])
    assert pinned(tmp_path) == ("b", "d", "gone")
    assert prune(tmp_path, 1) == ("a", "c")
    pin(tmp_path, [])
    assert not (tmp_path / PINNED).exists()
    assert prune(tmp_path, 1) == ("b", "d")


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_nothing_is_pruned_while_it_is_not_known_what_is_needed(tmp_path: Path, content: bytes | None) -> None:
    _folders(tmp_path, *"abc")
    if content is None:
        (tmp_path / PINNED).mkdir()
    else:
        (tmp_path / PINNED).write_bytes(content)
    with pytest.raises(BundleError, match="PINNED cannot be read"):
        prune(tmp_path, 1)
    assert versions(tmp_path) == ("a", "b", "c")


def test_sweep_removes_incomplete_bundles_alone(tmp_path: Path) -> None:
    _folders(tmp_path, "a", f"{PARTIAL}b-1")
    (tmp_path / ".git").mkdir()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".git"}


def test_one_training_at_a_time(tmp_path: Path) -> None:
    models = tmp_path / "models"
    with (
        locked(models),
        pytest.raises(BundleError, match=r"in use by another training \(process \d+\)"),
        locked(models),
    ):
        pass
    with locked(models):
        assert int((models / LOCK).read_text()) > 0


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from recsys.bundles.registry import locked\n"
        "with locked(Path(sys.argv[1])): os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 9
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(BundleError, match="models cannot be written"), locked(tmp_path / "models"):
        pass


def test_the_live_log_is_found_beside_the_bundles(tmp_path: Path) -> None:
    bundle = tmp_path / "v1"
    bundle.mkdir()
    (bundle / MANIFEST).touch()
    assert [live_log_beside(folder) for folder in (tmp_path, bundle, tmp_path / "none")] == [None] * 3
    (tmp_path / LIVE_LOG).touch()
    assert [live_log_beside(folder) for folder in (tmp_path, bundle)] == [tmp_path / LIVE_LOG] * 2
