from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from training.ingest.text_files import text_pieces

LINES = ["id,名", "1,茶", '2,"手工,皮具"', "3,é", ""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [4, 7, 1000])
def test_pieces_are_the_file(tmp_path: Path, encoding: str, end: str, size: int) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(end.join(LINES).encode(encoding), mtime=0))
    pieces = list(text_pieces(path, encoding, is_csv=True, size=size))
    assert b"".join(piece.text for piece in pieces).decode().removeprefix("\ufeff") == "\n".join(LINES)
    starts = [1 + sum(piece.text.count(b"\n") for piece in pieces[:place]) for place in range(len(pieces))]
    assert [piece.first_line for piece in pieces] == starts


@given(st.lists(st.lists(st.text('ab"', max_size=3), min_size=1, max_size=3), min_size=1), st.integers(1, 60))
def test_no_piece_of_csv_ends_inside_a_quoted_text(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]], size: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "items.csv"
    path.write_text("".join('"' + "\n".join(lines).replace('"', '""') + '"\n' for lines in records), encoding="utf-8")
    pieces = list(text_pieces(path, "utf-8", is_csv=True, size=size + path.stat().st_size // 2))
    assert all(piece.text.count(b'"') % 2 == 0 for piece in pieces[:1])
    assert b"".join(piece.text for piece in pieces) == path.read_bytes()


def test_the_wrong_encoding_of_a_header_or_of_most_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    for data in ("名\na\nb\nc\n".encode("gb18030"), b"id\na\n\xe9\n\xe9\n\xe9\n"):
        path.write_bytes(data)
        with pytest.raises(DataError, match="set --encoding"):
            list(text_pieces(path, "utf-8", is_csv=True))
    path.write_bytes(b"id\na\n\xe9x\nb\n")
    (piece,) = text_pieces(path, "utf-8", is_csv=True)
    assert (piece.text, piece.undecodable) == (b"id\na\n\nb\n", ((3, "\\xe9x"),))
