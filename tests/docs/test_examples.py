"""The Python examples of the documentation run over the invented shop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.test_pages import Block, blocks
from tests.shop import copied_models

CLIENTS = "docs/clients.md"  # its examples need a server: tests/clients/test_documented_clients.py
EXAMPLES = [block for block in blocks("python") if block.page != CLIENTS]


@pytest.fixture
def shop_folder(shop_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a copy of the shop's bundles `models/shop` of the current folder: examples write to its live log."""
    copied_models(shop_models, tmp_path / "models" / "shop")
    monkeypatch.chdir(tmp_path)


def test_there_are_examples() -> None:
    assert {block.page for block in EXAMPLES} >= {"README.md", "docs/python.md", "docs/your-shop.md", "docs/filters.md"}


@pytest.mark.usefixtures("shop_folder")
@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_examples_run(block: Block) -> None:
    exec(compile(block.text, block.page, "exec"), {})


@pytest.mark.usefixtures("shop_folder")
def test_examples_print_lines_like_those_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = [block for block in blocks("python", "text") if block.page in ("docs/filters.md", "docs/python.md")]
    shown = [
        (example, after)
        for example, after in pairwise(page)
        if (example.language, after.language) == ("python", "text")
    ]
    assert shown
    for example, output in shown:
        exec(compile(example.text, example.page, "exec"), {})
        assert first_words(capsys.readouterr().out) == first_words(output.text)


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]
