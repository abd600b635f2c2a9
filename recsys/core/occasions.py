"""Occasions: a festival, a season, a place, an hour or a stage of life at which items with some tags fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta

from recsys.core.config.ranges import NonNegativeInt, Text
from recsys.core.festivals import FESTIVALS
from recsys.core.timestamps import parse_timestamp

Tags = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=60)]


class OpenTimes(NamedTuple):
    """The times of an occasion that is open.

    Attributes:
        due: the day that it is about, None if there is none.
        until: when it ends, None if that is not known.
    """

    due: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Occasion:
    """An occasion; it is open while all of the conditions that it states are met.

    Attributes:
        name: in reasons, in the shop's language; the name of a festival is translated.
        tags: items fit that have any of these tags, or any of them as a level of their category.
        festival: name of a festival of `recsys.core.festivals`; open from `lead_days` before until its day.
        lead_days: days before a festival.
        season: first and last day of each year, such as `["11-15", "03-15"]`.
        regions: of the request, else of the user.
        places: values of `context.place`.
        weekdays: 1 Monday to 7 Sunday.
        hours: local hours, 0 to 23.
        date: attribute of the user with a date, such as a child's birth date; open between `from_days` and `to_days`
            after it.
        from_days, to_days: days after that date, the last one exclusive.
    """

    name: Text
    tags: Tags
    festival: str = ""
    lead_days: NonNegativeInt = 14
    season: tuple[Text, ...] = ()
    regions: tuple[Text, ...] = ()
    places: tuple[Text, ...] = ()
    weekdays: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    date: str = ""
    from_days: int = 0
    to_days: int = 0

    @property
    def fault(self) -> str:
        """What is wrong with it, "" if nothing."""
        if self.festival and self.festival not in FESTIVALS:
            return f"festival is {self.festival!r}, expected one of {', '.join(FESTIVALS)}"
        if self.season and (len(self.season) != 2 or any(_month_day(text) is None for text in self.season)):
            return f"season is {list(self.season)!r}, expected two days such as ['11-15', '03-15']"
        if self.date and self.from_days >= self.to_days:
            return f"to_days is {self.to_days}, expected more than from_days, {self.from_days}"
        return ""

    def open_times(
        self, local: datetime, context: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> OpenTimes | None:
        """Return its times if it is open, None if it is not.

        Args:
            local: the moment, in the shopper's zone.
            context: values of the request.
            attributes: of the user.
        """
        region = context.get("region") or attributes.get("region")
        is_open = (
            (not self.weekdays or local.isoweekday() in self.weekdays)
            and (not self.hours or local.hour in self.hours)
            and (not self.regions or region in self.regions)
            and (not self.places or context.get("place") in self.places)
        )
        if not is_open:
            return None
        times = OpenTimes()
        for found in (self._of_festival(local), self._of_season(local), self._of_stage(local, attributes)):
            if found is None:
                return None
            times = OpenTimes(found.due or times.due, found.until or times.until)
        return times

    def _of_festival(self, local: datetime) -> OpenTimes | None:
        if not self.festival:
            return OpenTimes()
        day = FESTIVALS[self.festival].next_from(local.date())
        if day is None or (day - local.date()).days > self.lead_days:
            return None
        return OpenTimes(_midnight(day, local), _midnight(day + timedelta(days=1), local))

    def _of_season(self, local: datetime) -> OpenTimes | None:
        if not self.season:
            return OpenTimes()
        first, last = (_month_day(text) for text in self.season)
        today = (local.month, local.day)
        if first is None or last is None:
            return None
        wraps = first > last
        if not ((today >= first or today <= last) if wraps else first <= today <= last):
            return None
        year = local.year + (wraps and today >= first)
        return OpenTimes(until=_midnight(date(year, *last) + timedelta(days=1), local))

    def _of_stage(self, local: datetime, attributes: Mapping[str, Any]) -> OpenTimes | None:
        if not self.date:
            return OpenTimes()
        value = attributes.get(self.date)
        try:
            start = parse_timestamp(value, UTC) if isinstance(value, str | int | float | date) else None
            begins = None if start is None else start + timedelta(days=self.from_days)
            ends = None if start is None else start + timedelta(days=self.to_days)
        except (ValueError, OverflowError):
            return None
        if begins is None or ends is None or not begins <= local < ends:
            return None
        return OpenTimes(until=ends)


def _month_day(text: str) -> tuple[int, int] | None:
    try:
        day = date.fromisoformat(f"2024-{text}")
    except ValueError:
        return None
    return (day.month, min(day.day, 28) if day.month == 2 else day.day)


def _midnight(day: date, local: datetime) -> datetime:
    return datetime.combine(day, time(), local.tzinfo)


NORTH_OF_CHINA: Final = (
    *(
        "北京",
        "天津",
        "河北",
        "山西",
        "内蒙古",
        "辽宁",
        "吉林",
        "黑龙江",
        "山东",
        "河南",
        "陕西",
        "甘肃",
        "青海",
        "宁夏",
        "新疆",
    ),
    *("CN-BJ", "CN-TJ", "CN-HE", "CN-SX", "CN-NM", "CN-LN", "CN-JL", "CN-HL", "CN-SD", "CN-HA", "CN-SN", "CN-GS"),
    *("CN-QH", "CN-NX", "CN-XJ"),
)
SOUTH_OF_CHINA: Final = ("广东", "广西", "海南", "福建", "CN-GD", "CN-GX", "CN-HI", "CN-FJ")

FESTIVAL_OCCASIONS: Final = tuple(Occasion(each.name, each.tags, festival=each.name) for each in FESTIVALS.values())

CLIMATE_OCCASIONS: Final = (
    Occasion("回南天", ("回南天", "除湿", "防潮", "dehumidifier"), season=("02-15", "04-30"), regions=SOUTH_OF_CHINA),
    Occasion(
        "供暖季", ("供暖季", "取暖", "加湿", "保湿", "humidifier"), season=("11-15", "03-15"), regions=NORTH_OF_CHINA
    ),
)

LIFE_STAGES: Final = (
    Occasion("1段", ("1段", "stage 1", "0-6个月"), date="child_birth_date", from_days=-30, to_days=180),
    Occasion("2段", ("2段", "stage 2", "6-12个月"), date="child_birth_date", from_days=166, to_days=365),
    Occasion("3段", ("3段", "stage 3", "12-36个月"), date="child_birth_date", from_days=351, to_days=1095),
)

PLACE_OCCASIONS: Final = (
    Occasion("办公室", ("办公室", "office", "下午茶"), places=("office", "办公室")),
    Occasion("门店附近", ("到店", "自提", "in store", "pickup"), places=("store", "门店")),
)

THEME_OCCASIONS: Final = (
    Occasion("周五下班后", ("周五", "零食", "微醺", "friday evening"), weekdays=(5,), hours=(17, 18, 19, 20, 21, 22)),
    Occasion("周末早晨", ("周末", "早午餐", "brunch"), weekdays=(6, 7), hours=(7, 8, 9, 10, 11)),
    Occasion("夜宵时间", ("夜宵", "宵夜", "late night"), hours=(21, 22, 23, 0, 1)),
)
