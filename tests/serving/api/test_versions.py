from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from recsys.bundles.registry import current_version, versions
from recsys.fitting.engine import Engine
from tests.serving.conftest import client_of
from tests.serving.runtime.test_bundle_watcher import spoil, write_another


def activation(version: str) -> str:
    return f"/v1/models/{quote(version, safe='')}/activate"


def test_an_older_bundle_is_activated(own_models: Path, shop_engine: Engine) -> None:
    old = current_version(own_models)
    new = write_another(shop_engine, own_models)
    with client_of(own_models) as client:
        listed = client.get("/v1/models").json()
        assert (listed["current"], listed["serving"]) == (new, new)
        assert [(each["version"], each["is_current"]) for each in listed["models"]] == [(old, False), (new, True)]
        assert listed["models"][0]["created_at"]
        assert listed["models"][0]["problem"] is None
        answer = client.request("POST", activation(str(old)))
        assert (answer.status_code, answer.json()) == (200, {"current": old, "previous": new})
        assert current_version(own_models) == old
        client.app.state.app_context.watcher.refresh()
        assert client.get("/health/ready").json()["model_version"] == old
        assert client.request("POST", activation(str(old))).json()["previous"] == old


def test_a_broken_bundle_is_not_activated(own_models: Path) -> None:
    before = current_version(own_models)
    with client_of(own_models) as client:
        spoil(own_models, "broken")
        (own_models / "CURRENT").write_text(f"{before}\n")
        listed = {each["version"]: each for each in client.get("/v1/models").json()["models"]}
        assert set(listed) == set(versions(own_models))
        reply = client.request("POST", activation("broken"))
        assert reply.status_code == 409
        assert "the active bundle has not changed" in reply.json()["detail"]
        for name in ("nowhere", "../etc", "a/b", "."):
            assert client.request("POST", activation(name)).status_code == 404
    assert current_version(own_models) == before


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../x"])
def test_bundles_are_listed_and_activated_where_current_names_none(own_models: Path, content: bytes) -> None:
    version = str(current_version(own_models))
    with client_of(own_models) as client:
        (own_models / "CURRENT").write_bytes(content)
        listed = client.get("/v1/models").json()
        assert (listed["current"], listed["serving"], len(listed["models"])) == (None, version, 1)
        answer = client.request("POST", activation(version))
        assert (answer.status_code, answer.json()) == (200, {"current": version, "previous": None})
    assert current_version(own_models) == version


def test_no_bundles(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        nothing = {"current": None, "serving": None, "serving_variants": [], "models": []}
        assert client.get("/v1/models").json() == nothing
