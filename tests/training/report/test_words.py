from __future__ import annotations

import re
from datetime import date
from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.metrics import Interval
from training.growth.alerts import Alert
from training.report.words import LANGUAGES, Language, Words, catalog

STEPS = tuple(f"funnel_{step}" for step in ("cart", "checkout", "order", "repeat"))
ALERTS = ("cart_loss", "churn", "second_period_retention", "tail_shown", "new_shown", *STEPS)
NUMBERS = [
    *((0.0, "0", "0"), (7.0, "7", "7"), (41.62, "41.6", "41.6"), (999.4, "999", "999"), (12_345.0, "12.3k", "1.23万")),
    *((2.5e6, "2.5m", "250万"), (3.2e9, "3.2bn", "32亿"), (-1234.5, "-1.23k", "-1,234")),
]


def test_every_sentence_is_in_every_language_with_the_same_values() -> None:
    for key, sentences in catalog().items():
        assert set(sentences) == set(LANGUAGES), key
        names = [{name for _, name, _, _ in Formatter().parse(each) if name} for each in sentences.values()]
        missing = names[0] ^ names[1]
        assert missing <= {"unit", "activity_name"}, key


def test_chinese_sentences_are_chinese() -> None:
    english = {key for key, each in catalog().items() if not re.search(r"[一-鿿]", each["zh"])}
    assert english == {"tile_churn_note", "cost_money"}, "values alone"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("what", ALERTS)
def test_each_alert_has_a_sentence_and_a_remedy(language: Language, what: str) -> None:
    alert = Alert(what, "month" if "period" in what or what == "churn" else "discover", 0.4, 0.3, 50, date(2026, 3, 2))
    message, remedy = Words(language).alert(alert)
    assert "40.0%" in message
    assert "30.0%" in message
    assert remedy


@pytest.mark.parametrize(("value", "english", "chinese"), NUMBERS)
def test_numbers_in_few_characters(value: float, english: str, chinese: str) -> None:
    assert (Words("en").number(value), Words("zh").number(value)) == (english, chinese)


@given(st.floats(-1e12, 1e12), st.sampled_from(LANGUAGES))
def test_a_short_number_is_near_its_value(value: float, language: Any) -> None:
    written = Words(language).number(value).replace(",", "")
    scales = {"bn": 1e9, "m": 1e6, "k": 1e3, "亿": 1e8, "万": 1e4}
    number, unit = re.fullmatch(r"(-?[\d.e+-]+?)(bn|m|k|亿|万)?", written).groups()  # type: ignore[union-attr]
    assert float(number) * scales.get(unit, 1) == pytest.approx(value, rel=0.006, abs=0.51)


def test_shares_and_dates() -> None:
    assert [Words("en").percent(each) for each in (0, 0.0004, 0.3456, 0.9996, 1)] == [
        "0%",
        "0.0%",
        "34.6%",
        "100%",
        "100%",
    ]
    assert Words("zh").between(Interval(0.5, 0.41, 0.59)) == "50.0% (41.0 – 59.0)"
    assert Words("en").change(110, 100) == "+10.0%"
    day = date(2026, 11, 2)
    assert [Words(each).day(day) for each in LANGUAGES] == ["2 Nov 2026", "2026年11月2日"]
    assert [Words(each).period(day, "week") for each in LANGUAGES] == ["2 Nov", "11月2日"]
