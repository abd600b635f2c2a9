"""The audit log over HTTP: pages, choices, and changes of other things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.api.drafts import begin, desk
from tests.serving.conftest import Client


@pytest.fixture
def client(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with desk(shop_models, tmp_path) as client:
        yield client


def test_pages_of_the_log_have_every_entry_once(client: Client) -> None:
    for number in range(5):
        begin(client, title=f"{number}")
    before, seqs = "", []
    while True:
        page = client.get(f"/v1/audit?limit=2{before}").json()
        seqs += [entry["seq"] for entry in page["entries"]]
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"
    assert seqs == [6, 5, 4, 3, 2, 1]


def test_entries_are_chosen(client: Client) -> None:
    path, _ = begin(client)
    draft = path.rpartition("/")[2]
    (entry,) = client.get(f"/v1/audit?subject={draft}").json()["entries"]
    assert (entry["action"], entry["author"]) == ("draft_created", "local")
    assert [entry["action"] for entry in client.get("/v1/audit?action=placements").json()["entries"]] == [
        "placements_edited"
    ]
    assert client.get("/v1/audit?action=model").json() == {"entries": [], "next_before": None}
    for wrong in ("limit=0", "limit=1001", "before=0", "author=x"):
        assert client.get(f"/v1/audit?{wrong}").status_code == 422


def test_activations_of_bundles_are_in_it(client: Client) -> None:
    version = client.get("/v1/models").json()["current"]
    assert client.request("POST", f"/v1/models/{version}/activate").status_code == 200
    assert client.request("POST", "/v1/models/none/activate").status_code == 404
    entries = client.get("/v1/audit?action=model").json()["entries"]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [("model_activated", version)]
