from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.bundles.bundle import PARTIAL, read_manifest
from recsys.bundles.data_report import read_data_report
from recsys.bundles.registry import LOCK, activate, current_version, locked, previous_version, versions
from recsys.core.errors import BundleError, ConfigError, DataError
from recsys.pipeline.recommender import Recommender
from tests.jobs import NOW, train_small, write_shop
from tests.shop import ShopTables, small_config
from training import train as train_job
from training.train import train


@pytest.fixture(scope="module")
def data(shop_tables: ShopTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(shop_tables, tmp_path_factory.mktemp("shop") / "data")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_a_training_ends_in_a_current_bundle_that_serves(data: Path, models: Path) -> None:
    """Stages come in order, and are timed."""
    told: list[tuple[str, float]] = []
    report = train_small(data, models, progress=lambda stage, share=0.0: told.append((stage, share)))
    assert report.is_new
    assert current_version(models) == report.version
    assert Recommender.open(models).recommend(["u010"])[0]
    manifest = read_manifest(models / report.version)
    assert report.rows == manifest.metrics["rows"]
    assert manifest.metrics["seconds"].items() <= report.seconds.items()
    assert manifest.metrics["gate_settings"]["max_shrink"] == 0.5
    data_report = read_data_report(models / report.version, manifest)
    assert data_report is not None
    assert {table.name: table.kept for table in data_report.tables}["items"] > 0
    assert report.peak_memory_mb > 1
    of_pairs = [note for note in report.notes if "orders bought_together:" in note]
    assert list(report.notes) == of_pairs, "the invented shop teaches every model but the order of its few pairs"
    stages, shares = [stage for stage, _ in told], [share for _, share in told]
    assert stages == [*report.seconds, "done"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all(took >= 0 for took in report.seconds.values())


@pytest.mark.usefixtures("fitted")
def test_the_same_again_is_skipped_only_when_asked(data: Path, models: Path) -> None:
    first = train_small(data, models)
    again = train_small(data, models, later_s=1, if_changed=True)
    assert (again.is_new, again.version, again.rows) == (False, first.version, first.rows)
    assert train_small(data, models, later_s=2).is_new


def test_other_settings_code_or_a_broken_bundle_train_again(
    data: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_small(data, models)
    other = train(data, models, small_config(seed=1), now=NOW, if_changed=True)
    assert other.is_new
    activate(models, first.version)
    with monkeypatch.context() as patch:
        patch.setattr(train_job, "code_fingerprint", lambda: "other code")
        assert train_small(data, models, later_s=1, if_changed=True).is_new
    activate(models, first.version)
    (models / first.version / "items.parquet").write_bytes(b"broken")
    assert train_small(data, models, later_s=2, if_changed=True).is_new


@pytest.mark.usefixtures("fitted")
def test_a_failed_training_leaves_the_current_bundle(data: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = train_small(data, models).version

    def fail(*_: object) -> None:
        raise DataError("no")

    with monkeypatch.context() as patch:
        patch.setattr(train_job, "find_data_gaps", fail)
        with pytest.raises(DataError):
            train_small(data, models, later_s=1)
    assert current_version(models) == before
    assert versions(models) == (before,)
    assert train_small(data, models, later_s=2).is_new, "the lock is free again"


def test_a_folder_of_no_tables_is_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.json is missing"):
        train_small(tmp_path, models)
    assert versions(models) == ()


@pytest.mark.usefixtures("fitted")
def test_what_a_killed_job_left_is_removed(data: Path, models: Path) -> None:
    half = models / f"{PARTIAL}20240101T000000Z-0123abcd-99"
    half.mkdir(parents=True)
    (half / "als.item_factors.npy").write_bytes(b"half")
    train_small(data, models)
    assert not half.exists()


def test_two_trainings_of_one_folder_do_not_race(data: Path, models: Path) -> None:
    half = models / f"{PARTIAL}of-the-other"
    with locked(models):
        half.mkdir()
        with pytest.raises(BundleError, match=r"in use by another training \(process \d+\)"):
            train_small(data, models)
        assert half.exists(), "what the other job is writing is left alone"


@pytest.mark.usefixtures("fitted")
def test_a_killed_job_lets_go_of_the_folder(data: Path, models: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from recsys.bundles.registry import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, models], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BundleError, match=str(holder.pid)):
            train_small(data, models)
        holder.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert train_small(data, models).is_new
            break
        except BundleError:
            time.sleep(0.05)
    assert (models / LOCK).exists()


@pytest.mark.usefixtures("fitted")
def test_old_bundles_go_but_never_the_current_or_the_one_before(data: Path, models: Path) -> None:
    made = [train_small(data, models, later_s=place, keep=9).version for place in range(4)]
    activate(models, made[0])
    last = train_small(data, models, later_s=9, keep=1)
    assert last.removed == tuple(made[1:])
    assert versions(models) == (made[0], last.version)
    assert previous_version(models) == made[0]


def test_keep_and_now_are_checked(data: Path, models: Path) -> None:
    with pytest.raises(ConfigError, match="keep is 0"):
        train_small(data, models, keep=0)
    with pytest.raises(ConfigError, match="no time zone"):
        train(data, models, small_config(), now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("made", ["file", "folder in a file"])
def test_models_that_cannot_be_a_folder_are_refused_before_work(data: Path, tmp_path: Path, made: str) -> None:
    path = tmp_path / "taken"
    path.write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        train_small(data, path if made == "file" else path / "models")
