"""The documentation site: it builds without a warning, and its pages load nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
LOADED: Final = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
"""The attribute of each element with the address that a browser loads by itself."""


class AssetParser(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.has_diagram = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.assets += [value for name, value in attrs if name == LOADED.get(tag) and value]
        self.has_diagram |= "mermaid" in (values.get("class") or "").split()


def parse(page: str) -> AssetParser:
    parser = AssetParser()
    parser.feed(page)
    return parser


def is_external(address: str) -> bool:
    return re.match(r"([a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*.html")):
        yield str(path.relative_to(site)), path.read_text(encoding="utf-8")


def test_every_document_is_a_page(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {str(path) for path in written} <= {name for name, _ in pages(site)}


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    found = {name: parse(page).assets for name, page in pages(site)}
    assert all(found.values()), "every page loads its style sheet"
    assert {name: outside for name, assets in found.items() if (outside := [*filter(is_external, assets)])} == {}


def test_no_page_has_a_diagram_that_the_theme_draws_with_a_script_from_another_host(site: Path) -> None:
    assert [name for name, page in pages(site) if parse(page).has_diagram] == []


def test_style_sheets_load_nothing_from_other_hosts(site: Path) -> None:
    sheets = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    assert sheets
    loaded = {
        name: re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text) for name, text in sheets.items()
    }
    assert {
        name: outside
        for name, found in loaded.items()
        if (outside := [a for pair in found for a in pair if is_external(a)])
    } == {}


def test_the_check_finds_assets_of_other_hosts() -> None:
    page = '<link href="//cdn.example/a.css"><script src="HTTPS://cdn.example/a.js"></script><img src="a.png">'
    assert [is_external(asset) for asset in parse(page).assets] == [True, True, False]
