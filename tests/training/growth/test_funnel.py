from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.growth.planted import START, event, write_tables
from training.growth.funnel import cart_loss, funnel
from training.growth.history import ShopHistory, read_history

Rows = Sequence[dict[str, Any]]


def shop(folder: Path, rows: Rows) -> ShopHistory:
    return read_history(write_tables(folder, rows), (START + timedelta(days=55)).date())


def ends() -> list[dict[str, Any]]:
    """Events at both ends of eight weeks, of nobody."""
    return [event("", "view_item_list", day, user_id=None, basket_id="x") for day in (0, 55.9)]


def planted(first_day: float, viewers: int, carts: int, orders: int, repeats: int, name: str) -> Rows:
    """People of a window: each goes as far as the numbers say, `repeats` of them with an order on an earlier day."""
    rows = []
    for n in range(viewers):
        rows.append(event(f"{name}{n}", "view_item", first_day + n % 20))
        if n < carts:
            rows.append(event(f"{name}{n}", "add_to_cart", first_day + n % 20 + 0.1))
        if n < orders:
            rows.append(event(f"{name}{n}", "purchase", first_day + n % 20 + 0.2))
        if n < repeats:
            rows.append(event(f"{name}{n}", "purchase", first_day + 25))
    return rows


def test_a_planted_funnel_is_found(tmp_path: Path) -> None:
    rows = [*ends(), *planted(28, 100, 40, 24, 6, "late"), *planted(0, 80, 40, 40, 10, "early")]
    history = shop(tmp_path, rows)
    found = funnel(history, history.observed.last(28))
    assert [(step.name, step.people) for step in found] == [("view", 100), ("cart", 40), ("order", 24), ("repeat", 6)]
    assert [step.rate and step.rate.value for step in found] == [None, 0.4, 0.6, 0.25]
    assert [step.rate_before and step.rate_before.value for step in found] == [None, 0.5, 1.0, 0.25]


def test_steps_that_nobody_records_are_left_out(tmp_path: Path) -> None:
    history = shop(tmp_path / "till", [*ends(), event("u", "purchase", 50), event("u", "purchase", 1)])
    assert [(step.name, step.people) for step in funnel(history, history.observed.last(28))] == [
        ("order", 1),
        ("repeat", 1),
    ]
    history = shop(tmp_path / "views", [*ends(), event("u", "view_item", 50)])
    (step,) = funnel(history, history.observed.last(28))
    assert (step.name, step.people, step.rate) == ("view", 1, None)
    assert cart_loss(history, history.observed, 24).window is None


def test_who_orders_without_a_recorded_view_is_in_all_steps(tmp_path: Path) -> None:
    rows = [*ends(), event("u", "view_item", 50), event("v", "add_to_cart", 50), event("w", "purchase", 50)]
    history = shop(tmp_path, rows)
    found = funnel(history, history.observed.last(28))
    assert [step.people for step in found] == [3, 2, 1, 0]


def test_an_order_that_was_returned_is_none(tmp_path: Path) -> None:
    bought = [event("u", "purchase", 50, basket_id="b"), event("v", "purchase", 50, basket_id="c")]
    history = shop(tmp_path, [*ends(), *bought, event("u", "refund", 52, basket_id="b")])
    assert funnel(history, history.observed.last(28))[0].people == 1


def test_carts_without_payment(tmp_path: Path) -> None:
    """Forty carts a week; six of ten are paid after an hour, two after two days, two never."""
    rows = list(ends())
    for week in range(8):
        for n in range(40):
            day = 7 * week + n % 7
            rows.append(event(f"u{n}", "add_to_cart", day + 0.4))
            if n % 10 < 8:
                rows.append(event(f"u{n}", "purchase", day + 0.4 + (1 / 24 if n % 10 < 6 else 2)))
    history = shop(tmp_path, rows)
    found = cart_loss(history, history.observed.last(28), 24)
    assert found.window is not None
    assert [week.carts for week in found.weeks] == [40] * 7, "the last week's carts have not had their hours"
    assert {week.loss.value for week in found.weeks} == {0.4}
    in_time = [n for n in range(40) if n % 7 != 6]
    assert found.window.carts == 3 * 40 + len(in_time)
    assert found.window.loss.value == (3 * 16 + sum(n % 10 >= 6 for n in in_time)) / found.window.carts
    patient = cart_loss(history, history.observed.last(28), 72)
    assert {week.loss.value for week in patient.weeks} == {0.2}


def test_an_order_before_the_cart_pays_for_nothing(tmp_path: Path) -> None:
    rows = [*ends(), event("u", "purchase", 10.1), event("u", "add_to_cart", 10.2), event("v", "purchase", 10.3)]
    assert cart_loss(shop(tmp_path, rows), shop(tmp_path, rows).observed, 24).window.loss.value == 1  # type: ignore[union-attr]


STEPS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["view_item", "add_to_cart", "purchase"]), st.integers(0, 55)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_a_funnel_narrows_and_each_person_counts_once(tmp_path_factory: Any, steps: list[tuple[int, str, int]]) -> None:
    rows = [*ends(), *(event(f"u{person}", name, day) for person, name, day in steps)]
    history = shop(tmp_path_factory.mktemp("shop"), rows)
    found = [step.people for step in funnel(history, history.observed.last(28))]
    assert found == sorted(found, reverse=True)
    late = {(person, name) for person, name, day in steps if day >= 28}
    assert not found or found[0] == len({person for person, _ in late})
