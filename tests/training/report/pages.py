"""What a browser would load from a page, the ids it would find, and the text it would show."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

LOADING: Final = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}
LOADERS: Final = {"script", "link", "iframe", "img", "object", "base", "embed"}
VOID: Final = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page; all of its tags must close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in LOADING:
                self.loaded.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def stands_alone(text: str) -> Reader:
    """Check that a page loads nothing, and return what it shows."""
    page = Reader(text)
    assert text.startswith("<!doctype html>")
    assert page.open == []
    assert not LOADERS & set(page.tags)
    assert page.loaded == []
    assert not re.search(r"url\(|@import|@font-face|https?://", text)
    assert len(set(page.ids)) == len(page.ids)
    return page
