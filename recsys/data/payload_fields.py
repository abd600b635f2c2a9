"""Fields of payloads of any shape: each is read as the type of a column, or refused with its path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_NAMES

RawEvent = dict[str, Any]

ItemKey = Literal["product", "variant", "sku"]
"""Which of a product's ids is the shop's `item_id`."""

Aliases = Mapping[str, str]
"""The engine's name of an event by another name."""


class ItemlessRow(RawEvent):
    """Row of an event that is not about an item, such as GA4's `page_view` or a call of Segment's `identify`."""


class UnreadNumber(str):
    """The text of a value where a number is expected, with the path of its field and what was expected there."""

    path: str
    expected: str

    @classmethod
    def of(cls, value: Any, path: str, expected: str) -> UnreadNumber:
        """Keep the text of any JSON value."""
        unread = cls(value if isinstance(value, str) else shown_text(value))
        unread.path, unread.expected = path, expected
        return unread


def text_at(holder: Mapping[str, Any], name: str, path: str) -> str | None:
    """Read a text, or an integer as text; None if absent or empty."""
    value = holder.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii():
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{path}{name}: expected a text, got {type_name(value)}")
    try:
        text = str(value)
        text.encode("utf-8")
    except ValueError:
        raise DataError(f"{path}{name}: not valid Unicode, or a number with too many digits") from None
    return text


def first_text(*fields: tuple[Mapping[str, Any], str, str]) -> str | None:
    """Read the first text that is there."""
    return next((text for field in fields if (text := text_at(*field)) is not None), None)


def number_at(holder: Mapping[str, Any], name: str, path: str) -> float | UnreadNumber | None:
    """Read a finite number, or one as text; None if absent or empty."""
    value = holder.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return UnreadNumber.of(value, f"{path}{name}", f"expected a number, got {type_name(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        return UnreadNumber.of(value, f"{path}{name}", f"expected a finite number, got {shown_text(value)[:40]!r}")
    return number


def position_at(holder: Mapping[str, Any], name: str, path: str) -> int | UnreadNumber | None:
    """Read a whole number."""
    number = number_at(holder, name, path)
    if number is None or isinstance(number, UnreadNumber):
        return number
    if not number.is_integer():
        return UnreadNumber.of(number, f"{path}{name}", f"expected a whole number, got {number:g}")
    return int(number)


def shown_text(value: Any) -> str:
    """Return a value as text, also an integer of more digits than Python writes."""
    try:
        return str(value)
    except ValueError:
        return "a number of very many digits"


def moment_at(holder: Mapping[str, Any], name: str, path: str) -> Any:
    """Read a time as text or number; it is parsed later."""
    value = holder.get(name)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = number_at(holder, name, path)
        if isinstance(number, UnreadNumber):
            raise DataError(f"{number.path}: {number.expected}")
        return value
    return text_at(holder, name, path)


def object_at(holder: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """Read an object; an empty one if absent."""
    value = holder.get(name)
    return {} if value is None else as_object(value, f"{path}{name}")


def as_object(value: Any, field: str) -> Mapping[str, Any]:
    """Return a value that is an object."""
    if not isinstance(value, Mapping):
        raise DataError(f"{field}: expected an object, got {type_name(value)}")
    return value


def array_at(holder: Mapping[str, Any], name: str, path: str) -> list[Any] | tuple[Any, ...]:
    """Read a list; an empty one if absent."""
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise DataError(f"{path}{name}: expected a list, got {type_name(value)}")
    return value


def type_name(value: Any) -> str:
    """Return the type of a JSON value for error messages."""
    names = {
        bool: "true or false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        tuple: "a list",
    }
    if value is None:
        return "null"
    return "an object" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


def event_at(holder: Mapping[str, Any], name: str, path: str, aliases: Aliases) -> str | None:
    """Read the name of an event, and return the engine's."""
    event = text_at(holder, name, path)
    return None if event is None else aliases.get(event, event)


def without_item(row: RawEvent) -> RawEvent:
    """Return the row of an event that has no item."""
    is_known = row["event"] is None or row["event"] in EVENT_NAMES
    return row | {"item_id": None} if is_known else ItemlessRow(row, item_id=None)
