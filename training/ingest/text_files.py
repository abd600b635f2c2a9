"""Text files as pieces of whole lines in UTF-8, whatever their encoding, line ends and size."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recsys.core.errors import ConfigError, DataError

CSV_PIECE: Final = 64 << 20
JSON_PIECE: Final = 16 << 20
"""Bytes of text that are read at a time; decoded JSON takes ten times as much memory."""

MAX_NUL_SHARE: Final = 0.1
"""Share of NUL bytes in its first line above which a file is not text of its encoding."""

MAX_CUT_TRIES: Final = 1000
"""Line ends that are tried as the end of a piece."""

MAX_PIECES: Final = 4
"""Pieces that are read together in search of an end outside of quoted texts; then a quoted text is cut."""

UNDECODABLE: Final = "not text of the encoding"
"""The reason of a line that cannot be decoded."""

BinaryStream = gzip.GzipFile | io.BufferedReader
Undecodable = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class TextPiece:
    r"""Whole lines of a file.

    Attributes:
        text: UTF-8; every line ends with `\n`.
        first_line: number of its first line in the file, from 1.
        undecodable: number and content of the lines that are not text of the encoding; they are blank in `text`.
    """

    text: bytes
    first_line: int = 1
    undecodable: Undecodable = ()


def text_pieces(path: Path, encoding: str, *, is_csv: bool, size: int | None = None) -> Iterator[TextPiece]:
    r"""Read a text file in pieces.

    Line ends are `\n`, `\r\n` or `\r`; a byte order mark is removed. A line that is not text of the encoding is set
    apart, unless the first line or most of the first lines are not: then the encoding is wrong.

    Args:
        path: the file; `.gz` is decompressed.
        encoding: its encoding; never guessed.
        is_csv: whether line ends between quotes belong to a text, so that no piece ends there.
        size: bytes that are read at a time; None for the usual size.

    Raises:
        ConfigError: the encoding is unknown.
        DataError: the file is empty, truncated or not of its encoding.
    """
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise ConfigError(f"the encoding {encoding!r} is unknown; expected a name such as utf-8 or gb18030") from None
    line, is_empty = 1, True
    with _opened(path) as stream:
        for data in _whole_lines(
            path, stream, codec, is_csv=is_csv, size=size or (CSV_PIECE if is_csv else JSON_PIECE)
        ):
            piece = _decoded(path, _with_unix_ends(data), codec, line)
            is_empty = is_empty and not piece.text.strip() and not piece.undecodable
            line += piece.text.count(b"\n")
            yield piece
    if is_empty:
        raise DataError(f"{path.name} is empty; export it again")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryStream]:
    is_gzip = path.name.lower().endswith(".gz")
    try:
        with path.open("rb") as file:
            yield gzip.GzipFile(fileobj=file) if is_gzip else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is not a whole gzip file ({error}); copy it again") from None


def _whole_lines(
    path: Path, stream: BinaryStream, codec: codecs.CodecInfo, *, is_csv: bool, size: int
) -> Iterator[bytes]:
    """Yield the bytes of a stream in pieces that end with a line; those of wide encodings as UTF-8."""
    if len("\n".encode(codec.name)) > 1:
        yield from _wide_lines(path, stream, codec, size)
        return
    rest = b""
    while data := stream.read(size):
        data = rest + data
        end = _last_line_end(data, is_csv=is_csv) or (len(data) > MAX_PIECES * size) * _last_line_end(
            data, is_csv=False
        )
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def _wide_lines(path: Path, stream: BinaryStream, codec: codecs.CodecInfo, size: int) -> Iterator[bytes]:
    reader = io.TextIOWrapper(stream, codec.name, newline="")
    try:
        while text := reader.read(size):
            yield (text + reader.readline()).encode("utf-8", "replace")
    except UnicodeError as error:
        raise DataError(_wrong_encoding(path, codec, error)) from None
    finally:
        reader.detach()


def _last_line_end(data: bytes, *, is_csv: bool) -> int:
    r"""Return the end of the last line, 0 if there is none; in CSV, of the last one outside of quoted texts.

    A `\r` at the very end may be the first half of a line end.
    """
    newline = b"\n" if b"\n" in data else b"\r"
    end = data.rfind(newline, 0, None if newline == b"\n" else len(data) - 1) + 1
    if not is_csv:
        return end
    n_quotes = data.count(b'"', 0, end)
    for _ in range(MAX_CUT_TRIES):
        if n_quotes % 2 == 0:
            return end
        before = data.rfind(newline, 0, end - 1) + 1
        n_quotes -= data.count(b'"', before, end)
        end = before
    return 0


def _with_unix_ends(data: bytes) -> bytes:
    r"""Make `\n` the end of every line; `\r` alone ends lines only where it is the more frequent one."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if data.count(b"\r") >= max(1, data.count(b"\n")):
            data = data.replace(b"\r", b"\n")
    return data if data.endswith(b"\n") else data + b"\n"


def _decoded(path: Path, data: bytes, codec: codecs.CodecInfo, line: int) -> TextPiece:
    is_wide = len("\n".encode(codec.name)) > 1
    name = "utf-8" if is_wide else codec.name
    undecodable: Undecodable = ()
    try:
        text = data.decode(name)
        encoded = data if name == "utf-8" else text.encode("utf-8", "replace")
    except UnicodeError as error:
        encoded, undecodable = _line_by_line(data, name, line)
        is_header = bool(undecodable) and undecodable[0][0] == 1
        if line == 1 and (is_header or 2 * len(undecodable) > data.count(b"\n")):
            raise DataError(_wrong_encoding(path, codec, error)) from None
    header = data.partition(b"\n")[0]
    if line == 1 and header.count(b"\0") > MAX_NUL_SHARE * len(header):
        raise DataError(f"{path.name} has NUL characters, so it is not {codec.name} text; set --encoding")
    return TextPiece(encoded.removeprefix(codecs.BOM_UTF8) if line == 1 else encoded, line, undecodable)


def _line_by_line(data: bytes, name: str, first_line: int) -> tuple[bytes, Undecodable]:
    decoded: list[bytes] = []
    undecodable: list[tuple[int, str]] = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), first_line):
        try:
            decoded.append(line.decode(name).encode("utf-8", "replace"))
        except UnicodeError:
            decoded.append(b"")
            undecodable.append((number, line.decode(name, "backslashreplace")))
    return b"\n".join([*decoded, b""]), tuple(undecodable)


def _wrong_encoding(path: Path, codec: codecs.CodecInfo, error: UnicodeError) -> str:
    at = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    is_utf8 = codec.name == "utf-8"
    if isinstance(error, UnicodeDecodeError) and error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return f"{path.name} is not valid {'UTF-8' if is_utf8 else codec.name}{at}; set --encoding utf-16"
    remedy = (
        "set --encoding gb18030 (Chinese), cp1252 (Western) or its own"
        if is_utf8
        else "set --encoding to the file's own"
    )
    return f"{path.name} is not valid {'UTF-8' if is_utf8 else codec.name}{at}; {remedy}"
