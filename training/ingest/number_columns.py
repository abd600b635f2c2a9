"""Columns of numbers in the forms that shops and spreadsheets write, cast as a whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from recsys.core.errors import DataError

Decimal = Literal["auto", "point", "comma"]

CURRENCIES: Final = (
    r"\p{Sc}|[A-Z]{1,3}\$|R\$|S/|kr\.?|zł|Kč|Ft|лв\.?|руб\.?|р\.|Rs\.?|Rp\.?|RM|Fr\.|TL|元|円|원"
    "|AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|KZT|MAD|MXN|MYR|NGN"
    "|NOK|NZD|PEN|PHP|PKR|PLN|QAR|RMB|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|UYU|VND|ZAR"
)
"""Currency signs and codes before or after a number; they are left out."""


@dataclass(frozen=True)
class _Mark:
    """The patterns of numbers whose decimals follow a mark.

    Attributes:
        name: its name in the setting `decimal`.
        text: the mark.
        thousands: the mark between thousands.
    """

    name: str
    text: str
    thousands: str

    @property
    def certain(self) -> str:
        """Return the pattern of numbers that have this mark without a doubt."""
        mark, group = re.escape(self.text), re.escape(self.thousands)
        forms = (
            rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}{mark}\d+",
            rf"\d{{1,3}}(?:{group}\d{{2,3}})+{group}\d{{3}}",
            rf"\d*{mark}\d{{1,2}}",
            rf"\d*{mark}\d{{4,}}",
            rf"(?:\d{{4,}}|0\d*)?{mark}\d{{3}}",
            rf"\d+{mark}",
        )
        return rf"^[+-]?(?:{'|'.join(forms)})$"

    def read(self, texts: pl.Expr) -> pl.Expr:
        """Read texts in this form."""
        plain = texts.str.replace_all(self.thousands, "", literal=True).str.replace(self.text, ".", literal=True)
        return plain.cast(pl.Float64, strict=False)


POINT: Final = _Mark("point", ".", ",")
COMMA: Final = _Mark("comma", ",", ".")
DOUBTFUL: Final = r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$"
EXPONENT: Final = r"^[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,3}$"
WHOLE: Final = r"^[+-]?\d+$"


class DoubtfulNumberError(DataError):
    """A number may be read in two ways, and no other number of its column decides.

    Attributes:
        position: position of the number in its column, from 0.
        text: the number as it is written.
    """

    def __init__(self, column: str, position: int, text: str) -> None:
        point, comma = (pl.select(mark.read(pl.lit(_plain(text)))).item() for mark in (POINT, COMMA))
        super().__init__(
            f"{text!r} is {point:g} with a decimal point and {comma:g} with a decimal comma, and no other value of "
            f"{column} decides: add --decimal point or --decimal comma"
        )
        self.position = position
        self.text = text


def parse_numbers(texts: pl.Series, decimal: Decimal = "auto") -> pl.Series:
    """Parse texts as numbers.

    Accepted: digits with a decimal point or comma, thousands separated by the other mark, a space or an apostrophe, an
    exponent, a currency sign or code before or after. A value such as `1.299` is read like the certain ones of its
    column (`1.299,00` or `7,90`).

    Args:
        texts: trimmed texts; null where empty.
        decimal: the mark before decimals; `auto` for the one that the column uses.

    Returns:
        Float64; null where a text is no number.

    Raises:
        DoubtfulNumberError: a value has two readings, and the column does not decide between them.
    """
    numbers = texts.cast(pl.Float64, strict=False)
    unread = texts.is_not_null() & numbers.is_null()
    if not unread.any() and (decimal == "point" or not _may_be_doubtful(texts)):
        return numbers
    distinct = texts.unique(maintain_order=True).drop_nulls()
    plain = _without_signs(distinct)
    mark = _mark(texts, distinct, plain, decimal)
    text = pl.col("plain")
    read = (
        pl.when(text.str.contains(WHOLE) | (text.str.contains(DOUBTFUL)))
        .then(mark.read(text))
        .when(text.str.contains(POINT.certain))
        .then(POINT.read(text))
        .when(text.str.contains(COMMA.certain))
        .then(COMMA.read(text))
        .when(text.str.contains(EXPONENT))
        .then(text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False))
        .otherwise(distinct.cast(pl.Float64, strict=False))
    )
    values = plain.to_frame("plain").select(read).to_series()
    return texts.replace_strict(distinct, values, default=None, return_dtype=pl.Float64)


def _may_be_doubtful(texts: pl.Series) -> bool:
    """Return whether all decimals of a column have three digits, so that they may be thousands."""
    marked = texts.filter(texts.str.contains(".", literal=True))
    if marked.is_empty() or not marked.head(100).str.contains(DOUBTFUL).all():
        return False
    return not marked.str.contains(POINT.certain).any()


def _mark(texts: pl.Series, distinct: pl.Series, plain: pl.Series, decimal: Decimal) -> _Mark:
    """Return the mark by which the doubtful values of a column are read."""
    if decimal != "auto":
        return POINT if decimal == "point" else COMMA
    doubtful = plain.str.contains(DOUBTFUL)
    found = [mark for mark in (POINT, COMMA) if plain.str.contains(mark.certain).any()]
    if len(found) != 1 and doubtful.any():
        text = distinct.filter(doubtful)[0]
        raise DoubtfulNumberError(texts.name, int((texts == text).fill_null(False).arg_max() or 0), text)
    return found[0] if found else POINT


def _plain(text: str) -> str:
    return str(_without_signs(pl.Series([text]))[0])


def _without_signs(texts: pl.Series) -> pl.Series:
    """Remove currencies and separators that are no point and no comma; write signs as ASCII."""
    plain = (
        texts.str.replace_all("[−–‒]", "-").str.replace_all("[\u00a0\u202f\u2009]", " ").str.replace_all("[’`´]", "'")
    )
    plain = plain.str.replace(rf"(?i)^([+-]?)\s*(?:{CURRENCIES})\s*", "$1")
    plain = plain.str.replace(rf"(?i)\s*(?:{CURRENCIES})$", "").str.replace(r"[.,]-{1,2}$", "")
    grouped = plain.str.contains(r"^[+-]?\d{1,3}(?:[ ']\d{3})+(?:[.,]\d+)?$")
    return plain.zip_with(~grouped, plain.str.replace_all("[ ']", ""))
