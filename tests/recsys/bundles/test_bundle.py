from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundles import bundle
from recsys.bundles.bundle import (
    BUNDLE_SCHEMA_VERSION,
    MANIFEST,
    Provenance,
    config_fingerprint,
    read_bundle,
    read_manifest,
    verify,
    write_bundle,
)
from recsys.bundles.registry import activate, current_version, versions
from recsys.core.errors import BundleError
from recsys.core.files import file_digest
from recsys.fitting.engine import Engine
from tests.recsys.same import assert_same
from tests.shop import small_config

CREATED_AT = datetime(2024, 7, 2, 12, tzinfo=UTC)


def _write(engine: Engine, models: Path, minutes: int = 0) -> str:
    created_at = CREATED_AT + timedelta(minutes=minutes)
    return write_bundle(engine, models, Provenance(created_at, "data", {"recall": 0.5}, ("a note",))).version


@pytest.fixture
def folder(shop_models: Path, tmp_path: Path) -> Path:
    """A bundle that a test may damage."""
    source = shop_models / str(current_version(shop_models))
    return Path(shutil.copytree(source, tmp_path / source.name, copy_function=shutil.copyfile))


def test_a_bundle_round_trip_is_bit_equal(shop_engine: Engine, shop_models: Path) -> None:
    engine, manifest = read_bundle(shop_models / str(current_version(shop_models)))
    assert_same(shop_engine, engine)
    assert engine.config == shop_engine.config
    assert (engine.items, engine.users) == (shop_engine.items, shop_engine.users)
    queries = shop_engine.hybrid.vectors
    for mine, read in zip(shop_engine.index.search(queries, 9), engine.index.search(queries, 9), strict=True):
        np.testing.assert_array_equal(mine, read)
    assert manifest.notes == ["invented"]


def test_arrays_of_a_bundle_are_read_only(shop_models: Path) -> None:
    engine, _ = read_bundle(shop_models / str(current_version(shop_models)))
    with pytest.raises(ValueError, match="read-only"):
        engine.popularity.share[0] = 1


def test_the_manifest_names_every_file_and_the_origin(shop_engine: Engine, tmp_path: Path) -> None:
    version = _write(shop_engine, tmp_path)
    manifest = read_manifest(tmp_path / version)
    assert set(manifest.files) | {MANIFEST} == {path.name for path in (tmp_path / version).iterdir()}
    assert manifest.version == version
    assert manifest.created_at == CREATED_AT.isoformat()
    assert (manifest.data_fingerprint, manifest.metrics, manifest.notes) == ("data", {"recall": 0.5}, ["a note"])
    assert manifest.config["als"]["n_factors"] == 16
    assert manifest.config_fingerprint == config_fingerprint(small_config())
    assert manifest.libraries["implicit"]


def test_the_same_engine_gives_the_same_bundle_byte_for_byte(shop_engine: Engine, tmp_path: Path) -> None:
    first, second = (tmp_path / name / _write(shop_engine, tmp_path / name) for name in ("one", "two"))
    assert first.name == second.name
    assert read_manifest(first) == read_manifest(second)


def test_another_setting_has_another_fingerprint() -> None:
    config = small_config()
    assert config_fingerprint(config) == config_fingerprint(small_config())
    assert config_fingerprint(replace(config, seed=1)) != config_fingerprint(config)


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_file_altered_by_one_byte_is_refused_by_name(folder: Path) -> None:
    for name in read_manifest(folder).files:
        path = folder / name
        content = path.read_bytes()
        if not content:
            continue
        for place in {0, len(content) // 2, len(content) - 1}:
            _flip(path, place)
            with pytest.raises(BundleError, match=f"{name} is altered"):
                read_bundle(folder)
            path.write_bytes(content)
    read_bundle(folder)


def _is_same_document(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_a_manifest_altered_by_one_byte_is_refused(folder: Path) -> None:
    path = folder / MANIFEST
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        _flip(path, place)
        if _is_same_document(path.read_bytes(), content):  # the last digit of a number, beyond its precision
            path.write_bytes(content)
            continue
        with pytest.raises(BundleError, match=MANIFEST):
            verify(folder)
        path.write_bytes(content)
    verify(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(folder: Path, share: float) -> None:
    for name in ("index.faiss", "items.parquet", "hybrid.vectors.code.npy"):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BundleError, match=f"{name} is altered"):
            read_bundle(folder)
        path.write_bytes(content)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / "users.parquet").unlink()
    with pytest.raises(BundleError, match=r"users\.parquet is missing: the bundle is truncated"):
        read_bundle(folder)


def _rewrite(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(document | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "version", [0, 1, BUNDLE_SCHEMA_VERSION - 1, BUNDLE_SCHEMA_VERSION + 1, str(BUNDLE_SCHEMA_VERSION), None]
)
def test_another_schema_version_is_refused(folder: Path, version: object) -> None:
    _rewrite(folder, schema_version=version)
    expected = f"schema version {version!r}, this release reads {BUNDLE_SCHEMA_VERSION}: train again"
    with pytest.raises(BundleError, match=expected):
        read_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema_version": 2}', "\udcff"])
def test_an_invalid_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=MANIFEST):
        read_bundle(folder)


def test_an_incomplete_bundle_is_not_a_bundle(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert versions(folder.parent) == ()
    with pytest.raises(BundleError, match="is incomplete"):
        read_bundle(folder)
    with pytest.raises(BundleError, match="is not a bundle"):
        activate(folder.parent, folder.name)


def test_a_failed_write_leaves_no_files(shop_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "atomic_write", full_disk)
    with pytest.raises(BundleError, match="No space left"):
        _write(shop_engine, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_overwritten(shop_engine: Engine, tmp_path: Path) -> None:
    version = _write(shop_engine, tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / version).iterdir()}
    with pytest.raises(BundleError, match="exists already"):
        _write(shop_engine, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / version).iterdir()} == before
    assert versions(tmp_path) == (version,)


def test_a_folder_that_is_a_file_cannot_hold_bundles(shop_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        _write(shop_engine, tmp_path / "models")


def test_files_of_a_bundle_are_read_only(shop_models: Path) -> None:
    files = list((shop_models / str(current_version(shop_models))).iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


def _reseal(folder: Path, name: str) -> None:
    """Let the manifest agree with a file that was changed, as an attacker or a careless script would."""
    document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    document.pop(bundle.SEAL)
    document["files"][name] = file_digest(folder / name)
    sealed = document | {bundle.SEAL: bundle._seal(document)}
    (folder / MANIFEST).write_text(json.dumps(sealed), encoding="utf-8")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["als.item_factors.scale.npy", "popularity.share.npy", "timeofday.lift.npy"])
def test_a_resealed_bundle_with_numbers_that_are_not_finite_is_refused(folder: Path, name: str, value: float) -> None:
    array = np.load(folder / name)
    array.flat[array.size // 2] = value
    np.save(folder / name, array)
    _reseal(folder, name)
    with pytest.raises(BundleError, match=f"{name} has numbers that are not finite"):
        read_bundle(folder)
