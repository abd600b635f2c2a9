from __future__ import annotations

import json

import msgspec
import pytest

from recsys.core.request import Reason, RecommendedItem, to_wire


class Greeting:
    def text(self, locale: str) -> str:
        return {"en": "hello", "zh": "你好"}[locale]


def reason(code: str = "popular", **values: float | int | str) -> Reason:
    return Reason(code, Greeting(), values)


def test_a_reason_is_rendered_in_each_locale_when_it_is_asked_for() -> None:
    assert (reason().text, reason().text_zh) == ("hello", "你好")
    assert repr(reason(n=3)) == "Reason('popular', 'hello', {'n': 3})"


def test_reasons_are_equal_if_they_state_the_same() -> None:
    assert reason(n=3) == reason(n=3)
    assert reason(n=3) != reason(n=4)
    assert reason() != reason("similar")
    assert reason() != "popular"
    assert len({reason(n=3), reason(n=3), reason("similar")}) == 2


def test_a_reason_as_json() -> None:
    item = RecommendedItem("a", 0.5, 1, "popular", (reason(n=3),))
    told = json.loads(msgspec.json.encode(item, enc_hook=to_wire))
    assert told["reasons"] == [{"code": "popular", "text": "hello", "values": {"n": 3}, "text_zh": "你好"}]
    assert (told["item_id"], told["propensity"]) == ("a", 1.0)


def test_only_reasons_have_a_form_of_their_own() -> None:
    with pytest.raises(NotImplementedError, match="Greeting cannot be encoded: expected a Reason"):
        to_wire(Greeting())
