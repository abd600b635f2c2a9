from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from recsys.bundles.bundle import DATA_REPORT, MANIFEST
from recsys.bundles.registry import current_version
from recsys.fitting.engine import Engine
from tests.recorded import METRICS, REPORT, write_recorded
from tests.serving.conftest import client_of


def path_of(version: str) -> str:
    return f"/v1/models/{quote(version, safe='')}/training"


def test_a_bundle_states_its_data_and_training(own_models: Path, shop_engine: Engine) -> None:
    version = write_recorded(shop_engine, own_models)
    with client_of(own_models) as client:
        record = client.get(path_of(version)).json()
        assert (record["version"], record["rows"]["events"]) == (version, 8)
        assert {name: record[name] for name in METRICS} == METRICS
        assert record["data"] == msgspec.json.decode(msgspec.json.encode(REPORT))


def test_an_older_bundle_records_less(own_models: Path) -> None:
    version = str(current_version(own_models))
    with client_of(own_models) as client:
        record = client.get(path_of(version)).json()
    assert (record["data"], record["seconds"], record["gate"], record["orders"]) == (None, {}, {}, [])
    assert record["notes"] == ["invented"]


@pytest.mark.parametrize("name", [MANIFEST, DATA_REPORT])
def test_a_record_that_was_altered_is_refused(own_models: Path, shop_engine: Engine, name: str) -> None:
    version = write_recorded(shop_engine, own_models)
    with client_of(own_models) as client:
        path = own_models / version / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"recall@10", b"recall@11") + b" ")
        reply = client.get(path_of(version))
    assert (reply.status_code, name in reply.json()["detail"]) == (409, True)


@pytest.mark.parametrize("name", ["nowhere", "../etc", "a/b", "."])
def test_an_unknown_bundle_is_a_404(own_models: Path, name: str) -> None:
    with client_of(own_models) as client:
        assert client.get(path_of(name)).status_code == 404
