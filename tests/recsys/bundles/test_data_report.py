from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from recsys.bundles.bundle import DATA_REPORT, Provenance, read_bundle, write_bundle
from recsys.bundles.data_report import DataReport, IngestedTable, RejectedRow, RejectReason, read_data_report
from recsys.core.errors import BundleError
from recsys.fitting.engine import Engine

REPORT = DataReport(
    (
        IngestedTable(
            "events", 3, 2, rejected=1, reasons=(RejectReason("bad", 1, "x", (RejectedRow("e.csv:2", "{}"),)),)
        ),
    ),
    ("odd",),
    (),
)
MADE_AT = datetime(2024, 7, 2, tzinfo=UTC)


def test_a_report_is_read_as_it_was_written_and_no_list_needs_it(shop_engine: Engine, tmp_path: Path) -> None:
    content = msgspec.json.encode(REPORT)
    manifest = write_bundle(shop_engine, tmp_path, Provenance(MADE_AT, "shop", {}, data_report=content))
    folder = tmp_path / manifest.version
    assert read_data_report(folder, manifest) == REPORT
    assert read_bundle(folder)[1].files == manifest.files
    path = folder / DATA_REPORT
    for broken in (content + b" ", b"{}"):
        path.chmod(0o644)
        path.write_bytes(broken)
        with pytest.raises(BundleError, match="is altered"):
            read_data_report(folder, manifest)
    path.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        read_data_report(folder, manifest)


def test_a_bundle_without_a_report_has_none(shop_engine: Engine, tmp_path: Path) -> None:
    manifest = write_bundle(shop_engine, tmp_path, Provenance(MADE_AT, "shop", {}))
    assert DATA_REPORT not in manifest.files
    assert read_data_report(tmp_path / manifest.version, manifest) is None
