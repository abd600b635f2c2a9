"""Types of the fields of calls, in URLs and in bodies: one declaration validates a value and documents it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from recsys.core.request import MAX_LIMIT
from recsys.core.schema import MAX_AMOUNT, MAX_ID_BYTES
from recsys.filters.lexer import MAX_CHARACTERS
from recsys.pipeline.pagination import MAX_TOKEN_CHARS

MAX_NAME_CHARS: Final = 256
MAX_FIELDS: Final = 16
"""Columns of items that one call may ask for."""

MAX_EXACT_INTEGER: Final = 1 << 53
"""Integers up to this size are exact in every JSON parser."""

LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Pattern of texts without control characters of ASCII or Latin-1."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_BYTES,
        extra={"expected": f"an id of 1 to {MAX_ID_BYTES} bytes of UTF-8 without control characters", "is_id": True},
        extra_json_schema={"pattern": LINE_PATTERN},
    ),
]
"""An id of the shop; `is_id` checks what msgspec cannot."""

Name = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_NAME_CHARS, extra={"expected": f"a name of 1 to {MAX_NAME_CHARS} characters"}),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
Timestamp = Annotated[
    datetime, Meta(tz=True, extra={"expected": "an RFC 3339 time with an offset, such as 2024-05-01T08:00:00+08:00"})
]
Filter = Annotated[str, Meta(max_length=MAX_CHARACTERS)]
PageToken = Annotated[
    str, Meta(min_length=1, max_length=MAX_TOKEN_CHARS, extra={"expected": "the `next_page_token` of a response"})
]
Share = Annotated[float, Meta(ge=0, le=1)]
Price = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
MaxPrice = Annotated[float, Meta(gt=0)]
Integer = Annotated[int, Meta(ge=-MAX_EXACT_INTEGER, le=MAX_EXACT_INTEGER)]
FieldNames = Annotated[list[Name], Meta(max_length=MAX_FIELDS)]
FieldText = Annotated[
    str, Meta(max_length=MAX_FIELDS * (MAX_NAME_CHARS + 1), extra={"expected": "names separated by commas"})
]
Label = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
"""A short text that may be empty."""

Line = Annotated[
    str,
    Meta(
        max_length=MAX_NAME_CHARS,
        pattern=LINE_PATTERN,
        extra={"expected": f"a text of up to {MAX_NAME_CHARS} characters without control characters"},
    ),
]
"""A short text that may be empty, for logs that people read in a terminal."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the parameters of a call, those of the path and those of the query."""


class NoParameters(Parameters, frozen=True):
    """A call without parameters."""


class OpenQuery(Parameters, frozen=True):
    """A call whose query has names of another vendor, all of which are accepted.

    Attributes:
        query: percent-encoded, as it was sent.
    """

    query: str = ""


def is_id(text: str) -> bool:
    r"""Return whether a text of at least one character can be an id: its bytes and its characters.

    >>> is_id("纸巾/3层"), is_id("a\n"), is_id("茶" * 86)
    (True, False, False)
    """
    if text.isascii() and text.isprintable():
        return len(text) <= MAX_ID_BYTES
    return len(text.encode(errors="surrogatepass")) <= MAX_ID_BYTES and not has_control_characters(text)


def has_control_characters(text: str) -> bool:
    """Return whether a text has control characters of ASCII or Latin-1."""
    return _CONTROL.search(text) is not None


def is_id_field(meta: Any) -> bool:
    """Return whether an annotation is that of `Id`."""
    return isinstance(meta, Meta) and bool((meta.extra or {}).get("is_id"))
