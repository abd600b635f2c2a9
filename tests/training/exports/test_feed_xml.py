from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recsys.core.errors import DataError
from training.exports.feed_xml import read_feed

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>1</g:id><title>Tea &amp; cup 茶</title><g:price>5 EUR</g:price>
<g:product_type>Food &gt; Tea</g:product_type><g:product_type>Sale</g:product_type>
<g:image_link>a</g:image_link><g:image_link>b</g:image_link></item>
<item><g:id>2</g:id></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<entry><g:id>1</g:id><link href="https://shop.example/1"/></entry></feed>"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rss(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path / "feed.xml", RSS))
    first, second = table.frame.to_dicts()
    assert first == {
        "id": "1",
        "title": "Tea & cup 茶",
        "price": "5 EUR",
        "product_type": "Food > Tea\nSale",
        "image_link": "a",
    }
    assert (second["id"], second["title"]) == ("2", None)
    assert table.rows.to_list() == [1, 2]
    assert not table.has_types


def test_atom_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml.gz"
    path.write_bytes(gzip.compress(ATOM.encode()))
    assert read_feed(path).frame.to_dicts() == [{"id": "1", "link": "https://shop.example/1"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<rss><channel><item></channel></rss>", "not well-formed XML"),
        ("<rss><channel/></rss>", "has no product"),
        ('<!DOCTYPE rss [<!ENTITY a "b">]><rss><item><id>&a;</id></item></rss>', "has a document type"),
        ("<rss>" + " " * 9000 + '<!DOCTYPE x [<!ENTITY a "b">]><item/></rss>', "not well-formed XML"),
        ("<!--" + "x" * 9000 + '--><!DOCTYPE x [<!ENTITY a "b">]><rss><item/></rss>', "has a document type"),
        ("", "not well-formed XML"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_feed(write(tmp_path / "feed.xml", text))


def test_xml_is_for_items(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="read for items only"):
        read_feed(write(tmp_path / "feed.xml", RSS), "events")
