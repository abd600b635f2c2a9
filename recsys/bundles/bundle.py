"""A bundle on disk: a folder of model files, written completely or not at all, and verified before it is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.bundles.mapped_array import map_array
from recsys.bundles.serialization import SerializedModel, flatten, unflatten
from recsys.core.errors import BundleError
from recsys.core.files import atomic_write, file_digest, sync, sync_entry
from recsys.data.offers import NO_KNOWN_OFFERS, Offers, OfferTable
from recsys.fitting.engine import Engine
from recsys.ranking.features import FEATURES
from recsys.ranking.pair_features import PAIR_FEATURES
from recsys.search.vector_index import FlatIndex

BUNDLE_SCHEMA_VERSION: Final = 11
MANIFEST: Final = "manifest.json"
SEAL: Final = "sha256"
PARTIAL: Final = ".partial-"
"""Prefix of folders that are being written or removed."""

DATA_REPORT: Final = "data_report.json"
"""File with what is known of the data; see `recsys.bundles.data_report`. A bundle may lack it."""

INDEX: Final = "index.faiss"
OFFERS: Final = "offers."
"""Prefix of the names of the offers' files; a bundle without offers has none of them."""

LIBRARIES: Final = ("faiss-cpu", "implicit", "lightgbm", "numpy", "polars", "scipy")
RANKER_FILES: Final = {
    "rankers.next.trees": "ranker.txt",
    "rankers.new.trees": "ranker_new.txt",
    "rankers.pairs.trees": "ranker_pairs.txt",
}
READ_ONLY: Final = 0o444
MAPPED_FROM_BYTES: Final = 1 << 16
"""Size from which on an array is mapped, and so shared by the workers: a map takes whole pages."""


VERIFYING_THREADS: Final = 4
"""Files whose digests are computed at once, by as many cores as the machine has."""

TABLE_FILES: Final = {"items_table": "items.parquet", "users_table": "users.parquet"}


@dataclass(frozen=True)
class Manifest:
    """Description of a bundle; its file is written last and marks the bundle as complete.

    The file also contains a digest of its own content, so that a change of the manifest is detected too.

    Attributes:
        schema_version: layout of the bundle.
        version: name of the bundle's folder.
        created_at: RFC 3339.
        data_fingerprint: digest of the tables that it was trained on.
        config_fingerprint: digest of the configuration.
        code_fingerprint: digest of the library's source.
        config: the configuration.
        libraries: versions of the libraries that built it.
        metrics: offline metrics.
        notes: limits of the data, for people.
        values: plain values of the models.
        files: SHA-256 of every other file.
    """

    schema_version: int
    version: str
    created_at: str
    data_fingerprint: str
    config_fingerprint: str
    code_fingerprint: str
    config: dict[str, Any]
    libraries: dict[str, str]
    metrics: dict[str, Any]
    notes: list[str]
    values: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class Provenance:
    """Origin of a bundle.

    Attributes:
        created_at: aware.
        data_fingerprint: digest of the tables.
        metrics: offline metrics.
        notes: limits of the data.
        data_report: JSON of what is known of the data, empty for none.
    """

    created_at: datetime
    data_fingerprint: str
    metrics: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    data_report: bytes = b""


def write_bundle(engine: Engine, models: Path, provenance: Provenance) -> Manifest:
    """Write an engine to a new folder of `models`: first to a temporary folder, the manifest last, then rename it.

    Raises:
        BundleError: if the folder cannot be written.
    """
    version = _version_name(provenance, engine)
    target = models / version
    partial = models / f"{PARTIAL}{version}-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        manifest = _write_files(engine, partial, version, provenance)
        for path in partial.iterdir():
            path.chmod(READ_ONLY)  # a served bundle is mapped into memory: a change in place would crash the server
        if target.exists():
            raise BundleError(f"{target} exists already: remove it, or train again a second later")
        partial.rename(target)
        sync_entry(models)
    except OSError as error:
        raise BundleError(f"{target} cannot be written ({error}): check the disk's space and rights") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_bundle(folder: Path) -> tuple[Engine, Manifest]:
    """Verify every file against the manifest, then map the arrays into memory and build the engine.

    Raises:
        BundleError: naming the file and the reason.
    """
    manifest = verify(folder)
    trees = {name: (folder / file).read_text(encoding="utf-8") for name, file in RANKER_FILES.items()}
    parts = SerializedModel({}, {}, manifest.values | trees)
    for name in manifest.files:
        path = folder / name
        if name.endswith(".npy"):
            parts.arrays[name.removesuffix(".npy")] = _read_array(path)
    for field, name in TABLE_FILES.items():
        parts.tables[field] = pl.read_parquet(folder / name)
    engine = unflatten(Engine, parts, index=FlatIndex.read(folder / INDEX), offers=_offers(parts))
    rankers = engine.rankers
    for ranker, names in ((rankers.next, FEATURES), (rankers.new, FEATURES), (rankers.pairs, PAIR_FEATURES)):
        if ranker.is_fitted and ranker.feature_names != names:
            raise BundleError(f"{folder} has a ranker with other features than this release's: train again")
    return engine, manifest


