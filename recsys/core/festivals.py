"""Dates of festivals, of the solar and of the Chinese lunar calendar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

FIRST_YEAR: Final = 2010

LUNAR_DAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "spring_festival": (
            "0214 0203 0123 0210 0131 0219 0208 0128 0216 0205 0125 0212 0201 0122 0210 0129 0217 0206 0126 0213 0203 "
            "0123 0211 0131 0219 0208 0128 0215 0204 0124 0212 0201 0122 0210 0130 0217 0206 0126 0214 0202 0123"
        ),
        "dragon_boat": (
            "0616 0606 0623 0612 0602 0620 0609 0530 0618 0607 0625 0614 0603 0622 0610 0531 0619 0609 0528 0616 0605 "
            "0624 0612 0601 0620 0610 0530 0618 0607 0527 0614 0603 0622 0611 0531 0619 0608 0529 0615 0604 0623"
        ),
        "qixi": (
            "0816 0806 0823 0813 0802 0820 0809 0828 0817 0807 0825 0814 0804 0822 0810 0829 0819 0808 0826 0816 0805 "
            "0824 0812 0801 0820 0810 0828 0817 0807 0826 0814 0803 0822 0811 0731 0819 0808 0827 0816 0805 0823"
        ),
        "mid_autumn": (
            "0922 0912 0930 0919 0908 0927 0915 1004 0924 0913 1001 0921 0910 0929 0917 1006 0925 0915 1003 0922 0912 "
            "1001 0919 0908 0927 0916 1004 0924 0913 1002 0920 0910 0928 0917 1005 0925 0915 1004 0922 0911 0930"
        ),
    }
)
"""Month and day of each lunar festival, one for each year from `FIRST_YEAR` on."""


@dataclass(frozen=True)
class Festival:
    """A day that comes once a year.

    Attributes:
        name: in the engine.
        titles: names for people, by language.
        tags: words by which the shop may tag items of the festival.
        day_of: returns the day in a year; None where it is not known.
    """

    name: str
    titles: Mapping[str, str]
    tags: tuple[str, ...]
    day_of: Callable[[int], date | None]

    def next_from(self, day: date) -> date | None:
        """Return the first day of the festival at or after a day, None if it is not known."""
        found = (self.day_of(year) for year in (day.year, day.year + 1))
        return next((each for each in found if each is not None and each >= day), None)


def _solar(month: int, day: int) -> Callable[[int], date | None]:
    return lambda year: date(year, month, day)


def _lunar(name: str) -> Callable[[int], date | None]:
    days = LUNAR_DAYS[name].split()

    def day_of(year: int) -> date | None:
        position = year - FIRST_YEAR
        if not 0 <= position < len(days):
            return None
        return date(year, int(days[position][:2]), int(days[position][2:]))

    return day_of


def _nth_weekday(month: int, weekday: int, n: int) -> Callable[[int], date | None]:
    """The n-th weekday of a month, 0 Monday to 6 Sunday."""

    def day_of(year: int) -> date | None:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    return day_of


def _named(name: str, en: str, zh: str, day_of: Callable[[int], date | None], *tags: str) -> Festival:
    return Festival(name, MappingProxyType({"en": en, "zh": zh}), (name, en, zh, *tags), day_of)


FESTIVALS: Final[Mapping[str, Festival]] = MappingProxyType(
    {
        each.name: each
        for each in (
            _named("new_year", "New Year", "元旦", _solar(1, 1)),
            _named("spring_festival", "Chinese New Year", "春节", _lunar("spring_festival"), "年货", "Lunar New Year"),
            _named("valentines_day", "Valentine's Day", "情人节", _solar(2, 14)),
            _named("womens_day", "Women's Day", "妇女节", _solar(3, 8), "女神节", "38"),
            _named("mothers_day", "Mother's Day", "母亲节", _nth_weekday(5, 6, 2)),
            _named("childrens_day", "Children's Day", "儿童节", _solar(6, 1), "六一"),
            _named("dragon_boat", "Dragon Boat Festival", "端午节", _lunar("dragon_boat"), "端午", "粽子"),
            _named("618", "618", "618", _solar(6, 18)),
            _named("fathers_day", "Father's Day", "父亲节", _nth_weekday(6, 6, 3)),
            _named("qixi", "Qixi", "七夕", _lunar("qixi"), "七夕节"),
            _named("mid_autumn", "Mid-Autumn Festival", "中秋节", _lunar("mid_autumn"), "中秋", "月饼"),
            _named("halloween", "Halloween", "万圣节", _solar(10, 31)),
            _named("double_11", "Singles' Day", "双11", _solar(11, 11), "双十一", "光棍节"),
            _named("thanksgiving", "Thanksgiving", "感恩节", _nth_weekday(11, 3, 4)),
            _named("double_12", "Double 12", "双12", _solar(12, 12), "双十二"),
            _named("christmas", "Christmas", "圣诞节", _solar(12, 25), "圣诞", "Xmas"),
        )
    }
)
"""By name, in the order of the year."""
