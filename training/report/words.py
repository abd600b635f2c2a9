"""The sentences and numbers of the growth reports, in English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Final, Literal

from recsys.core.metrics import Interval
from training.growth.alerts import Alert
from training.growth.periods import Unit

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
CATALOG: Final = "words.json"
SCALES: Final[Mapping[Language, tuple[tuple[float, str], ...]]] = {
    "en": ((1e9, "bn"), (1e6, "m"), (1e3, "k")),
    "zh": ((1e8, "亿"), (1e4, "万")),
}
MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass(frozen=True)
class Words:
    """The words of one language.

    >>> Words("en").percent(0.3456), Words("zh").amount(123456.0, "CNY"), Words("en").period(date(2026, 11, 1), "month")
    ('34.6%', '12.3万 CNY', 'Nov 2026')
    """

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """Return a sentence of the catalog with its values."""
        return catalog()[key][self.language].format(**values)

    def percent(self, share: float) -> str:
        """Write a share, with a decimal where it is below 99.95 %."""
        return f"{100 * share:.0f}%" if share >= 0.9995 or share == 0 else f"{100 * share:.1f}%"

    def tick(self, share: float) -> str:
        """Write a share at an axis."""
        return f"{100 * share:.3g}%"

    def between(self, interval: Interval) -> str:
        """Write a share with its 95 % interval."""
        return f"{self.percent(interval.value)} ({100 * max(interval.low, 0.0):.1f} – {100 * interval.high:.1f})"

    def change(self, now: float, before: float) -> str:
        """Write a relative change, with its sign."""
        return f"{100 * (now / before - 1):+.1f}%"

    def number(self, value: float) -> str:
        """Write a number in few characters."""
        for scale, name in SCALES[self.language]:
            if abs(value) >= scale:
                return f"{value / scale:.3g}{name}" if abs(value) < 1000 * scale else f"{value / scale:,.0f}{name}"
        return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"

    def amount(self, value: float, currency: str) -> str:
        """Write an amount of money in few characters."""
        return f"{self.number(value)} {currency}".strip()

    def day(self, day: date) -> str:
        """Write a day."""
        return (
            f"{day.year}年{day.month}月{day.day}日"
            if self.language == "zh"
            else f"{day.day} {MONTHS[day.month - 1]} {day.year}"
        )

    def period(self, start: date, unit: Unit) -> str:
        """Write a period by its first day, briefly."""
        if unit == "month":
            return (
                f"{start.year}年{start.month}月" if self.language == "zh" else f"{MONTHS[start.month - 1]} {start.year}"
            )
        return f"{start.month}月{start.day}日" if self.language == "zh" else f"{start.day} {MONTHS[start.month - 1]}"

    def event(self, name: str) -> str:
        """Return what people do in an event."""
        return self(f"activity_{name}")

    def stage(self, name: str) -> str:
        """Return the name of a stage of the life cycle."""
        return self(f"stage_{name}") if f"stage_{name}" in catalog() else name

    def alert(self, alert: Alert) -> tuple[str, str]:
        """Return the sentence and the remedy of an alert."""
        place = {"place": alert.of, "unit": self(f"one_{alert.of}") if f"one_{alert.of}" in catalog() else alert.of}
        values = {
            "value": self.percent(alert.value),
            "limit": self.percent(alert.limit),
            "since": self.day(alert.since),
        }
        return self(f"alert_{alert.what}", **values, **place), self(f"remedy_{alert.what}", **place)


@cache
def catalog() -> Mapping[str, Mapping[str, str]]:
    """Return the sentences by name and language."""
    return json.loads(resources.files(__package__).joinpath(CATALOG).read_text(encoding="utf-8"))
