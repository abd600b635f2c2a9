from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.ports import free_port


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "loopback"),
        (["--port", "70000"], "70000"),
        (["--clock", "sundial"], "sundial"),
        (["--workers", "0"], "workers"),
        (["--allowed-origins", "https://shop.example,*"], "'*' is not an origin"),
        (["--demo-shop", "--keys", "nowhere.json"], "the demo shop calls the API without a key"),
        (["--keys", "nowhere.json"], "`recsys keys create"),
        (["--host", "0.0.0.0", "--keys", "nowhere.json"], "`recsys keys create"),
        (["--store", "/proc/nowhere/store.sqlite"], "choose another one with `--store`"),
        (["--store", "."], "choose another one with `--store`"),
    ],
)
def test_settings_that_cannot_be_are_named(recsys: Run, shop_models: Path, words: list[str], told: str) -> None:
    said = recsys("serve", "--models", shop_models, "--port", free_port(), *words)
    assert (said.code, told in said.err) == (2, True), said.err


def test_a_port_that_is_taken_is_one_sentence(recsys: Run, shop_models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = recsys("serve", "--models", shop_models, "--port", taken.getsockname()[1])
    assert (said.code, "choose another port" in said.err) == (2, True)


def test_a_folder_that_does_not_exist_is_named(recsys: Run, tmp_path: Path) -> None:
    said = recsys("serve", "--models", tmp_path / "TYPO", "--port", free_port())
    assert said.code == 2
    assert said.err.startswith(f"recsys: the folder of bundles {tmp_path / 'TYPO'} does not exist")