def _read_array(path: Path) -> npt.NDArray[Any]:
    """Map an array into memory; a small one is read, as a map takes whole pages."""
    if path.stat().st_size >= MAPPED_FROM_BYTES:
        return map_array(path, partial(_check_numbers, path))
    array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    array.flags.writeable = False
    _check_numbers(path, array)
    return array


def _check_numbers(path: Path, array: npt.NDArray[Any]) -> None:
    """Check that numbers are finite; an unknown price is NaN."""
    if array.dtype.kind == "f" and not path.stem.endswith("price"):
        with np.errstate(invalid="ignore"):
            total = float(array.sum(dtype=np.float64))
        if not math.isfinite(total):
            raise BundleError(f"{path} has numbers that are not finite: activate another bundle or train again")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest alone and check its schema version and its digest.

    Raises:
        BundleError: if it is missing, altered or of another schema version.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document["schema_version"]
        if found != BUNDLE_SCHEMA_VERSION:
            raise BundleError(
                f"{path} has schema version {found!r}, this release reads {BUNDLE_SCHEMA_VERSION}: train again"
            )
        if document.pop(SEAL, None) != _seal(document):
            raise BundleError(
                f"{path} is altered: its {SEAL} is not that of its content; activate another or train again"
            )
        return Manifest(**document)
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing: {folder.name} is not a bundle, or is incomplete: train again") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} cannot be read ({error!r}): train again") from error


def verify(folder: Path) -> Manifest:
    """Check that every file exists and is unaltered.

    Raises:
        BundleError: naming the first wrong file and the reason.
    """
    manifest = read_manifest(folder)
    paths = [folder / name for name in manifest.files]
    for path in paths:
        if not path.is_file():
            raise BundleError(f"{path} is missing: the bundle is truncated; activate another or train again")
    with ThreadPoolExecutor(VERIFYING_THREADS) as pool:
        for path, digest in zip(paths, pool.map(file_digest, paths), strict=True):
            if digest != manifest.files[path.name]:
                raise BundleError(
                    f"{path} is altered: its sha256 is not the manifest's; activate another or train again"
                )
    return manifest


def config_fingerprint(config: Any) -> str:
    """Return the digest of a configuration dataclass."""
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()


def code_fingerprint() -> str:
    """Return the digest of the library's own source, so that bundles of different code differ."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _write_files(engine: Engine, folder: Path, version: str, provenance: Provenance) -> Manifest:
    parts = flatten(engine, skip=("index", "offers"))
    offers = engine.offers.known
    if len(offers):
        parts.arrays.update({f"{OFFERS}{name}": array for name, array in flatten(offers).arrays.items()})
    for name, array in parts.arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    for field, name in TABLE_FILES.items():
        parts.tables[field].write_parquet(folder / name)
    for name, file in RANKER_FILES.items():
        (folder / file).write_text(parts.values.pop(name), encoding="utf-8")
    engine.index.write(folder / INDEX)
    if provenance.data_report:
        (folder / DATA_REPORT).write_bytes(provenance.data_report)
    manifest = Manifest(
        schema_version=BUNDLE_SCHEMA_VERSION,
        version=version,
        created_at=provenance.created_at.isoformat(),
        data_fingerprint=provenance.data_fingerprint,
        config_fingerprint=config_fingerprint(engine.config),
        code_fingerprint=code_fingerprint(),
        config=asdict(engine.config),
        libraries={name: library_version(name) for name in LIBRARIES},
        metrics=dict(provenance.metrics),
        notes=list(provenance.notes),
        values=parts.values,
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
    )
    sync(folder)
    sealed = asdict(manifest) | {SEAL: _seal(asdict(manifest))}
    atomic_write(folder / MANIFEST, json.dumps(sealed, indent=1, ensure_ascii=False))
    return manifest


def _offers(parts: SerializedModel) -> Offers:
    """Build the offers from the arrays of a bundle, if it has any."""
    arrays = {name.removeprefix(OFFERS): array for name, array in parts.arrays.items() if name.startswith(OFFERS)}
    return Offers(unflatten(OfferTable, SerializedModel(arrays, {}, {}))) if arrays else NO_KNOWN_OFFERS


def _seal(document: Mapping[str, Any]) -> str:
    """Return the digest of a manifest without its own digest."""
    content = {name: value for name, value in document.items() if name != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _version_name(provenance: Provenance, engine: Engine) -> str:
    moment = provenance.created_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    source = provenance.data_fingerprint + config_fingerprint(engine.config)
    return f"{moment}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
