from __future__ import annotations

from serving.console.pages import PAGES
from serving.console.view import TABS, View
from serving.console.words import Words


def test_values_are_read_without_blanks() -> None:
    view = View(None, Words("en"), {"a": " x ", "b": " "})  # type: ignore[arg-type]
    assert [view.value("a"), view.value("b", "y"), view.value("c")] == ["x", "y", ""]


def test_each_page_has_one_path_per_method_and_a_tab() -> None:
    assert len({(page.path, page.method) for page in PAGES}) == len(PAGES)
    assert {page.tab for page in PAGES} == set(TABS)
    assert all(page.template for page in PAGES if page.method == "GET")
