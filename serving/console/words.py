"""The sentences of the pages, in English and Chinese."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final, Literal

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
CATALOG: Final = "words.json"
SPANS: Final = ((86_400 * 2, 86_400, "days"), (3_600 * 2, 3_600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))


@dataclass(frozen=True)
class Words:
    """The words of one language.

    >>> Words("en").span(7300), Words("zh").span(3 * 86_400), Words("en").number(1234567)
    ('2 hours', '3 天', '1,234,567')
    """

    language: Language

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a sentence of the catalog with its values."""
        return catalog()[key][self.language].format(**values)

    def known(self, key: str, default: str) -> str:
        """Return a sentence of the catalog, the default if it has none."""
        return catalog()[key][self.language] if key in catalog() else default

    def number(self, value: float) -> str:
        """Write a number with separators."""
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.3g}"

    def decimals(self, value: float | None) -> str:
        """Write a small figure with three decimals.

        >>> Words("en").decimals(0.1234), Words("zh").decimals(None)
        ('0.123', '–')
        """
        return "–" if value is None else f"{value:,.3f}"

    def percent(self, share: float | None) -> str:
        """Write a share, with a decimal below 10 %."""
        if share is None:
            return "–"
        return f"{100 * share:.1f}%" if 0 < abs(share) < 0.1 else f"{100 * share:.0f}%"

    def lift(self, share: float | None) -> str:
        """Write a relative effect with its sign.

        >>> Words("en").lift(0.05), Words("zh").lift(-0.123), Words("en").lift(None)
        ('+5.0%', '-12.3%', '–')
        """
        return "–" if share is None else f"{100 * share:+,.1f}%"

    def span(self, seconds: float) -> str:
        """Write a duration in its largest unit, of which there are at least two."""
        for least, unit, name in SPANS:
            if seconds >= least:
                return self(f"span_{name}", n=int(seconds // unit))
        return self("span_seconds", n=0)

    def time(self, text: str | None) -> str:
        """Write an RFC 3339 time to the minute, with its zone."""
        if not text:
            return "–"
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").replace("UTC+00:00", "UTC")


def language_of(chosen: str, accepted: str) -> Language:
    """Return the language of a page: the one that was chosen, else the first that the browser accepts.

    >>> language_of("", "fr;q=0.9, zh-CN, en;q=0.8"), language_of("en", "zh"), language_of("xx", "")
    ('zh', 'en', 'en')
    """
    for wanted in (chosen, *re.split(r"[,\s]+", accepted)):
        found = wanted[:2].lower()
        if found == "zh":
            return "zh"
        if found == "en":
            return "en"
    return "en"


@cache
def catalog() -> Mapping[str, Mapping[str, str]]:
    """Return the sentences by name and language."""
    found: Mapping[str, Mapping[str, str]] = json.loads(
        resources.files(__package__).joinpath(CATALOG).read_text(encoding="utf-8")
    )
    return found
